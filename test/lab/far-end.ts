/**
 * A provider whose every message the test writes itself: several early dialogs, another answer than before, refusals,
 * requests of its own. It takes the place of the scripted provider's calls, and leaves it the registrations.
 */
import { randomBytes } from 'node:crypto';
import { Journal } from '../../demo/journal.ts';
import { Media } from '../../demo/media.ts';
import {
  first,
  formatSdp,
  hostPortOf,
  type Message,
  methodOf,
  parseSdp,
  type SdpMedia,
  uriOf,
} from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import type { ClientTransaction, Fields, Remote, SipSocket } from '../../demo/transport.ts';
import type { Lab } from './lab.ts';

const CONTACT = `<sip:far@${addresses.provider}:5060>`;

/** A request as it came in. */
export class Received {
  readonly message: Message;
  readonly #remote: Remote;
  readonly #wire: SipSocket;

  constructor(message: Message, remote: Remote, wire: SipSocket) {
    this.message = message;
    this.#remote = remote;
    this.#wire = wire;
  }

  get sdp(): SdpMedia {
    const sdp = parseSdp(this.message.body);
    if (sdp === undefined) throw new Error(`${this.message.start} has no SDP`);
    return sdp;
  }

  /** `tag` is put on the To, where it has none yet. */
  reply(status: string, options: { tag?: string; body?: string; fields?: Fields } = {}): void {
    const { tag, body = '', fields = [] } = options;
    const to = first(this.message, 'to');
    this.#wire.respond(
      this.message,
      this.#remote,
      status,
      [
        ['To', tag === undefined || to.includes(';tag=') ? to : `${to};tag=${tag}`],
        ['Contact', CONTACT],
        ...(body === '' ? [] : ([['Content-Type', 'application/sdp']] as const)),
        ...fields,
      ],
      body,
    );
  }
}

export class FarEnd {
  readonly requests = new Journal<Received>((one) => one.message.start);
  readonly #wire: SipSocket;
  readonly #lab: Lab;
  #cseq = 500;

  constructor(lab: Lab, provider: Provider) {
    this.#lab = lab;
    this.#wire = provider.agent.wire;
    const registrar = this.#wire.onRequest;
    this.#wire.onRequest = (request, remote) => {
      if (methodOf(request) === 'REGISTER') registrar(request, remote);
      else this.requests.add(new Received(request, remote, this.#wire));
    };
  }

  /** The first request of a method after the first `seen` requests of all. */
  request(method: string, seen = 0, withinMs = 3000): Promise<Received> {
    return this.requests.until((one) => methodOf(one.message) === method, withinMs, `a ${method}`, seen);
  }

  /** Somebody on this side who sends and hears media; a tone, where it is told to start. */
  async media(address: string): Promise<Media> {
    const media = new Media(await this.#lab.network.socket('provider', address, 0));
    this.#lab.defer(() => media.close());
    return media;
  }

  /** A request of its own inside the dialog that a call of the phone has opened. */
  send(method: string, call: Received, tag: string, body = '', fields: Fields = []): ClientTransaction {
    const { message } = call;
    const to = first(message, 'to');
    const target = uriOf(first(message, 'contact'));
    return this.#wire.request(
      `${method} ${target} SIP/2.0`,
      [
        ['From', to.includes(';tag=') ? to : `${to};tag=${tag}`],
        ['To', first(message, 'from')],
        ['Call-ID', first(message, 'call-id')],
        ['CSeq', `${++this.#cseq} ${method}`],
        ['Contact', CONTACT],
        ...(body === '' ? [] : ([['Content-Type', 'application/sdp']] as const)),
        ...fields,
      ],
      body,
      hostPortOf(target),
    );
  }
}

export function newTag(): string {
  return randomBytes(5).toString('hex');
}

export function sdpOf(media: Media, direction = 'sendrecv'): string {
  return formatSdp(media.address, media.port, 1, direction);
}
