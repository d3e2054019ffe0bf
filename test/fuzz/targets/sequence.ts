/**
 * Whole histories: an input is a programme of octets, each step a message of the phone or of the provider, an answer of the
 * data plane, time that passes, or a restart. So the same mutation and the same corpus serve for it as for messages.
 *
 * At the end everything must drain, and the ports that were lent must all be there again: a call takes every one of them.
 */
import assert from 'node:assert/strict';
import type { Driver } from '../driver.ts';
import { description, EXTERNAL, message, PHONE, PHONES, PROVIDER } from '../messages.ts';
import { mendContentLength, mutate } from '../mutate.ts';
import { toOctets, toText } from '../octets.ts';
import { Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';
import { engineDriver } from './engine.ts';

const METHODS = [
  'REGISTER',
  'INVITE',
  'INVITE',
  'ACK',
  'BYE',
  'CANCEL',
  'UPDATE',
  'PRACK',
  'SUBSCRIBE',
  'REFER',
  'X',
];
const STATUSES = [200, 200, 100, 183, 302, 401, 408, 481, 487, 486];
const WAITS = [0, 1, 500, 600, 6_000, 40_000, 120_000, 400_000, 4_000_000];
const MEDIA_PORTS = [4000, 4002, 4001, 0, 65_535, 65_534, 4010, 1024];
const TAGS = ['', 'b1', 'b2', 'a1'];
const NO_SIP = ['', '\r\n\r\n', '\0', 'x', 'not sip'];
/** What our external addresses may become. */
const ADDRESSES = [[EXTERNAL], ['203.0.113.77'], [], ['203.0.113.77', EXTERNAL], [EXTERNAL, '2001:db8::1']];
/** Programmes that make sense. */
const programmes = flows();

export const sequenceTarget: Target = {
  name: 'sequence',
  share: 20_000,
  shape: 'octets',
  seeds: [
    '\0\0\x01\x01\x07\x10\x20\0\x01\x02\x01\x07\0\0',
    '\x01\x01\x02\x01\x07\x01\0\0\x03\x04\x05\x02\x01\x08\x01\x0b\x0d',
    ...programmes,
  ],
  tokens: ['\0', '\x01', '\x0a', '\x0b', '\x0c', '\x0d', '\x0e', '\x0f'],
  generate: (random) =>
    String.fromCharCode(random.below(18)) +
    Array.from({ length: 4 + random.below(random.once(4) ? 40 : 16) }, () =>
      random.once(4) ? random.pick(programmes) : String.fromCharCode(random.below(256)),
    ).join(''),
  longest: 300,
  run(bytes, seen) {
    const program = new Program(bytes);
    const driver = engineDriver(program.next(), seen);
    let steps = 0;
    while (!program.atEnd && steps < 60) {
      steps++;
      step(program, driver);
      driver.check();
    }
    seen(`steps ${bucket(steps)} ${driver.openMedia > 0 ? 'media' : ''}`);
    driver.answer = 'opened';
    driver.readdress([EXTERNAL]);
    driver.drain();
    allPortsAreBack(driver);
  },
};

class Program {
  readonly #bytes: Uint8Array;
  #at = 0;
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }
  get atEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }
  next(): number {
    return this.#bytes[this.#at++] ?? 0;
  }
  pick<T>(list: readonly T[]): T {
    return list[this.next() % list.length] as T;
  }
}

function step(program: Program, driver: Driver): void {
  const operation = program.next() % 16;
  if (operation < 5) {
    const phone = program.pick(PHONES);
    driver.phone(
      damaged(program, request(program, phone, 'out')),
      phone,
      program.next() < 32 ? `${EXTERNAL}:5060` : PROVIDER,
    );
  } else if (operation < 7)
    fromProvider(program, driver, (to) => request(program, `${EXTERNAL}:${to}`, 'in'));
  else if (operation < 9) fromProvider(program, driver, () => response(program, driver, 'external'));
  else if (operation === 9) {
    const phone = program.pick(PHONES);
    driver.phone(damaged(program, response(program, driver, 'internal')), phone);
  } else if (operation === 10) driver.pass(program.pick(WAITS));
  else if (operation === 11) driver.answerPending(true);
  else if (operation === 12) driver.answerPending(false);
  else if (operation === 13) driver.answer = program.pick(['opened', 'later', 'failed', 'opened']);
  else if (operation === 14) driver.restart();
  else {
    const what = program.next();
    if (what < 128) driver.phone(toOctets(NO_SIP[what % NO_SIP.length] ?? ''), program.pick(PHONES));
    else if (what < 192) driver.mediaFlow(what >> 1, what % 2 === 0 ? 'idle' : 'flowing');
    else driver.readdress(ADDRESSES[what % ADDRESSES.length] ?? []);
  }
}

