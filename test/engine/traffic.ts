/** Phones that register and call for hours, in the engine alone: no sockets, and the clock is a number. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output } from '../../src/core/alg/io.ts';
import type { EngineSnapshot } from '../../src/core/alg/snapshot.ts';
import { type Endpoint, formatEndpoint } from '../../src/core/net/address.ts';
import { octetsOf, textOf } from '../../src/core/sip/octets.ts';
import { message, sdp } from './bench.ts';

const PROVIDER: Endpoint = { address: '198.51.100.5', port: 5060 };
const EXTERNAL = '203.0.113.1';
const SECOND_MS = 1_000;
const REGISTER_EVERY_MS = 60 * SECOND_MS;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

export interface TrafficOptions {
  readonly phones: number;
  readonly callsPerSecond: number;
  readonly holdMs: number;
  /** Octets of one more header field in every message, so that whoever keeps a message's text is seen to. */
  readonly ballast?: number;
}

interface Call {
  readonly phone: number;
  readonly id: string;
  readonly endsAt: number;
}

export class Traffic {
  readonly #engine = new Engine();
  readonly #options: TrafficOptions;
  readonly #ballast: readonly string[];
  readonly #calls: Call[] = [];
  #now = 1_000_000;
  #nextCall = 0;
  #sent: { local: Endpoint; text: string } | undefined;
  #count = 0;

  constructor(options: TrafficOptions) {
    this.#options = options;
    this.#ballast = options.ballast === undefined ? [] : [`X-Ballast: ${'b'.repeat(options.ballast)}`];
  }

  /** Messages that have gone through the engine. */
  get count(): number {
    return this.#count;
  }

  get snapshot(): EngineSnapshot {
    return this.#engine.snapshot();
  }

  /** Octets that are reachable: of V8's heap, and of buffers beside it. */
  heldBytes(): number {
    this.#sent = undefined;
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  }

  /** Lets so much time pass; `busy`: phones register and call. Without, calls end, and registrations as granted. */
  pass(ms: number, busy: boolean): void {
    const { phones, callsPerSecond, holdMs } = this.#options;
    const end = this.#now + ms;
    while (this.#now < end) {
      const second = Math.floor(this.#now / SECOND_MS);
      if (busy) {
        const perSecond = phones / (REGISTER_EVERY_MS / SECOND_MS);
        const first = Math.floor((second % 60) * perSecond);
        for (let phone = first; phone < Math.floor(((second % 60) + 1) * perSecond); phone++)
          this.#register(phone, second);
        for (let i = 0; i < callsPerSecond; i++) {
          const call = {
            phone: this.#nextCall++ % phones,
            id: `${this.#nextCall}-call`,
            endsAt: this.#now + holdMs,
          };
          this.#begin(call);
          this.#calls.push(call);
        }
      }
      while (this.#calls[0] !== undefined && this.#calls[0].endsAt <= this.#now)
        this.#end(this.#calls.shift()!);
      this.#now += SECOND_MS;
      for (
        let next = this.#engine.nextTimeoutMs;
        next !== undefined && next <= this.#now;
        next = this.#engine.nextTimeoutMs
      )
        this.#feed({ kind: 'timeout' });
    }
  }

  #register(phone: number, second: number): void {
    const { address } = own(phone);
    const request = this.#out(phone, 'REGISTER', `${address}-registration-of-the-phone`, second, '');
    const contact = /^Contact: (.*)$/m.exec(request)![1]!.trim();
    this.#answer(request, 200, [`Contact: ${contact};expires=120`]);
  }

  #begin({ phone, id }: Call): void {
    const { address } = own(phone);
    const invite = this.#out(phone, 'INVITE', id, 1, '', sdp(address, 40_000));
    this.#answer(invite, 180, [], `far-end-${id}`);
    const far = ['Contact: <sip:far@198.51.100.5:5060>'];
    this.#answer(invite, 200, far, `far-end-${id}`, sdp('198.51.100.77', 30_000));
    this.#out(phone, 'ACK', id, 1, `far-end-${id}`);
  }

  #end({ phone, id }: Call): void {
    this.#answer(this.#out(phone, 'BYE', id, 2, `far-end-${id}`), 200, []);
  }

  /** A phone's request; returns it as it left. */
  #out(
    phone: number,
    method: string,
    id: string,
    cseq: number,
    toTag: string,
    body?: readonly string[],
  ): string {
    const from = own(phone);
    const text = message(
      [
        `${method} sip:somebody@provider.example SIP/2.0`,
        `Via: SIP/2.0/UDP ${formatEndpoint(from)};branch=z9hG4bK-${method}-${cseq}-${id};rport`,
        'Max-Forwards: 70',
        `From: <sip:${phone}@provider.example>;tag=the-tag-of-phone-${phone}-${id}`,
        `To: <sip:somebody@provider.example>${toTag === '' ? '' : `;tag=${toTag}`}`,
        `Call-ID: ${id}@a-host-with-a-long-name.example`,
        `CSeq: ${cseq} ${method}`,
        `Contact: <sip:${phone}@${formatEndpoint(from)}>`,
        ...this.#ballast,
      ],
      body,
    );
    const flow = { transport: 'udp', side: 'internal', local: PROVIDER, remote: from } as const;
    this.#feed({ kind: 'packet', flow, bytes: octetsOf(text), externalAddress: EXTERNAL });
    if (this.#sent === undefined) throw new Error(`the ${method} did not leave`);
    return this.#sent.text;
  }

  /** The provider's response to a request as it left. */
  #answer(
    request: string,
    status: number,
    fields: readonly string[],
    toTag = '',
    body?: readonly string[],
  ): void {
    const kept = request.split('\r\n').filter((line) => /^(Via|From|Call-ID|CSeq|X-Ballast):/.test(line));
    const to = /^To: [^\r\n]*/m.exec(request)![0];
    const tagged = toTag === '' || to.includes(';tag=') ? to : `${to};tag=${toTag}`;
    const text = message([`SIP/2.0 ${status} Here`, ...kept, tagged, ...fields], body);
    const local = this.#sent!.local;
    const flow = { transport: 'udp', side: 'external', local, remote: PROVIDER } as const;
    this.#feed({ kind: 'packet', flow, bytes: octetsOf(text) });
  }

  #feed(input: Input): void {
    if (input.kind === 'packet') this.#count++;
    this.#take(this.#engine.handle(this.#now, input));
  }

  #take(outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (output.kind === 'send' && output.flow.side === 'external')
        this.#sent = { local: output.flow.local, text: textOf(output.bytes, 0, output.bytes.length) };
      else if ((output.kind === 'signalling' || output.kind === 'media') && output.command.action === 'open')
        this.#feed({ kind: 'opened', id: output.command.id });
    }
  }
}

function own(phone: number): Endpoint {
  return { address: `10.0.${phone >> 8}.${phone & 255}`, port: 5060 };
}
