/**
 * Whether a message costs the same however much goes on beside it: the same INVITE and REGISTER in an engine with 10 phones and in
 * one with 10 000 registered phones and 2000 calls, by turns in one process; and what an idle phone takes of the memory.
 *
 *   node --expose-gc bench/core/flat.bench.ts
 */
import { readFileSync } from 'node:fs';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output } from '../../src/core/alg/io.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { report } from '../measure.ts';

const PHONES = 10_000;
const CALLS = 2_000;
/** Rounds of each engine in turn; messages in a round. */
const WARM_UP = 3;
const ROUNDS = 15;
const MESSAGES = 10_000;

const PROVIDER = { address: '198.51.100.5', port: 5060 } as const;
const OURS = '203.0.113.7';

const sample = (name: string): string => {
  const bytes = new Uint8Array(readFileSync(new URL(`../../samples/${name}`, import.meta.url)));
  return textOf(bytes, 0, bytes.length);
};
const INVITE = sample('invite.sip');
const REGISTER = sample('register.sip');

interface Network {
  readonly feed: (input: Input) => Output[];
  readonly engine: Engine;
}

function network(phones: number, calls: number): Network {
  const engine = new Engine({
    limits: { mappings: 20_000, media: 20_000, dialogs: 20_000 },
    signallingPorts: { low: 1024, high: 23_999 },
    mediaPorts: { low: 24_000, high: 65_535 },
  });
  const feed = (input: Input): Output[] => {
    const outputs = engine.handle(1_000, input);
    for (const output of outputs)
      if ((output.kind === 'signalling' || output.kind === 'media') && output.command.action === 'open')
        return feed({ kind: 'opened', id: output.command.id });
    return outputs;
  };
  for (let n = 0; n < phones; n++) {
    const sent = sentBytes(feed(packet(n, REGISTER, `${n}`)));
    feed({
      kind: 'packet',
      flow: { transport: 'udp', side: 'external', local: external(sent), remote: PROVIDER },
      bytes: octetsOf(ok(sent)),
    });
    if (n < calls) feed(packet(n, INVITE, `${n}`));
  }
  return { feed, engine };
}

/** A phone's message: its own address and Call-ID, and a branch that no message had before. */
function packet(phone: number, text: string, unique: string): Input & { kind: 'packet' } {
  const address = `10.${phone >> 16}.${(phone >> 8) & 255}.${phone & 255}`;
  const written = text
    .replaceAll('192.168.1.50', address)
    .replace(/branch=z9hG4bK-[0-9a-f]+/, `branch=z9hG4bK-${unique.padStart(8, '0')}`)
    .replace(/^Content-Length: \d+/m, () => `Content-Length: ${bodyOf(text, address).length}`);
  return {
    kind: 'packet',
    flow: { transport: 'udp', side: 'internal', local: PROVIDER, remote: { address, port: 5060 } },
    bytes: octetsOf(written),
    externalAddress: OURS,
  };
}

function bodyOf(text: string, address: string): string {
  return text.slice(text.indexOf('\r\n\r\n') + 4).replaceAll('192.168.1.50', address);
}

function sentBytes(outputs: readonly Output[]): string {
  for (const output of outputs)
    if (output.kind === 'send') return textOf(output.bytes, 0, output.bytes.length);
  throw new Error('nothing was sent');
}

function external(sent: string): { address: string; port: number } {
  const [, address, port] = /^Via: SIP\/2.0\/UDP ([\d.]+):(\d+)/m.exec(sent)!;
  return { address: address!, port: Number(port) };
}

function ok(sent: string): string {
  const kept = sent.split('\r\n').filter((line) => /^(?:Via|From|To|Call-ID|CSeq|Contact):/.test(line));
  return `SIP/2.0 200 OK\r\n${kept.join('\r\n')}\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n`;
}

const few = network(10, 2);
const before = memory();
const many = network(PHONES, 0);
const perPhone = (memory() - before) / PHONES;
for (let n = 0; n < CALLS; n++) many.feed(packet(n, INVITE, `c${n}`));
const { mappings, dialogs } = many.engine.snapshot();
if (
  mappings.length !== PHONES ||
  dialogs.length !== CALLS ||
  mappings[PHONES - 1]!.registrations.length !== 1
)
  throw new Error('the engine does not hold what is timed here');

for (const [name, text] of [
  ['INVITE', INVITE],
  ['REGISTER', REGISTER],
] as const) {
  const [small, large] = byTurns([few, packet(1, text, 'ab')], [many, packet(1_234, text, 'ab')]);
  report(`${name}, 10 phones`, small);
  report(`${name}, ${PHONES} phones and ${CALLS} calls`, large);
}
const fresh = (of: number): Input[] =>
  Array.from({ length: MESSAGES }, (_, i) => packet(i % of, REGISTER, `f${i}`));
const [one, all] = byTurns([few, ...fresh(1)], [many, ...fresh(PHONES)]);
report('REGISTER, each with a branch of its own, one phone', one);
report(`the same, from ${PHONES} phones in turn`, all);
if (globalThis.gc !== undefined)
  console.log(`${'a registered phone that is idle'.padEnd(60)} ${perPhone.toFixed(0).padStart(8)} octets`);

type Side = readonly [Network, ...Input[]];

/** CPU time of one message on each side, in microseconds: the median of rounds that take turns. */
function byTurns(one: Side, other: Side): [number, number] {
  const times: [number[], number[]] = [[], []];
  for (let round = 0; round < WARM_UP + ROUNDS; round++)
    for (const i of [0, 1] as const) {
      const [{ feed }, ...inputs] = i === 0 ? one : other;
      const start = process.cpuUsage();
      for (let n = 0; n < MESSAGES; n++) feed(inputs[n % inputs.length]!);
      const { user, system } = process.cpuUsage(start);
      if (round >= WARM_UP) times[i].push((user + system) / MESSAGES);
    }
  return [median(times[0]), median(times[1])];
}

function median(list: number[]): number {
  return list.sort((a, b) => a - b)[Math.floor(list.length / 2)]!;
}

function memory(): number {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}
