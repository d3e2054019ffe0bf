/**
 * The engine: one packet in, what has to be sent and done out. No sockets, no clock, no randomness.
 *
 * A packet's way: classify.ts says what it is, message.ts scans it, this file matches it to its phone's mapping,
 * transaction and dialog, decide.ts and session.ts say what changes, media.ts gives out ports, rewrite.ts makes the edits
 * and checks them. What is not understood leaves as it came.
 *
 * A message that names an endpoint which is not open yet waits in its mapping, and is handled anew when the driver
 * answers; so nothing is advertised before it works.
 */

import { PortPool } from '../nat/port-pool.ts';
import { type Address, type Endpoint, formatEndpoint } from '../net/address.ts';
import type { Flow } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { type Defect, describeDefect } from '../sip/defect.ts';
import type { Edit } from '../sip/edit.ts';
import { type Message, scanMessage } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { advance, dialogOf, finish, learn, offer, sessionOf, settle } from './calls.ts';
import { classify, SIP_PORT } from './classify.ts';
import { contactUri, decideInbound, decideOutbound, endpointOf, ruleIsOn } from './decide.ts';
import { type DialogRow, dialogRow, restoreDialog } from './dialog-row.ts';
import { type Dialog, Dialogs } from './dialogs.ts';
import type { AlgEvent } from './event.ts';
import type { Input, MappingId, Output } from './io.ts';
import {
  endsAt,
  type MappingRow,
  Mappings,
  mappingKey,
  mappingRow,
  type SignallingMapping,
} from './mappings.ts';
import { MediaTable } from './media.ts';
import { defaultLimits, defaultPolicy, type EngineOptions, type Limits, type Policy } from './policy.ts';
import { dropExpired, expiresHeaderMs, takeGrant } from './registrations.ts';
import { rewrite } from './rewrite.ts';
import type { RuleId } from './rules.ts';
import { translateInbound, translateOutbound } from './session.ts';
import { Transactions } from './transactions.ts';

type Packet = Extract<Input, { kind: 'packet' }>;

/** Ports below are a host's services; no mapping ever leads to one of them. */
const LOWEST_INTERNAL_PORT = 1024;

export class Engine {
  readonly #policy: Policy;
  readonly #limits: Limits;
  readonly #options: EngineOptions;
  readonly #mappings: Mappings;
  readonly #dialogs: Dialogs;
  readonly #media: MediaTable;
  readonly #transactions: Transactions;
  readonly #dirtyMappings = new Set<SignallingMapping>();
  readonly #dirtyDialogs = new Set<Dialog>();
  #out: Output[] = [];
  #lastId: MappingId = 0;

