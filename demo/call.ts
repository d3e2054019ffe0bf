/** One call (one INVITE dialog, RFC 3261 §12) of an agent, with one audio stream. */
import { randomBytes } from 'node:crypto';
import type { Agent } from './agent.ts';
import { Journal } from './journal.ts';
import type { Media } from './media.ts';
import {
  first,
  formatMessage,
  formatSdp,
  hostPortOf,
  type Message,
  methodOf,
  parseSdp,
  type SdpMedia,
  statusOf,
  tagOf,
  uriOf,
  values,
} from './message.ts';
import type { ClientTransaction, Fields, Remote } from './transport.ts';

export type CallState =
  | 'trying'
  | 'ringing'
  | 'early media'
  | 'answered'
  | 'confirmed'
  | 'rejected'
  | 'ended';

export interface CallOptions {
  /** Sends its tone as soon as it knows where to. Default true; false is the phone that sends nothing. */
  readonly talk?: boolean;
  /** Blows the INVITE up to at least this many bytes. */
  readonly size?: number;
  /** Sends the first request here instead of where the URI says (an outbound proxy). */
  readonly to?: Remote;
  /** The INVITE has no SDP: the other side offers in its 200, and the ACK answers (RFC 3261 §13.2.1). */
  readonly lateOffer?: boolean;
  /** Further header fields of the INVITE. */
  readonly fields?: Fields;
}

/** What a re-INVITE asks for; `0.0.0.0` is the old way to hold (RFC 3264 §8.4). */
export type Again = 'sendrecv' | 'sendonly' | 'inactive' | '0.0.0.0';

