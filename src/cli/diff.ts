/** `sipalg diff SENT RECEIVED`: what another box does to SIP, and what it breaks. */
import { parsePrefix, prefixContains } from '../config/prefix.ts';
import type { DiffReport } from '../core/detect/diff-report.ts';
import { looksLikeSip } from '../core/detect/layout.ts';
import { parseAddress } from '../core/net/address.ts';
import type { DiffOptions } from '../detector/diff.ts';
import {
  type CaptureInput,
  DiffInputError,
  type MessageInput,
  readDiffInput,
} from '../detector/diff-input.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';
import { writeAll } from './standard-output.ts';

export interface RawDiffOptions {
  readonly json?: boolean;
  readonly single?: string;
  readonly redact?: boolean;
  readonly inside?: readonly string[];
  readonly outside?: string;
  readonly direction?: string;
  readonly port?: readonly string[];
}

export async function diff(
  sent: string | undefined,
  received: string | undefined,
  raw: RawDiffOptions,
): Promise<number> {
  const options = readOptions(raw);
  const ports = new Set((raw.port ?? []).map(readPort));
  const report = await reportOf(sent, received, raw, options, ports);
  const [{ reportJson }, { renderDiff }, { redactor }] = await Promise.all([
    import('../core/detect/diff-report.ts'),
    import('./diff-text.ts'),
    import('../detector/diff-redaction.ts'),
  ]);
  const shown = raw.redact === true ? redactor(report) : (text: string): string => text;
  if (raw.json === true) writeAll(`${JSON.stringify(reportJson(report, shown), null, 2)}\n`);
  else {
    writeAll(renderDiff(report, shown, wantsColour()));
    for (const note of report.notes) process.stderr.write(`note: ${note}\n`);
  }
  return report.verdict === 'faulty' ? exitCode.negative : exitCode.ok;
}

async function reportOf(
  sent: string | undefined,
  received: string | undefined,
  raw: RawDiffOptions,
  options: DiffOptions,
  ports: ReadonlySet<number>,
): Promise<DiffReport> {
  if (raw.single !== undefined) {
    if (sent !== undefined)
      throw new UsageError(
        '--single takes one capture, and no other file stands beside it',
        'Leave SENT and RECEIVED out.',
      );
    const input = read(raw.single, ports);
    if (input.kind !== 'capture')
      throw new UsageError(
        `${raw.single}: it is no capture`,
        'Give --single a pcap or pcapng file, as tcpdump -w writes it.',
      );
    if (input.messages.length === 0) throw noSip([input]);
    const { diffSingle } = await import('../detector/diff-single.ts');
    return diffSingle(input, options);
  }
  if (sent === undefined || received === undefined)
    throw new UsageError(
      'two files are needed: what was sent, and what was received',
      'sipalg diff SENT RECEIVED, or sipalg diff --single CAPTURE where there is one side only.',
    );
  const [first, second] = [read(sent, ports), read(received, ports)];
  const { diffCaptures, diffMessages } = await import('../detector/diff.ts');
  if (first.kind === 'message' && second.kind === 'message') {
    checkMessages(first, second);
    return diffMessages(first, second, options);
  }
  if (first.kind === 'capture' && second.kind === 'capture') {
    if (first.messages.length + second.messages.length === 0) throw noSip([first, second]);
    return diffCaptures(first, second, options);
  }
  const [capture, message] = first.kind === 'capture' ? [first, second] : [second, first];
  throw new UsageError(
    `${capture.file} is a capture, and ${message.file} is not`,
    'Give two captures, or two files with one SIP message each.',
  );
}

function read(file: string, ports: ReadonlySet<number>): MessageInput | CaptureInput {
  try {
    return readDiffInput(file, ports);
  } catch (error) {
    if (error instanceof DiffInputError) throw new UsageError(error.message, error.hint);
    throw error;
  }
}

/** What was received may be damaged in any way, as long as it is something of the message that was sent. */
function checkMessages(sent: MessageInput, received: MessageInput): void {
  const hint =
    'Give a file with one SIP message in it, as its octets are on the wire, or a pcap or pcapng file.';
  if (!looksLikeSip(sent.bytes))
    throw new UsageError(`${sent.file}: it begins neither like a SIP message nor like a capture`, hint);
  const common = Math.min(4, received.bytes.length);
  const isSame = Buffer.from(sent.bytes.subarray(0, common)).equals(received.bytes.subarray(0, common));
  if (
    looksLikeSip(received.bytes) ||
    isSame ||
    /^[A-Za-z-]{1,40}[ \t]*:/m.test(Buffer.from(received.bytes).toString('latin1'))
  )
    return;
  throw new UsageError(
    `${received.file}: it is neither a SIP message, nor what is left of one, nor a capture`,
    hint,
  );
}

function noSip(inputs: readonly CaptureInput[]): UsageError {
  const packets = inputs.reduce((sum, input) => sum + input.packets, 0);
  const notes = inputs.flatMap((input) => input.notes);
  return new UsageError(
    `${inputs.map(({ file }) => file).join(', ')}: no SIP message in ${packets} ${packets === 1 ? 'packet' : 'packets'}${notes.map((note) => `; ${note}`).join('')}`,
    'Encrypted SIP cannot be read. Where SIP has another port than 5060 and arrives damaged: --port PORT.',
  );
}

function readOptions({ inside, outside, direction }: RawDiffOptions): DiffOptions {
  const prefixes = (inside ?? []).map((text) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined)
      throw new UsageError(
        `--inside ${text}: it is no address and no network`,
        'Write 192.168.1.50 or 192.168.1.0/24.',
      );
    return prefix;
  });
  const address = outside === undefined ? undefined : parseAddress(outside);
  if (outside !== undefined && address === undefined)
    throw new UsageError(
      `--outside ${outside}: it is no address`,
      'Write the external address of the router, such as 203.0.113.7.',
    );
  if (direction !== undefined && direction !== 'out' && direction !== 'in')
    throw new UsageError(`--direction ${direction}: it is out or in`);
  return {
    ...(prefixes.length === 0
      ? {}
      : { isInside: (one: string): boolean => prefixes.some((prefix) => prefixContains(prefix, one)) }),
    ...(address === undefined ? {} : { outside: address }),
    ...(direction === undefined ? {} : { direction: direction === 'out' ? 'to-server' : 'to-client' }),
  };
}

function readPort(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65_535) throw new UsageError(`--port ${text}: it is a number from 1 to 65535`);
  return port;
}

function wantsColour(): boolean {
  const force = process.env.FORCE_COLOR;
  if (force !== undefined && force !== '0') return true;
  return process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
}
