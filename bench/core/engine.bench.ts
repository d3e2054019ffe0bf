/**
 * What a message costs in the engine: classify, scan, match, decide, edit, look again, outputs. CPU time of this process,
 * median of several rounds, so that other load on the machine matters less.
 */
import { readFileSync } from 'node:fs';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output } from '../../src/core/alg/io.ts';
import type { RuleId } from '../../src/core/alg/rules.ts';
import { verify, verifyWhole } from '../../src/core/alg/verify.ts';
import type { Edit } from '../../src/core/sip/edit.ts';
import { type Message, scanMessage } from '../../src/core/sip/message.ts';
import { textOf } from '../../src/core/sip/octets.ts';
import { Recorder } from '../../src/observe/recorder.ts';
import { medianCpuMicroseconds, report } from '../measure.ts';

const sample = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../samples/${name}`, import.meta.url)));

const flow = {
  transport: 'udp',
  side: 'internal',
  local: { address: '198.51.100.5', port: 5060 },
  remote: { address: '192.168.1.50', port: 5060 },
} as const;

function gateway(): (input: Input) => Output[] {
  const engine = new Engine();
  const feed = (input: Input): Output[] => {
    const outputs = engine.handle(1_000, input);
    for (const output of outputs)
      if ((output.kind === 'signalling' || output.kind === 'media') && output.command.action === 'open')
        return feed({ kind: 'opened', id: output.command.id });
    return outputs;
  };
  return feed;
}

for (const name of ['invite.sip', 'register.sip']) {
  const bytes = sample(name);
  const feed = gateway();
  const input: Input = { kind: 'packet', flow, bytes, externalAddress: '203.0.113.7' };
  feed(input);
  const outputs = feed(input);
  const sent = outputs.find((output) => output.kind === 'send');
  const result = sent?.kind === 'send' ? sent.bytes : new Uint8Array();
  if (!textOf(result, 0, result.length).includes('UDP 203.0.113.7:5060;'))
    throw new Error('the engine does not do what is timed here');
  const message = scanned(bytes);
  const edits = editsOf(outputs);
  const growth =
    scanned(result).body.end - scanned(result).body.start - (message.body.end - message.body.start);
  for (const look of [verify, verifyWhole])
    if (look(message, result, edits, growth) !== undefined) throw new Error('the result does not stand');

  report(
    `engine ${name} (${bytes.length} octets)`,
    medianCpuMicroseconds(() => feed(input)),
  );
  const recorder = new Recorder();
  report(
    '  with the recorder: what came and left is kept for whoever looks',
    medianCpuMicroseconds(() => recorder.take(1_000, input, feed(input), 1_000)),
  );
  report(
    '  of which the scan',
    medianCpuMicroseconds(() => scanMessage(bytes)),
  );
  report(
    '  of which the second look at what was edited',
    medianCpuMicroseconds(() => verify(message, result, edits, growth)),
  );
  report(
    '  rejected: a second scan of the whole result',
    medianCpuMicroseconds(() => verifyWhole(message, result, edits, growth)),
  );
  report(
    '  beside: blind replacement of the address, new Content-Length',
    medianCpuMicroseconds(() => replaceBlindly(bytes)),
  );
  report(
    '  beside: split into lines and join them again',
    medianCpuMicroseconds(() => splitAndJoin(bytes)),
  );
}

function scanned(bytes: Uint8Array): Message {
  const scan = scanMessage(bytes);
  if (!scan.ok) throw new Error('the sample is not a message');
  return scan.message;
}

function editsOf(outputs: readonly Output[]): Edit<RuleId>[] {
  for (const output of outputs)
    if (output.kind === 'event' && output.event.kind === 'message.translated')
      return output.event.edits.map(({ offset, length, after, rule }) => ({
        span: { start: offset, end: offset + length },
        replacement: after,
        rule,
      }));
  throw new Error('nothing was translated');
}

/** What the helpers do that search and replace: no grammar, no mapping, no second look; Call-ID and all are replaced. */
function replaceBlindly(bytes: Uint8Array): Buffer {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString('latin1')
    .replaceAll('192.168.1.50', '203.0.113.7');
  const body = text.indexOf('\r\n\r\n') + 4;
  return Buffer.from(
    text.replace(/^(Content-Length:[ \t]*)\d+/im, (_, name: string) => `${name}${text.length - body}`),
    'latin1',
  );
}

/** What a parser costs that makes strings of every header field and prints them again, without looking into any. */
function splitAndJoin(bytes: Uint8Array): Buffer {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
  const end = text.indexOf('\r\n\r\n');
  const fields = text
    .slice(0, end)
    .split('\r\n')
    .map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
    });
  return Buffer.from(
    `${fields.map(([name, value]) => `${name}: ${value}`).join('\r\n')}${text.slice(end)}`,
    'latin1',
  );
}
