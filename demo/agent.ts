/**
 * A small SIP user agent: the scripted phone of the demo and of the lab, and with `registrar.ts` the scripted provider.
 * It does what its owner tells it, and notes what a strict phone would not stand (`violations`).
 */
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:dgram';
import { Call, type CallOptions } from './call.ts';
import { authorization } from './digest.ts';
import { Journal } from './journal.ts';
import { Media } from './media.ts';
import { first, hostPortOf, type Message, methodOf, statusOf, uriOf, values } from './message.ts';
import { type Remote, SipSocket, type Wire } from './transport.ts';

export interface AgentOptions {
  readonly user: string;
  /** Host part of its address-of-record. */
  readonly domain: string;
  readonly address: string;
  readonly port?: number;
  /** Where all its requests outside a dialog go. Default: where the URI says. */
  readonly outbound?: Remote;
  /** Also requests inside a dialog go there. Default: where the dialog's routes or target say. */
  readonly outboundAlways?: boolean;
  readonly password?: string;
  /** Its Via asks for rport (RFC 3581). Default false. */
  readonly rport?: boolean;
  /** It asks for outbound with this instance, as a URN (RFC 5626 §4.2.1). */
  readonly instance?: string;
  /** Where its audio comes from and goes to. Default: its own address, any even port. */
  readonly mediaAddress?: string;
  readonly mediaPort?: number;
  /** Its tone. */
  readonly hertz: number;
  /** Goes on sending RTP after the other side has hung up. */
  readonly keepsTalking?: boolean;
  /** What it writes into Via, Contact and SDP instead of its own endpoint (behind a port forward). */
  readonly publicEndpoint?: Remote;
  /** What it does with an incoming call by itself. Default `ring`. */
  readonly onCall?: 'answer' | 'ring' | 'nothing';
  /** Whether it sends RTP in incoming calls. Default true. */
  readonly talk?: boolean;
}

export type OpenSocket = (address: string, port: number) => Promise<Socket>;

export class Agent {
  readonly aor: string;
  readonly wire: SipSocket;
  readonly hertz: number;
  readonly calls = new Journal<Call>((call) => call.callId);
  readonly contactUri: string;
  keepsTalking: boolean;
  /** Requests outside any dialog that are not INVITE. Default: 200 OK. */
  onOther: (request: Message, remote: Remote) => void = (request, remote) =>
    this.wire.respond(request, remote, '200 OK');
  readonly #options: AgentOptions;
  readonly #open: OpenSocket;
  #registerCseq = 0;
  readonly #registerCallId = randomBytes(10).toString('hex');

  private constructor(options: AgentOptions, open: OpenSocket, socket: Wire) {
    this.#options = options;
    this.#open = open;
    this.aor = `sip:${options.user}@${options.domain}`;
    this.hertz = options.hertz;
    this.keepsTalking = options.keepsTalking ?? false;
    this.wire = new SipSocket(socket, options.rport ?? false, options.publicEndpoint);
    this.wire.onRequest = (request, remote) => void this.#take(request, remote);
    this.wire.onStraySuccess = (response) => this.#callOf(response)?.takeSuccessAgain();
    const transport = this.wire.transport === 'TCP' ? ';transport=tcp' : '';
    this.contactUri = `sip:${options.user}@${this.wire.contactHost}${transport}`;
  }

  /** `wire`: what its signalling goes by, where that is no UDP socket. */
  static async open(options: AgentOptions, open: OpenSocket, wire?: Wire): Promise<Agent> {
    return new Agent(options, open, wire ?? (await open(options.address, options.port ?? 5060)));
  }

  /** Where requests inside a dialog go instead of where the dialog says. */
  get dialogHop(): Remote | undefined {
    return this.#options.outboundAlways === true ? this.#options.outbound : undefined;
  }

  get contact(): string {
    return `<${this.contactUri}>`;
  }

  get violations(): string[] {
    return this.wire.violations;
  }