export class Call {
  readonly states = new Journal<CallState>((state) => state);
  /** What came inside the dialog. */
  readonly requests = new Journal<Message>((request) => request.start);
  readonly media: Media;
  readonly callId: string;
  readonly incoming: boolean;
  /** The status of the final response to the INVITE, 0 before. */
  status = 0;
  /** Its tone. */
  hertz: number;
  remoteSdp: SdpMedia | undefined;
  readonly #agent: Agent;
  readonly #talk: boolean;
  #invite: Message | undefined;
  #inviteRemote: Remote | undefined;
  #transaction: ClientTransaction | undefined;
  #local: string;
  #remote: string;
  #target: string;
  #routes: string[] = [];
  #cseq = 100;
  #sdpVersion = 1;
  #answersInAck = false;
  #ack: { bytes: Buffer; to: Remote } | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    agent: Agent,
    media: Media,
    talk: boolean,
    invite: Message | undefined,
    remote: Remote | undefined,
    target: string,
  ) {
    this.#agent = agent;
    this.hertz = agent.hertz;
    this.media = media;
    this.#talk = talk;
    this.#invite = invite;
    this.#inviteRemote = remote;
    this.incoming = invite !== undefined;
    const tag = randomBytes(6).toString('hex');
    if (invite === undefined) {
      this.callId = `${randomBytes(10).toString('hex')}@${agent.wire.address}`;
      this.#local = `<${agent.aor}>;tag=${tag}`;
      this.#remote = `<${target}>`;
      this.#target = target;
    } else {
      this.callId = first(invite, 'call-id');
      this.#local = `${first(invite, 'to')};tag=${tag}`;
      this.#remote = first(invite, 'from');
      this.#target = uriOf(first(invite, 'contact'));
      this.#routes = values(invite, 'record-route');
      this.remoteSdp = parseSdp(invite.body);
    }
  }

  reached(state: CallState, withinMs = 3000): Promise<CallState> {
    const who = `${this.#agent.aor}: call ${this.incoming ? 'from' : 'to'} ${uriOf(this.#remote)} ${state}`;
    return this.states.until((s) => s === state, withinMs, who);
  }

  /** The tags of the dialog, as Replaces names them: from the other side's point of view its own is `to` (RFC 3891 §3). */
  get tags(): { toTag: string; fromTag: string } {
    return { toTag: tagOf(this.#remote), fromTag: tagOf(this.#local) };
  }

  get isOver(): boolean {
    return this.states.entries.some((s) => s === 'ended' || s === 'rejected');
  }

  /** Sends the INVITE of an outgoing call. */
  start(options: CallOptions): void {
    const extra: [string, string][] = [];
    for (const [name, value] of options.fields ?? []) extra.push([name, value]);
    this.#answersInAck = options.lateOffer ?? false;
    let body = this.#answersInAck ? '' : this.#offer();
    if (options.size !== undefined) {
      // Half in header fields, half in the SDP, so that the offer's addresses lie in the middle.
      const half = Math.ceil(options.size / 2);
      for (let i = 0; i * 200 < half; i++) extra.push([`X-Padding-${i}`, 'x'.repeat(180)]);
      for (let i = 0; i * 200 < half; i++) body += `a=x-padding-${i}:${'y'.repeat(180)}\r\n`;
    }
    this.states.add('trying');
    this.#send(options.to, extra, body);
  }

  async ring(): Promise<void> {
    this.#respond('180 Ringing');
    this.states.add('ringing');
  }

  /** Early media: 183 with SDP, and the tone. */
  earlyMedia(): void {
    this.#respond('183 Session Progress', this.#offer());
    this.states.add('early media');
    this.#speak();
  }

  answer(): void {
    const body = this.#offer();
    const transmit = (intervalMs: number): void => {
      this.#respond('200 OK', body);
      this.#timer = setTimeout(() => transmit(Math.min(intervalMs * 2, 4000)), intervalMs);
    };
    this.status = 200;
    transmit(500);
    this.states.add('answered');
    this.#speak();
  }

  reject(status = '486 Busy Here'): void {
    this.status = Number(status.slice(0, 3));
    this.#respond(status);
    this.states.add('rejected');
  }

  cancel(): Promise<Message> {
    const { request, via, to } = this.#transaction!;
    const fields = request.fields.filter(([name]) => /^(from|to|call-id|route)$/i.test(name));
    const cseq = `${first(request, 'cseq').split(' ')[0]} CANCEL`;
    const start = request.start.replace('INVITE', 'CANCEL');
    return this.#agent.wire.request(start, [...fields, ['CSeq', cseq]], '', to, via).final();
  }

  async hangup(withinMs = 3000): Promise<Message> {
    clearTimeout(this.#timer);
    const response = await this.#inDialog('BYE', '').final(withinMs);
    this.media.stop();
    this.states.add('ended');
    return response;
  }

  /** A re-INVITE that holds or resumes. */
  async offerAgain(direction: Again, withinMs = 3000): Promise<SdpMedia | undefined> {
    const transaction = this.#inDialog('INVITE', this.#offer(direction));
    const response = await transaction.final(withinMs);
    if (statusOf(response) !== 200) throw new Error(`the re-INVITE got ${response.start}`);
    this.#acknowledge(response);
    this.remoteSdp = parseSdp(response.body);
    return this.remoteSdp;
  }

  /** Anything else inside the dialog. */
  request(method: string, body = '', fields: Fields = []): ClientTransaction {
    return this.#inDialog(method, body, fields);
  }

  /** A request inside the dialog, from the agent. */
  takeRequest(request: Message, remote: Remote): void {
    const method = methodOf(request);
    this.requests.add(request);
    if (method === 'ACK') {
      clearTimeout(this.#timer);
      if (this.remoteSdp === undefined) {
        this.remoteSdp = parseSdp(request.body);
        this.#speak();
      }
      this.states.add(this.status < 300 ? 'confirmed' : 'ended');
    } else if (method === 'BYE') {
      clearTimeout(this.#timer);
      this.#agent.wire.respond(request, remote, '200 OK');
      this.states.add('ended');
      if (!this.#agent.keepsTalking) this.media.stop();
    } else if (method === 'CANCEL') {
      this.#agent.wire.respond(request, remote, '200 OK');
      this.status = 487;
      this.#respond('487 Request Terminated');
      this.states.add('ended');
    } else if (method === 'INVITE') {
      this.remoteSdp = parseSdp(request.body);
      const direction =
        this.remoteSdp?.direction === 'sendonly' ? 'recvonly' : (this.remoteSdp?.direction ?? 'sendrecv');
      this.#invite = request;
      this.#inviteRemote = remote;
      this.#respond('200 OK', this.#offer(direction));
      if (direction === 'sendrecv') this.#speak();
      else this.media.stop();
    } else this.#agent.wire.respond(request, remote, '200 OK');
  }

  takeSuccessAgain(): void {
    if (this.#ack !== undefined) this.#agent.wire.send(this.#ack.bytes, this.#ack.to);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#transaction?.stop();
    this.media.close();
  }

  #offer(direction = 'sendrecv'): string {
    if (direction === '0.0.0.0') return formatSdp('0.0.0.0', this.media.port, this.#sdpVersion++);
    return formatSdp(this.#agent.sdpAddress, this.media.port, this.#sdpVersion++, direction);
  }

  #speak(): void {
    if (this.remoteSdp?.address === '0.0.0.0') this.media.stop();
    else if (this.#talk && this.remoteSdp !== undefined) this.media.start(this.remoteSdp, this.hertz);
  }

  #respond(status: string, body = ''): void {
    const fields: [string, string][] = [['To', this.#local]];
    if (status.startsWith('1') || status.startsWith('2')) fields.push(['Contact', this.#agent.contact]);
    if (body !== '') fields.push(['Content-Type', 'application/sdp']);
    this.#agent.wire.respond(this.#invite!, this.#inviteRemote!, status, fields, body);
  }

  #send(to: Remote | undefined, extra: Fields, body: string): void {
    const transaction = this.#agent.wire.request(
      `INVITE ${this.#target} SIP/2.0`,
      [
        ...this.#dialogFields('INVITE'),
        ['Contact', this.#agent.contact],
        ...(body === '' ? [] : ([['Content-Type', 'application/sdp']] as const)),
        ...extra,
      ],
      body,
      to ?? hostPortOf(this.#target),
    );
    this.#transaction = transaction;
    transaction.onResponse = (response) => this.#takeResponse(response, to, extra, body);
  }

  #takeResponse(response: Message, to: Remote | undefined, extra: Fields, body: string): void {
    const status = statusOf(response);
    if (status === 401 || status === 407) {
      const credentials = this.#agent.credentials(response, 'INVITE', this.#target);
      if (credentials !== undefined && !extra.some(([name]) => /authorization/i.test(name))) {
        this.#send(to, [...extra, credentials], body);
        return;
      }
    }
    if (status > 100 && tagOf(first(response, 'to')) !== '') this.#remote = first(response, 'to');
    if (status > 100 && status < 300) {
      const sdp = parseSdp(response.body);
      if (sdp !== undefined) this.remoteSdp = sdp;
      if (status < 200) {
        this.states.add(sdp === undefined ? 'ringing' : 'early media');
        if (sdp !== undefined) this.#speak();
        return;
      }
      this.status = status;
      this.#routes = values(response, 'record-route').reverse();
      this.#target = uriOf(first(response, 'contact')) || this.#target;
      this.#acknowledge(response);
      this.states.add('answered');
      this.states.add('confirmed');
      this.#speak();
    }
    if (status >= 300) {
      this.status = status;
      this.states.add('rejected');
      this.media.stop();
    }
  }

  #acknowledge(response: Message): void {
    const number = first(response, 'cseq').split(' ')[0];
    const fields: Fields = [
      ['Via', this.#agent.wire.newVia()],
      ['Max-Forwards', '70'],
      ...this.#routes.map((route) => ['Route', route] as const),
      ['From', this.#local],
      ['To', this.#remote],
      ['Call-ID', this.callId],
      ['CSeq', `${number} ACK`],
    ];
    const body = this.#answersInAck ? this.#offer() : '';
    const type: Fields = body === '' ? [] : [['Content-Type', 'application/sdp']];
    this.#answersInAck = false;
    const bytes = formatMessage({ start: `ACK ${this.#target} SIP/2.0`, fields: [...fields, ...type], body });
    this.#ack = { bytes, to: this.#nextHop() };
    this.#agent.wire.send(bytes, this.#ack.to);
  }

  #inDialog(method: string, body: string, extra: Fields = []): ClientTransaction {
    const fields: [string, string][] = [...this.#dialogFields(method)];
    if (method === 'INVITE') fields.push(['Contact', this.#agent.contact]);
    if (body !== '' && !extra.some(([name]) => name === 'Content-Type'))
      fields.push(['Content-Type', 'application/sdp']);
    const all = [...this.#routes.map((route) => ['Route', route] as const), ...fields, ...extra];
    return this.#agent.wire.request(`${method} ${this.#target} SIP/2.0`, all, body, this.#nextHop());
  }

  #nextHop(): Remote {
    return (
      this.#agent.dialogHop ?? hostPortOf(this.#routes.length > 0 ? uriOf(this.#routes[0]!) : this.#target)
    );
  }

  #dialogFields(method: string): [string, string][] {
    return [
      ['From', this.#local],
      ['To', this.#remote],
      ['Call-ID', this.callId],
      ['CSeq', `${++this.#cseq} ${method}`],
    ];
  }
}
