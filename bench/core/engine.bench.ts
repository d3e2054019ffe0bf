/**
 * What a message costs in the engine: classify, scan, match, decide, edit, scan again, outputs. CPU time of this process,
 * median of several rounds, so that other load on the machine matters less.
 */
import { readFileSync } from 'node:fs';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output } from '../../src/core/alg/io.ts';
import { scanMessage } from '../../src/core/sip/message.ts';
import { textOf } from '../../src/core/sip/octets.ts';
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
  const sent = feed(input).find((output) => output.kind === 'send');
  const text = sent?.kind === 'send' ? textOf(sent.bytes, 0, sent.bytes.length) : '';
  if (!text.includes('UDP 203.0.113.7:5060;')) throw new Error('the engine does not do what is timed here');
  report(
    `engine ${name} (${bytes.length} octets)`,
    medianCpuMicroseconds(() => feed(input)),
  );
  report(
    `  of which one scan`,
    medianCpuMicroseconds(() => scanMessage(bytes)),
  );
  report(
    `  beside: split into lines and join them again`,
    medianCpuMicroseconds(() => splitAndJoin(bytes)),
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
