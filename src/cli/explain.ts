/** `sipalg explain FILE|-`: what the gateway would do to a message or a call, without root and without a network. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import type { ExplainOptions } from '../core/alg/explain.ts';
import type { CallPacket, ExplainedMessage } from '../core/alg/explain-call.ts';
import { printProblems } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { type ExplainInput, readInput } from './explain-input.ts';
import { type RawExplainOptions, readExplainOptions } from './explain-options.ts';
import { renderExplanation } from './explanation.ts';
import { UsageError } from './failure.ts';
import { writeAll } from './standard-output.ts';

/** A word to people on standard error; programs that ask for JSON or bytes get it as well. */
type Note = (text: string) => void;

export async function explain(file: string, raw: RawExplainOptions): Promise<number> {
  let config: GatewayConfig | undefined;
  if (raw.config !== undefined) {
    const { loadConfig } = await import('../config/load.ts');
    const loaded = loadConfig(raw.config);
    if (loaded.config === undefined) {
      printProblems(loaded.problems);
      return exitCode.usage;
    }
    config = loaded.config;
  }
  const options = readExplainOptions(raw, config);
  const note: Note = (text) => void process.stderr.write(`note: ${text}\n`);
  const input = readInput(file, { datagram: raw.datagram === true, ports: portsOf(options, config) });
  if (input.kind === 'message') await explainOne(input.bytes, raw, options, note);
  else await explainSeveral(file, input, raw, options, note);
  return exitCode.ok;
}

async function explainOne(
  message: Uint8Array,
  raw: RawExplainOptions,
  options: ExplainOptions,
  note: Note,
): Promise<void> {
  const { explainMessage } = await import('../core/alg/explain.ts');
  const explanation = explainMessage(message, options);
  if (raw.raw === true) {
    if (explanation.verdict !== 'drop') writeAll(explanation.bytes);
  } else if (raw.json === true) {
    const { verdict, why, edits, defects, profile } = explanation;
    const shown = profile && {
      mode: profile.mode,
      chosen: profile.chosen,
      evidence: profile.evidence.map(({ what, source }) => ({ what, source })),
    };
    writeText(`${JSON.stringify({ verdict, why, edits, defects, profile: shown }, null, 2)}\n`);
  } else {
    writeText(renderExplanation(message, explanation, wantsColour()));
    if (!Buffer.from(message).includes('\r\n'))
      note('the lines end with LF only; SIP messages have CRLF, perhaps an editor changed the file');
  }
}

async function explainSeveral(
  file: string,
  input: Exclude<ExplainInput, { kind: 'message' }>,
  raw: RawExplainOptions,
  options: ExplainOptions,
  note: Note,
): Promise<void> {
  const [{ explainCall }, { callJson, renderCall }] = await Promise.all([
    import('../core/alg/explain-call.ts'),
    import('./explained-call.ts'),
  ]);
  // The gaps of a text are nobody's: they go out in their place, and are no message.
  const pieces = input.kind === 'text' ? input.pieces.filter(({ kind }) => kind === 'message') : [];
  const packets: readonly CallPacket[] =
    input.kind === 'capture' ? input.packets : pieces.map(({ bytes }) => ({ bytes }));
  const call = explainCall(packets, options);
  if (call.messages.length === 0) throw nobody(file, packets);

  if (raw.raw === true) for (const bytes of rawParts(input, call.messages)) writeAll(bytes);
  else if (raw.json === true) {
    const offsets = input.kind === 'text' ? pieces.map(({ offset }) => offset) : undefined;
    for (const text of callJson(call, packets, offsets)) writeText(text);
  } else for (const text of renderCall(call, packets, wantsColour())) writeText(text);

  if (input.kind === 'capture') for (const text of input.notes) note(text);
  if (call.skipped > 0)
    note(`${call.skipped} of ${packets.length} SIP messages do not cross the gateway, by their addresses`);
}

/** What would be sent, in order. Of a message with two legs only the last one leaves. */
function* rawParts(
  input: Exclude<ExplainInput, { kind: 'message' }>,
  messages: readonly ExplainedMessage[],
): Generator<Uint8Array> {
  const sent = new Map<number, Uint8Array>();
  for (const { packet, verdict, bytes } of messages) {
    if (verdict === 'drop') sent.delete(packet);
    else sent.set(packet, bytes);
  }
  if (input.kind === 'capture') {
    yield* sent.values();
    return;
  }
  let packet = 0;
  for (const { kind, bytes } of input.pieces) {
    if (kind === 'gap') yield bytes;
    else {
      const after = sent.get(packet++);
      if (after !== undefined) yield after;
    }
  }
}

/** Which ports of a capture are SIP: those of the configuration, and those of the mappings. */
function portsOf(options: ExplainOptions, config: GatewayConfig | undefined): Set<number> {
  const ports = new Set<number>(config?.signalling.ports ?? [5060]);
  for (const { port } of config?.listen ?? []) ports.add(port);
  for (const { internal, external } of options.mappings) {
    if (internal.port !== undefined) ports.add(internal.port);
    if (external.port !== undefined) ports.add(external.port);
  }
  return ports;
}

function nobody(file: string, packets: readonly CallPacket[]): UsageError {
  const addresses = new Set(
    packets.flatMap(({ seen }) =>
      seen === undefined ? [] : [seen.source.address, seen.destination.address],
    ),
  );
  return new UsageError(
    `${file}: none of its ${packets.length} SIP messages is from a phone or to its external address`,
    `The addresses in it: ${[...addresses].slice(0, 12).join(', ')}. Say which is which with --mapping INTERNAL=EXTERNAL.`,
  );
}

function writeText(text: string): void {
  writeAll(text);
}

function wantsColour(): boolean {
  const force = process.env.FORCE_COLOR;
  if (force !== undefined && force !== '0') return true;
  return process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
}