  constructor(options: EngineOptions = {}) {
    this.#options = options;
    this.#policy = { ...defaultPolicy, ...options.policy };
    this.#limits = { ...defaultLimits, ...options.limits };
    const signallingPool = new PortPool(options.signallingPorts ?? { low: 20_000, high: 29_999 });
    const mediaPool = new PortPool(options.mediaPorts ?? { low: 30_000, high: 39_999 });
    this.#mappings = new Mappings(signallingPool, options.mappings ?? [], this.#limits);
    this.#dialogs = new Dialogs(this.#limits.dialogs);
    this.#transactions = new Transactions(this.#limits.transactions);
    this.#media = new MediaTable(
      mediaPool,
      options.mediaMappings ?? [],
      this.#limits,
      options.media === 'relay',
      () => ++this.#lastId,
      (key) => this.#dialogs.byKey(key),
    );
  }

  /** Handles one input. `now` never goes back. */
  handle(now: TimeMs, input: Input): Output[] {
    this.#out = [];
    switch (input.kind) {
      case 'packet':
        this.#packet(now, input);
        break;
      case 'opened':
        this.#opened(now, input.id);
        break;
      case 'failed':
        this.#failed(now, input.id, input.reason);
        break;
      case 'timeout':
        this.#timeout(now);
        break;
    }
    // What ended by this very input, ends in this very step.
    if ((this.nextTimeoutMs ?? Number.POSITIVE_INFINITY) <= now) this.#timeout(now);
    this.#writeRecords();
    return this.#out;
  }

  /** When the next `timeout` input is wanted; undefined while nothing can become due. */
  get nextTimeoutMs(): TimeMs | undefined {
    const a = this.#mappings.timers.next;
    const b = this.#dialogs.timers.next;
    return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
  }

  /** Takes up where another engine stopped: rows as its `record` outputs gave them. What has ended since is left out. */
  restore(
    now: TimeMs,
    rows: Iterable<{ table: 'mapping' | 'dialog' | 'port'; key: string; value: unknown }>,
  ): Output[] {
    this.#out = [];
    const mappings = new Map<string, SignallingMapping>();
    const dialogs: { key: string; row: DialogRow }[] = [];
    for (const { table, key, value } of rows) {
      if (table === 'port') this.#mappings.restorePort(key, value as number);
      else if (table === 'dialog') dialogs.push({ key, row: value as DialogRow });
      else {
        const mapping = this.#mappings.restore(++this.#lastId, value as MappingRow);
        if (mapping === undefined) this.#record('mapping', key, undefined);
        else {
          mappings.set(key, mapping);
          this.#openSignalling(mapping);
        }
      }
    }
    for (const { key, row } of dialogs) {
      const mapping = mappings.get(row.mapping);
      if (mapping === undefined || row.endsAt <= now) {
        this.#record('dialog', key, undefined);
        continue;
      }
      const dialog = restoreDialog(row, mapping.id);
      this.#dialogs.insert(dialog);
      mapping.dialogs.add(dialog.key);
      for (const media of row.media) {
        const record = this.#media.restore(dialog, media, this.#out);
        if (record === undefined) continue;
        dialog.byDescription[media.index] ??= record.id;
        if (media.committed) dialog.committed.add(record.id);
        if (media.offered) dialog.offered.add(record.id);
      }
    }
    for (const mapping of mappings.values()) {
      dropExpired(mapping, now, this.#out);
      this.#hold(mapping, now);
      this.#mappings.schedule(mapping);
    }
    this.#writeRecords();
    return this.#out;
  }

  /** Plain data about everything live, for status and tests. */
  snapshot(): {
    mappings: MappingRow[];
    dialogs: { callId: string; state: string; initiator: string; phone: Address }[];
    media: {
      callId: string;
      internal: Endpoint | undefined;
      external: Endpoint;
      ports: number;
      sources: readonly Endpoint[];
    }[];
    transactions: number;
  } {
    return {
      mappings: [...this.#mappings.values()].map(mappingRow),
      dialogs: [...this.#dialogs.values()].map(({ callId, state, initiator, phone }) => ({
        callId,
        state,
        initiator,
        phone,
      })),
      media: [...this.#media.values()].map(({ callId, internal, external, ports, sources }) => ({
        callId,
        internal,
        external,
        ports,
        sources,
      })),
      transactions: this.#transactions.size,
    };
  }

  #packet(now: TimeMs, packet: Packet): void {
    const { flow } = packet;
    if (flow.side === 'internal') return this.#fromPhone(now, packet, flow.remote.address);
    const mapping = this.#mappings.byExternal(flow.transport, flow.local);
    if (mapping === undefined) return this.#drop(flow, 'no mapping has this external endpoint');
    if (!this.#isAdmitted(mapping, flow.remote)) {
      // A phone of ours that addresses another one by its external endpoint (hairpin, RFC 4787 REQ-9).
      if (this.#mappings.ofPhone(flow.remote.address).size > 0)
        return this.#fromPhone(now, { ...packet, externalAddress: flow.local.address }, flow.remote.address);
      return this.#drop(flow, 'the sender is no provider of this phone');
    }
    this.#toPhone(now, packet, mapping);
  }

  // ---- from the phone to the provider

  #fromPhone(now: TimeMs, packet: Packet, phone: Address): void {
    const { flow, bytes } = packet;
    const externalAddress = packet.externalAddress;
    if (externalAddress === undefined) return this.#drop(flow, 'no external address towards the provider');
    const scan = classify(bytes) === 'sip' ? scanMessage(bytes) : undefined;
    const message = scan?.ok === true ? scan.message : undefined;

    const mapping = this.#mappingFor(now, flow, message, externalAddress);
    if (mapping === undefined) return;
    if (mapping.state !== 'open') return this.#wait(mapping, packet);
    this.#touch(now, mapping, flow);
    const out: Flow = {
      transport: flow.transport,
      side: 'external',
      local: mapping.external,
      remote: flow.local,
    };
    if (message === undefined) {
      this.#pass(
        flow,
        out,
        bytes,
        scan === undefined ? 'not SIP' : 'a defect',
        scan?.ok === false ? scan.defects : [],
      );
      this.#deliverInside(now, out, bytes);
      return;
    }

    // Every endpoint of the phone that the message names has to be open before it may be named outside.
    for (const other of this.#namedEndpoints(message, phone)) {
      const named = this.#ensure(now, flow, other, externalAddress);
      if (named !== undefined && named.state !== 'open') return this.#wait(named, packet);
    }
    const edits: Edit<RuleId>[] = decideOutbound(message, {
      policy: this.#policy,
      phone,
      external: (internal) => this.#openExternal(flow, internal, externalAddress),
      anyExternal: (internal) => this.#openExternal(flow, internal, externalAddress),
      own: this.#options.own ?? [],
    });
    const session = this.#session(now, message, 'out', mapping, flow.local, packet);
    if (session === 'wait') return this.#wait(mapping, packet);
    edits.push(...session.edits);

    if (message.kind === 'request') this.#openTransaction(now, message, 'internal', mapping, flow);
    this.#rememberContacts(message, phone, flow, externalAddress);
    const result = this.#finish(message, flow, out, edits, session.leave);
    this.#deliverInside(now, out, result);
  }

  /** The mapping by which a phone's packet leaves. */
  #mappingFor(
    now: TimeMs,
    flow: Flow,
    message: Message | undefined,
    address: Address,
  ): SignallingMapping | undefined {
    if (message?.kind === 'response') {
      // The answer leaves by the mapping at which the request arrived.
      const transaction = this.#transactions.find(message, 'external', now);
      const mapping = transaction === undefined ? undefined : this.#mappings.byId(transaction.mapping);
      if (mapping !== undefined && mapping.internal.address === flow.remote.address) return mapping;
    } else if (message !== undefined) {
      // A phone may send from another port than the one it listens on and names in its Via (RFC 3261 §18.1.1).
      const { sentBy } = message.via;
      if (sentBy.address === flow.remote.address) {
        const listening = endpointOf(sentBy.address, sentBy);
        if (listening.port >= LOWEST_INTERNAL_PORT) return this.#ensure(now, flow, listening, address);
      }
    }
    const known = this.#mappings.byInternal(flow.transport, flow.remote, address);
    if (known !== undefined) return known;
    for (const one of this.#mappings.ofPhone(flow.remote.address))
      if (one.sourcePort === flow.remote.port && one.external.address === address) return one;
    return this.#ensure(now, flow, flow.remote, address);
  }

  /** The phone's mapping for an endpoint of its own, a new one where there is none yet. */
  #ensure(now: TimeMs, flow: Flow, internal: Endpoint, address: Address): SignallingMapping | undefined {
    const old = this.#mappings.byInternal(flow.transport, internal, address);
    if (old !== undefined) return old;
    const mapping = this.#mappings.create(++this.#lastId, now, flow.transport, internal, address);
    if (mapping === undefined) {
      this.#event({ kind: 'limit.reached', limit: 'mappings', value: this.#mappings.size });
      this.#drop(flow, 'no mapping can be made');
      return undefined;
    }
    this.#openSignalling(mapping);
    this.#mappings.schedule(mapping);
    return mapping;
  }

  /** The endpoints that the phone's Contacts name, where they are its own. */
  #namedEndpoints(message: Message, phone: Address): Endpoint[] {
    const named: Endpoint[] = [];
    for (const contact of message.contacts) {
      const uri = contactUri(message, contact);
      if (uri?.address !== phone) continue;
      const one = endpointOf(phone, uri);
      if (one.port >= LOWEST_INTERNAL_PORT && named.length < this.#limits.contactsPerMapping) named.push(one);
    }
    return named;
  }

  #openExternal(flow: Flow, internal: Endpoint, address: Address): Endpoint | undefined {
    const mapping = this.#mappings.byInternal(flow.transport, internal, address);
    return mapping?.state === 'open' ? mapping.external : undefined;
  }

  /** What the phone wrote, for the day when it has to get it back. */
  #rememberContacts(message: Message, phone: Address, flow: Flow, externalAddress: Address): void {
    for (const contact of message.contacts) {
      const uri = contactUri(message, contact);
      if (uri?.address !== phone) continue;
      const mapping = this.#mappings.byInternal(flow.transport, endpointOf(phone, uri), externalAddress);
      if (mapping === undefined) continue;
      const user = textOf(message.bytes, uri.user.start, uri.user.end);
      const written = textOf(message.bytes, uri.span.start, uri.span.end);
      if (mapping.contacts.get(user) === written) continue;
      if (mapping.contacts.size >= this.#limits.contactsPerMapping) {
        const oldest = mapping.contacts.keys().next().value;
        if (oldest !== undefined) mapping.contacts.delete(oldest);
      }
      mapping.contacts.set(user, written);
      this.#dirtyMappings.add(mapping);
    }
  }

  #touch(now: TimeMs, mapping: SignallingMapping, flow: Flow): void {
    mapping.lastUsed = now;
    if (mapping.sourcePort !== flow.remote.port) {
      mapping.sourcePort = flow.remote.port;
      this.#dirtyMappings.add(mapping);
    }
    const known = mapping.peers.get(flow.local.address);
    if (known === undefined || known.port !== flow.local.port) {
      if (known === undefined && mapping.peers.size >= this.#limits.peersPerMapping) {
        const oldest = mapping.peers.keys().next().value;
        if (oldest !== undefined) mapping.peers.delete(oldest);
      }
      mapping.peers.set(flow.local.address, flow.local);
      this.#dirtyMappings.add(mapping);
    }
    mapping.lastPeer = flow.local;
  }

  // ---- from the provider to the phone

  #toPhone(now: TimeMs, packet: Packet, mapping: SignallingMapping): void {
    const { flow, bytes } = packet;
    if (mapping.state !== 'open') return this.#wait(mapping, packet);
    const kind = classify(bytes);
    const scan = kind === 'sip' ? scanMessage(bytes) : undefined;
    const message = scan?.ok === true ? scan.message : undefined;
    const reply = (to: Endpoint): Flow => ({
      transport: flow.transport,
      side: 'internal',
      local: flow.remote,
      remote: to,
    });
    if (message === undefined) {
      // What is no SIP answers to the port that sent (STUN, keepalives); what is SIP of a kind goes where SIP goes.
      const port = scan === undefined ? mapping.sourcePort : mapping.internal.port;
      const to = reply({ address: mapping.internal.address, port });
      return this.#pass(
        flow,
        to,
        bytes,
        scan === undefined ? 'not SIP' : 'a defect',
        scan?.ok === false ? scan.defects : [],
      );
    }

    const transaction =
      message.kind === 'response' ? this.#transactions.find(message, 'internal', now) : undefined;
    const to = reply(transaction?.peer ?? mapping.internal);
    const edits: Edit<RuleId>[] = decideInbound(message, {
      policy: this.#policy,
      mapping,
      transaction,
      ownMapping: (external) => this.#ownMapping(mapping, external),
      anyInternal: (external) => this.#mappings.byExternal(flow.transport, external)?.internal,
    });
    const session = this.#session(now, message, 'in', mapping, flow.remote, packet);
    if (session === 'wait') return this.#wait(mapping, packet);
    edits.push(...session.edits);

    if (message.kind === 'request') this.#openTransaction(now, message, 'external', mapping, flow);
    else this.#takeLifetimes(now, message, mapping, flow.remote);
    this.#finish(message, flow, to, edits, session.leave);
  }

  #isAdmitted(mapping: SignallingMapping, sender: Endpoint): boolean {
    return (
      mapping.peers.has(sender.address) ||
      this.#options.isProvider?.(sender.address) === true ||
      this.#mappings.byExternal(mapping.transport, sender) !== undefined
    );
  }

  #ownMapping(mapping: SignallingMapping, external: Endpoint): SignallingMapping | undefined {
    const found = this.#mappings.byExternal(mapping.transport, external);
    return found?.internal.address === mapping.internal.address ? found : undefined;
  }

  /** Registrations and subscriptions: how long the phone has to stay reachable. */
  #takeLifetimes(now: TimeMs, message: Message, mapping: SignallingMapping, peer: Endpoint): void {
    if (message.status < 200 || message.status > 299) return;
    if (message.method === 'REGISTER') {
      const own = (external: Endpoint): SignallingMapping | undefined => this.#ownMapping(mapping, external);
      for (const changed of takeGrant(message, mapping, peer, own, now, this.#out)) {
        this.#dirtyMappings.add(changed);
        this.#mappings.schedule(changed);
      }
    } else if (message.method === 'SUBSCRIBE' || message.method === 'PUBLISH') {
      const lifetimeMs = expiresHeaderMs(message) ?? 0;
      if (lifetimeMs === 0 || now + lifetimeMs <= mapping.keepUntil) return;
      mapping.keepUntil = now + lifetimeMs;
      this.#dirtyMappings.add(mapping);
      this.#hold(mapping, now);
    }
  }

  // ---- both directions

  /** Dialog and media. `wait`: the message names media that is still being opened. */
  #session(
    now: TimeMs,
    message: Message,
    direction: 'out' | 'in',
    mapping: SignallingMapping,
    peer: Endpoint,
    packet: Packet,
  ): { edits: readonly Edit<RuleId>[]; leave: string | undefined } | 'wait' {
    const found = sessionOf(message);
    const description = 'description' in found ? found.description : undefined;
    const leave = 'leave' in found ? found.leave : undefined;
    const phone = mapping.internal.address;
    const dialog = dialogOf(
      this.#dialogs,
      message,
      direction,
      phone,
      mapping.id,
      peer,
      now,
      description !== undefined,
    );
    if (dialog === undefined) {
      if (description !== undefined || message.method === 'INVITE')
        if (message.kind === 'request')
          this.#event({ kind: 'limit.reached', limit: 'dialogs', value: this.#dialogs.size });
      return { edits: [], leave };
    }
    if (!mapping.dialogs.has(dialog.key)) {
      mapping.dialogs.add(dialog.key);
      this.#event({ kind: 'dialog.opened', callId: dialog.callId, initiator: dialog.initiator });
    }
    dialog.mapping = mapping.id;
    dialog.peer = peer;
    this.#dirtyDialogs.add(dialog);
    if (advance(this.#dialogs, dialog, message, direction, now))
      this.#event({ kind: 'dialog.confirmed', callId: dialog.callId });

    let edits: readonly Edit<RuleId>[] = [];
    if (description !== undefined && dialog.state !== 'ended') {
      const context = {
        media: this.#media,
        dialog,
        policy: this.#policy,
        limits: this.#limits,
        phone,
        externalAddress: mapping.external.address,
        innerAddress: packet.innerAddress ?? this.#innerAddresses.get(phone),
      };
      if (packet.innerAddress !== undefined) this.#rememberInner(phone, packet.innerAddress);
      if (direction === 'in') learn(dialog, message, description, peer);
      const session =
        direction === 'out'
          ? translateOutbound(description, context, this.#out)
          : translateInbound(description, context, this.#out);
      if (session.waits) return 'wait';
      if (direction === 'out' || this.#media.relay) offer(dialog, session.named, this.#media, this.#out);
      edits = session.edits.filter((edit) => ruleIsOn(this.#policy, edit.rule));
    }
    settle(dialog, message, this.#media, this.#out);
    for (const id of dialog.offered) this.#refreshSources(id);
    for (const id of dialog.committed) this.#refreshSources(id);
    return { edits, leave };
  }

  #refreshSources(id: MappingId): void {
    const record = this.#media.byId(id);
    if (record !== undefined) this.#media.refreshSources(record, this.#out);
  }

  /** Relay: our address towards each phone, for requests that come from the provider first. */
  readonly #innerAddresses = new Map<Address, Address>();

  #rememberInner(phone: Address, inner: Address): void {
    if (this.#innerAddresses.size >= this.#limits.mappings) this.#innerAddresses.clear();
    this.#innerAddresses.set(phone, inner);
  }

  #openTransaction(
    now: TimeMs,
    message: Message,
    initiator: 'internal' | 'external',
    mapping: SignallingMapping,
    flow: Flow,
  ): void {
    const { sentBy, rport } = message.via;
    // Without rport the response goes to the port of the sent-by, not to the one that sent (RFC 3261 §18.2.2).
    const peer =
      initiator === 'internal' && rport === undefined && sentBy.address === flow.remote.address
        ? { address: flow.remote.address, port: sentBy.port ?? SIP_PORT }
        : flow.remote;
    const text = textOf(message.bytes, sentBy.span.start, sentBy.span.end);
    // A sent-by with folds cannot be written back as one edit of printable text; its host and port can.
    const written = /^[\x21-\x7e]+$/.test(text) ? text : text.replace(/\s+/g, '');
    if (this.#transactions.open(message, initiator, { mapping: mapping.id, sentBy: written, peer }, now))
      this.#event({ kind: 'limit.reached', limit: 'transactions', value: this.#limits.transactions });
  }

  /** Makes the edits and sends; returns what was sent. */
  #finish(
    message: Message,
    flow: Flow,
    to: Flow,
    edits: readonly Edit<RuleId>[],
    leave: string | undefined,
  ): Uint8Array {
    const result = rewrite(message, edits);
    if (!result.ok) {
      this.#event({ kind: 'engine.fault', flow, text: result.fault });
      this.#pass(
        flow,
        to,
        message.bytes,
        'the edited message did not stand the second scan',
        message.defects,
      );
      return message.bytes;
    }
    if (result.edits.length === 0) {
      this.#pass(
        flow,
        to,
        message.bytes,
        leave === undefined ? 'nothing to translate' : `body left alone: ${leave}`,
        message.defects,
      );
      return message.bytes;
    }
    this.#out.push({ kind: 'send', flow: to, bytes: result.bytes });
    this.#event({
      kind: 'message.translated',
      flow,
      summary: summaryOf(message),
      callId: message.callId,
      edits: result.edits,
    });
    return result.bytes;
  }

  #pass(flow: Flow, to: Flow, bytes: Uint8Array, why: string, defects: readonly Defect[]): void {
    this.#out.push({ kind: 'send', flow: to, bytes });
    this.#event({
      kind: 'message.passed',
      flow,
      summary: `${bytes.length} octets`,
      why,
      defects: defects.map(describeDefect),
    });
  }

  #drop(flow: Flow, why: string): void {
    this.#event({ kind: 'message.dropped', flow, why });
  }

  /** What a phone sends to another phone's external endpoint stays here (hairpin, RFC 4787 REQ-9). */
  #deliverInside(now: TimeMs, sent: Flow, bytes: Uint8Array): void {
    const mapping = this.#mappings.byExternal(sent.transport, sent.remote);
    if (mapping === undefined) return;
    const last = this.#out.findLastIndex((output) => output.kind === 'send' && output.flow === sent);
    if (last < 0) return;
    this.#out.splice(last, 1);
    const flow: Flow = { ...sent, local: sent.remote, remote: sent.local };
    this.#toPhone(now, { kind: 'packet', flow, bytes }, mapping);
  }

  // ---- lifecycle of mappings

  #openSignalling(mapping: SignallingMapping): void {
    const { id, transport, internal, external } = mapping;
    this.#out.push({ kind: 'signalling', command: { action: 'open', id, transport, internal, external } });
  }

  #hold(mapping: SignallingMapping, now: TimeMs): void {
    const until = Math.max(
      mapping.keepUntil,
      ...[...mapping.registrations.values()].map((one) => one.expiresAt),
    );
    const peers = new Map(
      [...mapping.registrations.values()].map((one) => [formatEndpoint(one.peer), one.peer]),
    );
    if (peers.size === 0 && mapping.lastPeer !== undefined) peers.set('', mapping.lastPeer);
    const lifetimeMs = Math.max(until, mapping.dialogs.size > 0 ? endsAtIdle(mapping) : 0) - now;
    if (lifetimeMs <= 0) return;
    for (const peer of peers.values())
      this.#out.push({ kind: 'signalling', command: { action: 'hold', id: mapping.id, peer, lifetimeMs } });
  }

  #opened(now: TimeMs, id: MappingId): void {
    const mapping = this.#mappings.byId(id);
    if (mapping !== undefined) {
      if (mapping.state !== 'opening') return;
      mapping.state = 'open';
      this.#event({ kind: 'mapping.opened', internal: mapping.internal, external: mapping.external });
      const { key, port } = this.#mappings.remember(mapping);
      this.#record('port', key, port);
      for (const gone of this.#mappings.forget()) this.#record('port', gone, undefined);
      this.#dirtyMappings.add(mapping);
      this.#resume(now, mapping);
      return;
    }
    this.#media.opened(id, this.#out);
    this.#resumeAll(now, id);
  }

  #failed(now: TimeMs, id: MappingId, reason: string): void {
    const mapping = this.#mappings.byId(id);
    if (mapping === undefined) {
      this.#media.failed(id, this.#out);
      this.#resumeAll(now, id);
      return;
    }
    if (mapping.state !== 'opening') return;
    const { internal, external } = mapping;
    if (this.#mappings.retry(mapping)) return this.#openSignalling(mapping);
    this.#event({ kind: 'mapping.failed', internal, external, reason });
    this.#closeMapping(mapping, reason, false);
  }

  #wait(mapping: SignallingMapping, packet: Packet): void {
    if (mapping.waiting.length < this.#limits.pending) mapping.waiting.push(packet);
    else this.#drop(packet.flow, 'too many packets wait for their mapping');
  }

  /** Media was answered for: whoever waited for it is handled anew. */
  #resumeAll(now: TimeMs, _id: MappingId): void {
    for (const mapping of this.#mappings.values())
      if (mapping.state === 'open' && mapping.waiting.length > 0) this.#resume(now, mapping);
  }

  #resume(now: TimeMs, mapping: SignallingMapping): void {
    for (const packet of mapping.waiting.splice(0)) this.#packet(now, packet);
  }

  #closeMapping(mapping: SignallingMapping, why: string, wasOpen = true): void {
    this.#mappings.remove(mapping);
    this.#dirtyMappings.delete(mapping);
    if (wasOpen) {
      this.#out.push({ kind: 'signalling', command: { action: 'close', id: mapping.id } });
      this.#event({ kind: 'mapping.closed', internal: mapping.internal, external: mapping.external, why });
    }
    for (const packet of mapping.waiting.splice(0)) this.#drop(packet.flow, why);
    this.#record('mapping', mappingKey(mapping), undefined);
  }

  // ---- time

  #timeout(now: TimeMs): void {
    for (const dialog of this.#dialogs.timers.due(now)) this.#dialogDue(now, dialog);
    for (const mapping of this.#mappings.timers.due(now)) {
      if (mapping.state === 'closed') continue;
      if (dropExpired(mapping, now, this.#out)) this.#dirtyMappings.add(mapping);
      if (endsAt(mapping) <= now) this.#closeMapping(mapping, 'nothing uses it any more');
      else this.#mappings.schedule(mapping);
    }
  }

  #dialogDue(now: TimeMs, dialog: Dialog): void {
    if (dialog.state === 'ended') {
      this.#dialogs.remove(dialog);
      this.#dirtyDialogs.delete(dialog);
      return;
    }
    if (dialog.state !== 'ending') dialog.why = dialog.state === 'early' ? 'no answer' : 'silence';
    finish(this.#dialogs, dialog, this.#media, now, this.#out);
    this.#dirtyDialogs.delete(dialog);
    this.#record('dialog', dialog.key, undefined);
    const mapping = this.#mappings.byId(dialog.mapping);
    if (mapping === undefined) return;
    mapping.dialogs.delete(dialog.key);
    this.#mappings.schedule(mapping);
  }

  // ---- what survives

  #writeRecords(): void {
    for (const mapping of this.#dirtyMappings)
      this.#record('mapping', mappingKey(mapping), mappingRow(mapping));
    this.#dirtyMappings.clear();
    for (const dialog of this.#dirtyDialogs) {
      const mapping = this.#mappings.byId(dialog.mapping);
      if (mapping === undefined || dialog.state === 'ended') continue;
      this.#record('dialog', dialog.key, dialogRow(dialog, mappingKey(mapping), this.#media));
    }
    this.#dirtyDialogs.clear();
  }

  #record(table: 'mapping' | 'dialog' | 'port', key: string, value: unknown): void {
    this.#out.push({ kind: 'record', table, key, value });
  }

  #event(event: AlgEvent): void {
    this.#out.push({ kind: 'event', event });
  }
}

/** A dialog without a registration: as long as an idle mapping lives, refreshed by whatever is sent. */
function endsAtIdle(mapping: SignallingMapping): TimeMs {
  return mapping.lastUsed + 2 * 3_600_000;
}

function summaryOf(message: Message): string {
  if (message.kind === 'response') return `${message.status} to ${message.method}`;
  return `${message.method} ${textOf(message.bytes, message.requestUri.start, message.requestUri.end)}`;
}