function fromProvider(program: Program, driver: Driver, make: (port: number) => string): void {
  const { mappings } = driver.engine.snapshot();
  const choice = program.next();
  const external = mappings[choice % (mappings.length + 1)]?.external ?? { address: EXTERNAL, port: 5060 };
  driver.provider(
    damaged(program, make(external.port)),
    external,
    choice > 240 ? '192.0.2.66:5060' : PROVIDER,
  );
}

function request(program: Program, host: string, direction: 'out' | 'in'): string {
  const method = program.pick(METHODS);
  const flags = program.next();
  const cseq = 1 + (flags & 3);
  const [local, remote] = direction === 'out' ? ['a1', program.pick(TAGS)] : ['b1', program.pick(TAGS)];
  const target = direction === 'out' ? 'sip:bob@example.net' : `sip:alice@${host}`;
  const sentBy = direction === 'out' ? host : PROVIDER;
  const outbound = (flags & 128) !== 0;
  const parameters = outbound ? ';reg-id=1;+sip.instance="<urn:x>"' : '';
  const named = outbound && (flags & 4) === 0 ? `${EXTERNAL}:5060` : host;
  const contacts =
    direction === 'out'
      ? [`<sip:alice@${named}>${parameters}`, `<sip:alice@${PHONE}:40000>`]
      : [`<sip:bob@${PROVIDER}>`];
  const lines = [
    `${method} ${target} SIP/2.0`,
    `Via: SIP/2.0/UDP ${sentBy};branch=z9hG4bK${method[0]}${cseq}${(flags & 4) === 0 ? ';rport' : ''}`,
    `From: <sip:x@example.net>;tag=${local}`,
    `To: <sip:y@example.net>${remote === '' ? '' : `;tag=${remote}`}`,
    `Call-ID: c${(flags >> 3) & 3}`,
    `CSeq: ${cseq} ${method}`,
    `Contact: ${contacts.slice(0, 1 + ((flags >> 5) & 1)).join(', ')}`,
    ...((flags & 64) === 0 ? [] : ['Expires: 60']),
    ...(outbound ? ['Supported: path, outbound'] : []),
  ];
  return withBody(program, lines, direction === 'out' ? host.split(':')[0]! : '198.51.100.9');
}

/** To what was sent last towards whoever answers. */
function response(program: Program, driver: Driver, from: 'external' | 'internal'): string {
  const asked = driver.sent.findLast(
    ({ flow, bytes }) =>
      flow.side === from && bytes.length > 12 && !toText(bytes.subarray(0, 4)).startsWith('SIP/'),
  );
  const status = program.pick(STATUSES);
  const tag = program.pick(['b1', 'b2', 'a1']);
  if (asked === undefined) return `SIP/2.0 ${status} -\r\n\r\n`;
  const lines = toText(asked.bytes).split('\r\n\r\n')[0]!.split('\r\n');
  const kept = lines.filter((line) => /^(?:Via|From|Call-ID|CSeq):/.test(line));
  const to = lines.find((line) => line.startsWith('To:')) ?? 'To: <sip:z@x>';
  const contacts = lines.filter((line) => line.startsWith('Contact:')).map((line) => `${line};expires=60`);
  const external = from === 'external';
  return withBody(
    program,
    [
      `SIP/2.0 ${status} ${status < 300 ? 'OK' : 'No'}`,
      ...kept,
      to.includes(';tag=') ? to : `${to};tag=${tag}`,
      ...(external && (status === 200 || tag === 'b2') ? ['Require: outbound'] : []),
      ...(external && tag === 'b1' ? [`Session-Expires: 90;refresher=ua${status === 200 ? 'c' : 's'}`] : []),
      ...(external && contacts.length > 0
        ? contacts
        : [`Contact: <sip:alice@${external ? PROVIDER : PHONES[0]}>`]),
    ],
    external ? '198.51.100.9' : PHONE,
  );
}

