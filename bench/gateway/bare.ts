/**
 * Bare messages at a fixed rate, open loop: requests of many phones, each answered by the provider. Both ends are sockets of this
 * process, in the namespaces of the network, so that one clock measures the way there and back.
 *
 * Open loop: what is due is sent, however slow the answers are. Nothing is sent again; what is not answered is lost.
 */
import type { Endpoint } from '../../src/core/net/address.ts';
import { SendQueue } from '../../src/linux/send-queue.ts';
import { UdpSocket } from '../../src/linux/udp-socket.ts';
import { percentile, sleep } from './machine.ts';
import { type BenchNetwork, EXTERNAL, PROVIDER, PROVIDER_MEDIA, phoneAddress } from './network.ts';

export const KINDS = ['OPTIONS', 'REGISTER', 'INVITE'] as const;
/** INVITE: in calls that are up, each with an offer and an answer (RFC 3261 §14): a session timer's refresh, or a hold. */
export type Kind = (typeof KINDS)[number];

export interface BareResult {
  readonly requests: number;
  readonly answered: number;
  /** Messages that crossed the router, both directions. */
  readonly messages: number;
  readonly seconds: number;
  /** There and back, in milliseconds. */
  readonly p50Ms: number;
  readonly p99Ms: number;
  /** CPU of this process, which is both ends. */
  readonly peersS: number;
}

const DIGITS = 8;
const SERIAL = '0'.repeat(DIGITS);
const CALL_ID = Buffer.from('\r\nCall-ID: b');
/** What is compiled while it runs takes some thousand messages. */
const WARM_UP_S = 3;
/** What is not answered by then is lost. */
const GRACE_MS = 500;
const TICK_MS = 1;
const ASK_EVERY_MS = 10;
const MEDIA_PORT = 20_000;
const OUR_VIA = `\r\nVia: SIP/2.0/UDP ${EXTERNAL}:`;

interface Template {
  readonly bytes: Buffer;
  /** Where the serial number goes. */
  readonly serials: readonly number[];
}

export class BareLoad {
  readonly #phones: UdpSocket[] = [];
  readonly #provider: UdpSocket;
  readonly #target: Endpoint;
  readonly #firstPhone: number;
  readonly #queue = new SendQueue(() => {});
  readonly #answers = new SendQueue(() => {});
  readonly #templates = new Map<string, Template>();
  #sentAtMs = new Float64Array(0);
  #tripsMs: number[] = [];
  #first = 0;
  #serial = 0;
  /** Of the first request. */
  #translatedAtMs: number | undefined;

  /** `target` is where the phones send to: the provider itself, or their outbound proxy. */
  constructor(network: BenchNetwork, phones: number, target: Endpoint, firstPhone = 0) {
    this.#target = target;
    this.#firstPhone = firstPhone;
    const fault = (error: unknown): void => {
      throw error;
    };
    this.#provider = network.provider.enter(
      () =>
        new UdpSocket(
          { local: { address: PROVIDER, port: 5060 }, receiveBufferBytes: 8 << 20 },
          { datagram: (bytes, remote) => this.#answer(bytes, remote), fault },
        ),
    );
    network.phones.enter(() => {
      for (let i = 0; i < phones; i++)
        this.#phones.push(
          new UdpSocket(
            { local: { address: phoneAddress(firstPhone + i), port: 5060 }, receiveBufferBytes: 1 << 18 },
            { datagram: (bytes) => this.#answered(bytes), fault },
          ),
        );
    });
  }

