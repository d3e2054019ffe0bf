/**
 * What the engine knows, and what both directions do with it: waiting for a mapping, dialog and media of a message, making
 * its edits, passing it as it came. outbound.ts and inbound.ts say what is special about theirs.
 */

import { PortPool } from '../nat/port-pool.ts';
import {
  type Address,
  type Endpoint,
  formatEndpoint,
  isIPv6,
  isUnspecified,
  sameEndpoint,
} from '../net/address.ts';
import { type Flow, over, type Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { type Defect, describeDefect } from '../sip/defect.ts';
import type { Edit } from '../sip/edit.ts';
import { type Message, type Scan, scanMessage } from '../sip/message.ts';
import { equalsText, textOf } from '../sip/octets.ts';
import { Answering } from './answering.ts';
import { type LeaveReason, leaveReasons } from './calls.ts';
import { classify, SIP_PORT } from './classify.ts';
import { type Dialog, Dialogs } from './dialogs.ts';
import type { AlgEvent } from './event.ts';
import { ExternalAddresses } from './external-addresses.ts';
import type { MappingId, Output, RecordTable } from './io.ts';
import { Keepalives } from './keepalive.ts';
import { Mappings, type SignallingMapping } from './mappings.ts';
import { MediaTable } from './media.ts';
import {
  defaultLimits,
  defaultMediaPorts,
  defaultPolicy,
  defaultSignallingPorts,
  type EngineOptions,
  type Limits,
  type Policy,
  type RuleSwitches,
  ruleSwitches,
} from './policy.ts';
import { Profiles } from './profile.ts';
import { rewrite } from './rewrite.ts';
import type { RuleId } from './rules.ts';
import { sizeOf, summaryOf } from './summary.ts';
import { type Transaction, Transactions } from './transactions.ts';
import { type Packet, Waiting } from './waiting.ts';

export class EngineState {
  readonly policy: Policy;
  readonly on: RuleSwitches;
  readonly limits: Limits;
  readonly options: EngineOptions;
  /** Explicit mode: our own endpoints. */
  readonly own: readonly Endpoint[];
  readonly mappings: Mappings;
  readonly dialogs: Dialogs;
  readonly media: MediaTable;
  readonly transactions: Transactions;
  readonly waiting: Waiting;
  readonly profiles: Profiles;
  readonly addresses = new ExternalAddresses();
  readonly keepalives: Keepalives;
  readonly answering: Answering;
  /** Whose rows have to be written when the input has been handled. */
  readonly dirtyMappings = new Set<SignallingMapping>();
  readonly dirtyDialogs = new Set<Dialog>();
  /** Of a former run, and not asked of the data plane yet; what was used last stands first. */
  readonly unopened = new Set<SignallingMapping>();
  /** Outputs of the input that is being handled. */
  out: Output[] = [];
  /** The packet that is being handled is a copy of one that has gone on by itself. */
  watching = false;
  /** The packet that is being handled has named an endpoint that could not be had: nothing more is opened for it. */
  lacking = false;
  /** Relay: our address towards each phone, for requests that come from the provider first. */
  readonly #innerAddresses = new Map<Address, Address>();
  #lastId: MappingId = 0;

  constructor(options: EngineOptions) {
    this.options = options;
    this.policy = { ...defaultPolicy, ...options.policy };
    this.on = ruleSwitches(this.policy);
    this.own = options.own ?? [];
    this.limits = { ...defaultLimits, ...options.limits };
    const mediaPool = new PortPool(options.mediaPorts ?? defaultMediaPorts);
    for (const { external, ports } of options.takenMedia ?? [])
      mediaPool.claim(external.address, external.port, ports);
    this.mappings = new Mappings(
      options.signallingPorts ?? defaultSignallingPorts,
      options.mappings ?? [],
      this.limits,
    );
    this.dialogs = new Dialogs(this.limits.dialogs, this.limits.dialogsPerPhone, this.limits.callIdleMs);
    this.transactions = new Transactions(
      this.limits.transactions,
      this.limits.transactionsPerPhone,
      options.hashKey,
    );
    this.waiting = new Waiting(this.limits.pending);
    this.profiles = new Profiles(options.choose, (phone) => options.isProxy?.(phone) === true, this.limits);
    this.keepalives = new Keepalives(
      options.upstreamNat ?? 'auto',
      {
        isWanted: (mapping, peer, now) => this.#mayBeReached(mapping, peer, now),
        isPresent: ({ external }) => this.addresses.isPresent(external.address),
        answersStun: ({ internal }, { address }) =>
          this.profiles.has(internal.address, address, 'keep') ||
          this.profiles.has(internal.address, address, 'outbound'),
      },
      this.limits,
    );
    this.media = new MediaTable(
      mediaPool,
      options.mediaMappings ?? [],
      this.limits,
      options.media === 'relay',
      () => this.nextId(),
      (key) => this.dialogs.byKey(key),
      (dialog) => this.#mayReceive(dialog),
      options.neighbours,
    );
    this.answering = new Answering(2 * this.limits.mappings);
  }

  nextId(): MappingId {
    return ++this.#lastId;
  }

  /** The phone's mapping for an endpoint of its own, a new one where there is none yet. */
  ensure(
    now: TimeMs,
    transport: Transport,
    internal: Endpoint,
    address: Address,
  ): SignallingMapping | undefined {
    const old = this.mappings.byInternal(transport, internal, address);
    if (old !== undefined) return old;
    const mapping = this.mappings.create(this.nextId(), now, transport, internal, address, this.watching);
    if (mapping === undefined) {
      const mine = this.mappings.ofPhone(internal.address).length;
      const limit = mine >= this.limits.mappingsPerPhone ? 'mappings-per-phone' : 'mappings';
      const value = limit === 'mappings' ? this.mappings.size : mine;
      this.event({ kind: 'limit.reached', limit, value, phone: internal.address });
      return undefined;
    }
    this.openSignalling(mapping);
    this.mappings.schedule(mapping);
    return mapping;
  }

  /** Keeps the packet until everything that it needs is open. */
  wait(
    now: TimeMs,
    mapping: SignallingMapping,
    packet: Packet,
    ids: Iterable<MappingId> = [mapping.id],
  ): void {
    if (this.unopened.size > 0)
      for (const id of ids) {
        const awaited = this.mappings.byId(id);
        if (awaited !== undefined) this.openRestored(awaited, now);
      }
    if (!this.waiting.add(packet, mapping.id, ids, this.lacking))
      this.drop(packet.flow, 'too many packets wait for their mapping');
  }

  /**
   * Whether what goes by a mapping has to wait until it is open. A copy has not: nothing is advertised by it, and what follows
   * it may be here already.
   */
  mustWait({ state }: SignallingMapping): boolean {
    return state !== 'open' && !this.watching;
  }

  openSignalling(mapping: SignallingMapping): void {
    const { id, transport, internal, external } = mapping;
    this.out.push({ kind: 'signalling', command: { action: 'open', id, transport, internal, external } });
  }

  /** Has a mapping of a former run opened, unless it was before. */
  openRestored(mapping: SignallingMapping, now: TimeMs): void {
    if (!this.unopened.delete(mapping)) return;
    this.openSignalling(mapping);
    this.hold(mapping, now);
  }

  /** Keeps the way in open for everybody who may have to come back: registrars, notifiers, the far ends of calls. */
  hold(mapping: SignallingMapping, now: TimeMs): void {
    // That will be done when it is opened.
    if (this.unopened.has(mapping)) return;
    const { registrations, dialogs, keepUntil } = mapping;
    if (registrations.size === 1 && dialogs.size === 0 && keepUntil <= now) {
      // As most of them are, most of the time.
      for (const { peer, expiresAt } of registrations.values())
        if (expiresAt > now) this.#holdFor(mapping, peer, expiresAt, now);
      return;
    }
    const until = new Map<string, { peer: Endpoint; at: TimeMs }>();
    const keep = (peer: Endpoint | undefined, at: TimeMs): void => {
      if (peer === undefined || at <= now) return;
      const key = formatEndpoint(peer);
      if ((until.get(key)?.at ?? 0) < at) until.set(key, { peer, at });
    };
    for (const one of registrations.values()) keep(one.peer, one.expiresAt);
    keep(mapping.lastPeer, keepUntil);
    for (const key of dialogs) {
      const dialog = this.dialogs.byKey(key);
      if (dialog?.state === 'confirmed') keep(dialog.peer, dialog.endsAt);
    }
    for (const { peer, at } of until.values()) this.#holdFor(mapping, peer, at, now);
  }

  #holdFor(mapping: SignallingMapping, peer: Endpoint, at: TimeMs, now: TimeMs): void {
    this.out.push({
      kind: 'signalling',
      command: { action: 'hold', id: mapping.id, peer, lifetimeMs: at - now },
    });
    if (this.#mayBeReached(mapping, peer, now)) this.keepalives.keep(mapping, peer, now, this.out);
  }

  /** Whether a peer has granted the phone a registration that lasts, or carries a confirmed dialog of it. */
  #mayBeReached(mapping: SignallingMapping, peer: Endpoint, now: TimeMs): boolean {
    for (const one of mapping.registrations.values())
      if (one.expiresAt > now && sameEndpoint(one.peer, peer)) return true;
    for (const key of mapping.dialogs) {
      const dialog = this.dialogs.byKey(key);
      if (dialog?.state === 'confirmed' && sameEndpoint(dialog.peer, peer)) return true;
    }
    return false;
  }

  /** Undefined: not SIP, or longer than what is looked into. */
  scan(bytes: Uint8Array): Scan | undefined {
    return bytes.length <= this.limits.messageBytes && classify(bytes) === 'sip'
      ? scanMessage(bytes)
      : undefined;
  }

  isAdmitted(mapping: SignallingMapping, sender: Endpoint): boolean {
    return (
      mapping.peers.has(sender.address) ||
      this.options.isProvider?.(sender.address) === true ||
      this.mappings.byExternal(mapping.transport, sender) !== undefined ||
      this.options.neighbours?.signalling(mapping.transport, sender) !== undefined
    );
  }
  /**
   * Whether only a transparent gateway: phones that name us as their proxy cannot be left alone by us. What is watched is left
   * alone in any case.
   */
  get canObserve(): boolean {
    return !this.watching && this.options.media !== 'relay' && this.own.length === 0;
  }

  /**
   * Whether a message goes on as it came: a response as its request did, a request inside a dialog as the dialog began, every
   * other one by its profile. `transaction`: the one that a response belongs to.
   */
  observes(
    now: TimeMs,
    message: Message,
    direction: 'out' | 'in',
    mapping: SignallingMapping,
    peer: Endpoint,
    transaction: Transaction | undefined,
  ): boolean {
    if (!this.profiles.mayObserve || !this.canObserve) return false;
    if (message.kind === 'response' && transaction !== undefined) return transaction.observed;
    const phone = mapping.internal.address;
    return (
      this.dialogs.find(message, direction, phone)?.observed ??
      this.profiles.observes(now, direction, phone, peer.address)
    );
  }

  /** Whether media may come in for a dialog (answering.ts). */
  #mayReceive({ heard, phone, peer }: Dialog): boolean {
    if (heard || this.answering.has(phone, peer.address)) return true;
    if (this.options.isProvider?.(peer.address) === true) return true;
    for (const mapping of this.mappings.ofPhone(phone))
      for (const one of mapping.registrations.values()) if (one.peer.address === peer.address) return true;
    return false;
  }

  /** Explicit mode: our own endpoint as the phone knows it; undefined where phones do not address us. */
  ownEndpoint(phone: Address): Endpoint | undefined {
    if (this.own.length === 0) return undefined;
    const address = this.innerAddress(phone);
    const own = this.own.filter((one) => isIPv6(one.address) === isIPv6(phone));
    const exact =
      own.find((one) => one.address === address) ?? own.find((one) => !isUnspecified(one.address));
    if (exact !== undefined) return exact;
    const wildcard = own[0];
    return wildcard === undefined || address === undefined ? undefined : { address, port: wildcard.port };
  }

  innerAddress(phone: Address): Address | undefined {
    const known = this.#innerAddresses.get(phone);
    if (known !== undefined) return known;
    // Before the phone has sent anything, our own endpoint of its family is a good guess.
    return this.own.find((one) => isIPv6(one.address) === isIPv6(phone) && !isUnspecified(one.address))
      ?.address;
  }

  rememberInner(phone: Address, inner: Address): void {
    if (this.#innerAddresses.get(phone) === inner) return;
    if (this.#innerAddresses.size >= this.limits.mappings) this.#innerAddresses.clear();
    this.#innerAddresses.set(phone, inner);
  }

  openTransaction(
    now: TimeMs,
    message: Message,
    initiator: 'internal' | 'external',
    mapping: SignallingMapping,
    flow: Flow,
    observed: boolean,
  ): void {
    if (initiator === 'internal' && message.method !== 'ACK') mapping.silentSince ??= now;
    const { sentBy, rport } = message.via;
    // Without rport the response goes to the port of the sent-by, not to the one that sent (RFC 3261 §18.2.2).
    const port =
      initiator === 'internal' && rport === undefined && sentBy.address === flow.remote.address
        ? (sentBy.port ?? SIP_PORT)
        : flow.remote.port;
    const peer = keptEndpoint(mapping, flow.remote.address, port);
    const { start, end } = sentBy.span;
    if (!equalsText(message.bytes, start, end, mapping.sentBy)) {
      const text = textOf(message.bytes, start, end);
      // A sent-by with folds cannot be written back as one edit of printable text; its host and port can.
      mapping.sentBy = /^[\x21-\x7e]+$/.test(text) ? text : text.replace(/\s+/g, '');
    }
    const phone = mapping.internal.address;
    const { connection } = flow;
    const transaction = { mapping: mapping.id, phone, sentBy: mapping.sentBy, peer, connection, observed };
    const limit = this.transactions.open(message, initiator, transaction, now);
    if (limit !== undefined)
      this.event({ kind: 'limit.reached', limit, value: this.transactions.size, phone });
  }

  /** Makes the edits and sends; returns what was sent. */
  finish(
    message: Message,
    flow: Flow,
    to: Flow,
    edits: readonly Edit<RuleId>[],
    leave: LeaveReason | undefined,
    why = leave === undefined ? 'nothing to translate' : leaveReasons[leave],
  ): Uint8Array {
    if (this.watching) {
      this.pass(flow, to, message.bytes, 'routed without NAT', message.defects);
      return message.bytes;
    }
    const result = rewrite(message, edits);
    if (!result.ok) {
      this.event({ kind: 'engine.fault', flow, text: result.fault });
      this.pass(flow, to, message.bytes, 'the edited message did not stand the second look', message.defects);
      return message.bytes;
    }
    if (result.edits.length === 0) {
      this.pass(flow, to, message.bytes, why, message.defects);
      return message.bytes;
    }
    this.out.push({ kind: 'send', flow: to, bytes: result.bytes });
    const kind = 'message.translated';
    // As all that an event shows of a message, it is cut from the message's text.
    const callId = message.text.slice(message.callIdSpan.start, message.callIdSpan.end);
    const summary = summaryOf(message);
    if (leave === undefined) this.event({ kind, flow, summary, callId, edits: result.edits });
    else this.event({ kind, flow, summary, callId, edits: result.edits, left: leaveReasons[leave] });
    return result.bytes;
  }

  pass(flow: Flow, to: Flow, bytes: Uint8Array, why: string, defects: readonly Defect[]): void {
    if (!this.watching) this.out.push({ kind: 'send', flow: to, bytes });
    this.event({
      kind: 'message.passed',
      flow,
      summary: sizeOf(bytes),
      why,
      defects: defects.map(describeDefect),
    });
  }

  /**
   * What can get no mapping: a datagram is dropped, and comes again; what a connection carries comes only once, and
   * goes on over it as it came.
   */
  forgo({ flow, bytes, externalAddress }: Packet, why: string): void {
    const { transport, side, connection } = flow;
    if (connection === undefined || side !== 'internal' || externalAddress === undefined)
      return this.drop(flow, why);
    const local = { address: externalAddress, port: 0 };
    this.pass(
      flow,
      over({ transport, side: 'external', local, remote: flow.local }, connection),
      bytes,
      why,
      [],
    );
  }

  drop(flow: Flow, why: string): void {
    if (this.watching)
      this.event({ kind: 'message.passed', flow, summary: 'not followed', why, defects: [] });
    else this.event({ kind: 'message.dropped', flow, why });
  }
  event(event: AlgEvent): void {
    this.out.push({ kind: 'event', event });
  }
  record(table: RecordTable, key: string, value: unknown): void {
    this.out.push({ kind: 'record', table, key, value });
  }
}

/** The endpoint as the mapping has it already, as a rule: what lives for a minute shares what lives for long. */
function keptEndpoint({ internal, lastPeer }: SignallingMapping, address: Address, port: number): Endpoint {
  if (internal.port === port && internal.address === address) return internal;
  if (lastPeer?.port === port && lastPeer.address === address) return lastPeer;
  return { address, port };
}