function withBody(program: Program, lines: readonly string[], address: string): string {
  const kind = program.next();
  if (kind % 3 === 0) return message([...lines, 'Content-Length: 0']);
  const port = MEDIA_PORTS[(kind >> 2) % 8]!;
  const host = kind > 235 ? '0.0.0.0' : address;
  const extra: string[] = [];
  const more = program.next();
  if ((more & 3) === 1) extra.push(`a=rtcp:${MEDIA_PORTS[(more >> 2) % 8]}`);
  if ((more & 3) === 2)
    extra.push(
      `m=video ${MEDIA_PORTS[(more >> 2) % 8]}/${1 + (more >> 6)} RTP/AVP 99`,
      'm=image 4010 udptl t38',
    );
  if ((more & 31) === 3) extra.push(`a=candidate:1 1 UDP 9 ${host} ${port} typ host`);
  if ((more & 15) === 7) extra.push(`a=${['sendonly', 'inactive', 'recvonly', 'sendrecv'][more >> 6]}`);
  if (more > 250) extra.push('a=ice-ufrag:x');
  return message([...lines, 'Content-Type: application/sdp'], description(host, port, extra));
}

/** One message in four is not as it should be. */
function damaged(program: Program, text: string): Uint8Array {
  const how = program.next();
  if (how < 192) return toOctets(text);
  const random = new Random(how, 'sequence', program.next());
  const mutated = mutate(text, random, { tokens: PHONES, shape: 'lines', longest: 4096, other: () => text });
  return toOctets(random.once(3) ? mutated : mendContentLength(mutated));
}

/** After the drain one call can have as many media as the table and the pool allow. */
function allPortsAreBack(driver: Driver): void {
  const { low, high } = driver.options.mediaPorts!;
  const half = driver.options.media === 'relay' ? 1 : 2;
  const most = Math.min(driver.options.limits.media!, Math.floor((high - low + 1) / half));
  const body = description(
    PHONE,
    5000,
    Array.from({ length: most - 1 }, (_, i) => `m=audio ${5002 + 2 * i} RTP/AVP 0`),
  );
  const text = message(
    [
      'INVITE sip:bob@example.net SIP/2.0',
      `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKlast`,
      'From: <sip:x@example.net>;tag=last',
      'To: <sip:y@example.net>',
      'Call-ID: last',
      'CSeq: 1 INVITE',
      'Content-Type: application/sdp',
    ],
    body,
  );
  // Of a provider that is not observed.
  const sent = driver.phone(toOctets(text), `${PHONE}:5060`, '198.51.100.99:5060');
  driver.check();
  assert.equal(driver.openMedia, most, 'after everything has ended, there are fewer ports than before');
  assert.equal(sent.length, 1);
  assert.ok(
    !toText(sent[0]!.bytes).includes(`c=IN IP4 ${PHONE}`),
    'after everything has ended, a call goes out private',
  );
}

/** Register, call, be called, hang up. */
function flows(): string[] {
  const ask = (method: number, flags: number, tag: number, body: readonly number[]): number[] => [
    ...[0, 0, method, flags, tag],
    ...body,
    ...[0, 255],
  ];
  const reply = (status: number, body: readonly number[]): number[] => [7, 0, status, 0, ...body, 0];
  const sdp = [1, 0];
  const none = [0];
  const of = (octets: readonly number[]): string => String.fromCharCode(...octets);
  const register = [...ask(0, 0, 0, none), ...reply(0, none)];
  const call = [...ask(1, 8, 0, sdp), ...reply(3, sdp), ...reply(0, sdp), ...ask(3, 8, 1, none)];
  const hangUp = [...ask(4, 9, 1, none), ...reply(0, none)];
  const called = [5, 0, 1, 17, 0, ...sdp, 0, 9, 0, 0, 1, ...sdp, 0, 5, 0, 3, 17, 1, 0, 0];
  return [
    of([...register, ...call, ...hangUp]),
    of([...call, 14, ...hangUp]),
    of([13, 1, ...call, 11, 11, ...hangUp, 12]),
    of([...register, ...called, 10, 7, 14, 10, 8]),
    of([
      ...[...ask(0, 129, 0, none), ...reply(0, none)],
      ...[...ask(0, 130, 0, none), ...reply(0, none)],
      ...[...call, 14, ...hangUp],
    ]),
    of([...register, ...call, 15, 193, ...register, 15, 195, ...hangUp]),
    of([
      ...register,
      ...call,
      15,
      192,
      15,
      193,
      14,
      10,
      5,
      ...ask(1, 9, 1, sdp),
      ...reply(0, sdp),
      ...hangUp,
    ]),
    of([...call, ...ask(1, 10, 1, [5, 2]), ...reply(9, none), ...hangUp]),
  ];
}