  close(): void {
    for (const socket of [...this.#phones, this.#provider]) socket.close();
  }

  /** Each phone registers, or begins a call, once: so that what is measured finds everything open. */
  async warmUp(kind: Kind, requestsPerS: number): Promise<void> {
    for (const first of kind === 'INVITE' ? (['REGISTER', 'CALL'] as const) : (['REGISTER'] as const))
      await this.#run(first, Math.min(500, this.#phones.length * 2), this.#phones.length);
    await this.run(kind, requestsPerS, WARM_UP_S);
  }

  /** Asks until a request reaches the provider translated: when that was, by `performance.now()`. Throws where none does. */
  async firstTranslated(withinMs: number): Promise<number> {
    const deadline = performance.now() + withinMs;
    this.#first = this.#serial;
    this.#sentAtMs = new Float64Array(Math.ceil(withinMs / ASK_EVERY_MS) + 1);
    this.#tripsMs = [];
    this.#translatedAtMs = undefined;
    for (let sent = 0; this.#translatedAtMs === undefined; sent++) {
      if (performance.now() > deadline) throw new Error(`nothing was translated within ${withinMs} ms`);
      this.#send('OPTIONS', sent);
      this.#queue.flush();
      await sleep(ASK_EVERY_MS);
    }
    return this.#translatedAtMs;
  }

  run(kind: Kind, requestsPerS: number, seconds: number): Promise<BareResult> {
    return this.#run(kind, requestsPerS, Math.round(requestsPerS * seconds));
  }

  async #run(kind: Kind | 'CALL', requestsPerS: number, requests: number): Promise<BareResult> {
    this.#first = this.#serial;
    this.#sentAtMs = new Float64Array(requests);
    this.#tripsMs = [];
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    for (let sent = 0; sent < requests; ) {
      const due = Math.min(requests, Math.ceil(((performance.now() - startedMs) / 1000) * requestsPerS));
      for (; sent < due; sent++) this.#send(kind, sent);
      this.#queue.flush();
      await sleep(TICK_MS);
    }
    const seconds = (performance.now() - startedMs) / 1000;
    const deadline = performance.now() + GRACE_MS;
    while (this.#tripsMs.length < requests && performance.now() < deadline) await sleep(TICK_MS);
    const { user, system } = process.cpuUsage(cpu);
    const trips = Float64Array.from(this.#tripsMs).sort();
    const answered = trips.length;
    return {
      requests,
      answered,
      messages: requests + answered + (kind === 'INVITE' || kind === 'CALL' ? answered : 0),
      seconds,
      p50Ms: percentile([...trips], 0.5),
      p99Ms: percentile([...trips], 0.99),
      peersS: (user + system) / 1e6,
    };
  }

  #send(kind: Kind | 'CALL', index: number): void {
    const phone = index % this.#phones.length;
    this.#sentAtMs[index] = performance.now();
    this.#queue.add(this.#phones[phone]!, this.#fill(kind, phone, this.#serial++), this.#target);
  }

  #fill(kind: Kind | 'CALL' | 'ACK', phone: number, serial: number): Buffer {
    const key = `${kind} ${phone}`;
    let template = this.#templates.get(key);
    if (template === undefined) {
      template = templateOf(request(kind, this.#firstPhone + phone));
      this.#templates.set(key, template);
    }
    const bytes = Buffer.from(template.bytes);
    const number = String(serial).padStart(DIGITS, '0');
    for (const at of template.serials) bytes.write(number, at, 'latin1');
    return bytes;
  }

  /** The provider: every request has its 200; an ACK has none. */
  #answer(bytes: Uint8Array, remote: Endpoint): void {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
    if (this.#translatedAtMs === undefined && text.includes(OUR_VIA))
      this.#translatedAtMs = performance.now();
    if (text.startsWith('ACK ')) return;
    const fields = text.slice(text.indexOf('\r\n') + 2, text.indexOf('\r\n\r\n')).split('\r\n');
    const lines = ['SIP/2.0 200 OK'];
    for (const field of fields) {
      if (/^(?:Via|From|Call-ID|CSeq|Record-Route):/i.test(field)) lines.push(field);
      else if (field.startsWith('To:')) lines.push(field.includes(';tag=') ? field : `${field};tag=callee`);
      else if (field.startsWith('Contact:') && text.startsWith('REGISTER'))
        lines.push(`${field};expires=3600`);
    }
    const isInvite = text.startsWith('INVITE ');
    const body = isInvite ? description(PROVIDER_MEDIA, 30_000) : '';
    if (isInvite) lines.push(`Contact: <sip:load@${PROVIDER}:5060>`, 'Content-Type: application/sdp');
    lines.push(`Content-Length: ${body.length}`, '', body);
    this.#answers.add(this.#provider, Buffer.from(lines.join('\r\n'), 'latin1'), remote);
    this.#flushSoon();
  }

  #flushing = false;

  #flushSoon(): void {
    if (this.#flushing) return;
    this.#flushing = true;
    setImmediate(() => {
      this.#flushing = false;
      this.#answers.flush();
    });
  }

  #answered(bytes: Uint8Array): void {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (buffer.toString('latin1', 8, 11) !== '200') return;
    // The branch of the topmost Via carries the number.
    const at = buffer.indexOf('z9hG4bK');
    const serial = Number(buffer.toString('latin1', at + 7, at + 7 + DIGITS));
    const sentAt = this.#sentAtMs[serial - this.#first];
    if (sentAt === undefined || sentAt === 0) return;
    this.#sentAtMs[serial - this.#first] = 0;
    this.#tripsMs.push(performance.now() - sentAt);
    if (!buffer.includes('INVITE', buffer.indexOf(CALL_ID))) return;
    const phone = (serial - this.#first) % this.#phones.length;
    this.#answers.add(this.#phones[phone]!, this.#fill('ACK', phone, serial), this.#target);
    this.#flushSoon();
  }
}

function templateOf(text: string): Template {
  return {
    bytes: Buffer.from(text, 'latin1'),
    serials: [...text.matchAll(new RegExp(SERIAL, 'g'))].map(({ index }) => index),
  };
}

/** As a phone writes it, of usual length. A call keeps its Call-ID and tags; a request outside of one has its own. */
function request(kind: Kind | 'CALL' | 'ACK', phone: number): string {
  const address = phoneAddress(phone);
  const method = kind === 'CALL' ? 'INVITE' : kind;
  const inCall = kind === 'INVITE' || kind === 'ACK';
  const hasBody = method === 'INVITE';
  const body = hasBody ? description(address, MEDIA_PORT) : '';
  const target =
    kind === 'REGISTER' ? `sip:${PROVIDER}` : inCall ? `sip:load@${PROVIDER}:5060` : `sip:load@${PROVIDER}`;
  const callId = method === 'INVITE' || kind === 'ACK' ? `b-call-${phone}` : `b${SERIAL}`;
  return [
    `${method} ${target} SIP/2.0`,
    `Via: SIP/2.0/UDP ${address}:5060;branch=z9hG4bK${SERIAL}${kind === 'ACK' ? 'a' : ''};rport`,
    'Max-Forwards: 70',
    `From: "Phone ${phone}" <sip:phone${phone}@${PROVIDER}>;tag=caller${phone}`,
    `To: <sip:${kind === 'REGISTER' ? `phone${phone}` : 'load'}@${PROVIDER}>${inCall ? ';tag=callee' : ''}`,
    `Call-ID: ${callId}`,
    // Kept below 2^31 (RFC 3261 §8.1.1.5), and growing.
    `CSeq: 1${SERIAL} ${method}`,
    `Contact: <sip:phone${phone}@${address}:5060>`,
    'User-Agent: Bench/1.0',
    'Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY',
    ...(kind === 'REGISTER' ? ['Expires: 3600'] : []),
    ...(hasBody ? ['Content-Type: application/sdp'] : []),
    `Content-Length: ${body.length}`,
    '',
    body,
  ].join('\r\n');
}

function description(address: string, port: number): string {
  return [
    'v=0',
    `o=- 1 1 IN IP4 ${address}`,
    's=-',
    `c=IN IP4 ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0 8 101`,
    'a=rtpmap:0 PCMU/8000',
    'a=rtpmap:8 PCMA/8000',
    'a=rtpmap:101 telephone-event/8000',
    'a=fmtp:101 0-15',
    'a=sendrecv',
    '',
  ].join('\r\n');
}