  /** Registers; gives the lifetime granted in seconds. 0 removes the contact binding. */
  async register(expires = 300, withinMs = 4000): Promise<number> {
    const uri = `sip:${this.#options.domain}`;
    const to = this.#options.outbound ?? hostPortOf(uri);
    let credentials: [string, string] | undefined;
    for (;;) {
      const response = await this.wire
        .request(
          `REGISTER ${uri} SIP/2.0`,
          [
            ['From', `<${this.aor}>;tag=${randomBytes(6).toString('hex')}`],
            ['To', `<${this.aor}>`],
            ['Call-ID', this.#registerCallId],
            ['CSeq', `${++this.#registerCseq} REGISTER`],
            ...this.#outbound(),
            ['Expires', String(expires)],
            ...(credentials === undefined ? [] : [credentials]),
          ],
          '',
          to,
        )
        .final(withinMs);
      if (statusOf(response) === 401 && credentials === undefined) {
        credentials = this.credentials(response, 'REGISTER', uri);
        if (credentials !== undefined) continue;
      }
      if (statusOf(response) !== 200) throw new Error(`REGISTER got ${response.start}`);
      if (expires === 0) return 0;
      const own = values(response, 'contact').find((value) => uriOf(value) === this.contactUri);
      if (own === undefined) {
        const listed = values(response, 'contact').join(', ');
        this.violations.push(
          `the 200 to REGISTER lists ${listed === '' ? 'nothing' : listed}, not ${this.contactUri}`,
        );
      }
      return Number(/;expires=(\d+)/i.exec(own ?? '')?.[1] ?? (first(response, 'expires') || expires));
    }
  }

  #outbound(): [string, string][] {
    const { instance } = this.#options;
    if (instance === undefined) return [['Contact', this.contact]];
    return [
      ['Supported', 'path, outbound'],
      ['Contact', `${this.contact};reg-id=1;+sip.instance="<${instance}>"`],
    ];
  }

  /** The header field that answers a challenge; undefined without a password. */
  credentials(challenge: Message, method: string, uri: string): [string, string] | undefined {
    const { user, password } = this.#options;
    if (password === undefined) return undefined;
    const proxy = statusOf(challenge) === 407;
    const asked = first(challenge, proxy ? 'proxy-authenticate' : 'www-authenticate');
    return [
      proxy ? 'Proxy-Authorization' : 'Authorization',
      authorization(asked, user, password, method, uri),
    ];
  }

  async call(target: string, options: CallOptions = {}): Promise<Call> {
    const call = new Call(this, await this.openMedia(), options.talk ?? true, undefined, undefined, target);
    this.calls.add(call);
    const to = options.to ?? this.#options.outbound;
    call.start(to === undefined ? options : { ...options, to });
    return call;
  }

  /** The next incoming call after the first `seen` calls of this agent. */
  incoming(withinMs = 3000, seen = 0): Promise<Call> {
    return this.calls.until((call) => call.incoming, withinMs, `${this.aor}: an incoming call`, seen);
  }

  /** The address in its SDP. */
  get sdpAddress(): string {
    return this.#options.publicEndpoint?.address ?? this.#options.mediaAddress ?? this.#options.address;
  }

  async openMedia(): Promise<Media> {
    const address = this.#options.mediaAddress ?? this.#options.address;
    const { mediaPort } = this.#options;
    if (mediaPort !== undefined) return new Media(await this.#open(address, mediaPort));
    for (;;) {
      const socket = await this.#open(address, 0);
      if (socket.address().port % 2 === 0) return new Media(socket);
      socket.close();
    }
  }

  /** Closes all calls and forgets them, for whoever runs for long. */
  forget(): void {
    for (const call of this.calls.entries) call.close();
    this.calls.clear();
    this.wire.forget();
  }

  close(): void {
    for (const call of this.calls.entries) call.close();
    this.wire.close();
  }

  async #take(request: Message, remote: Remote): Promise<void> {
    const method = methodOf(request);
    const call = this.#callOf(request);
    const uri = request.start.split(' ')[1] ?? '';
    if (call !== undefined) {
      if (!this.takes(uri)) this.#misdirected(request, remote, uri);
      else call.takeRequest(request, remote);
      return;
    }
    if (method === 'ACK') return;
    if (method !== 'INVITE') {
      if (method === 'BYE' || method === 'CANCEL')
        this.wire.respond(request, remote, '481 Call/Transaction Does Not Exist');
      else this.onOther(request, remote);
      return;
    }
    if (!this.takes(uri)) {
      this.#misdirected(request, remote, uri);
      return;
    }
    const created = new Call(this, await this.openMedia(), this.#options.talk ?? true, request, remote, '');
    this.calls.add(created);
    const { onCall = 'ring' } = this.#options;
    if (onCall === 'ring') await created.ring();
    if (onCall === 'answer') created.answer();
  }

  /** Whether a Request-URI is one that this agent listens to: a phone knows its own Contact only. */
  takes: (uri: string) => boolean = (uri) => uri === this.contactUri;

  #misdirected(request: Message, remote: Remote, uri: string): void {
    this.violations.push(`${methodOf(request)} asks for ${uri}, the Contact is ${this.contactUri}`);
    if (methodOf(request) !== 'ACK') this.wire.respond(request, remote, '404 Not Found');
  }

  #callOf(message: Message): Call | undefined {
    const id = first(message, 'call-id');
    return this.calls.entries.find((call) => call.callId === id);
  }
}
