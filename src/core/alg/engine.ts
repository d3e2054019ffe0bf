/**
 * The engine: one packet in, what has to be sent and done out. No sockets, no clock, no randomness.
 *
 * A packet's way: classify.ts says what it is, message.ts scans it, outbound.ts and inbound.ts match it to its phone's
 * mapping, transaction and dialog, decide.ts and session.ts say what changes, media.ts gives out ports, rewrite.ts makes the edits
 * and checks them. What is not understood leaves as it came.
 *
 * A message that names an endpoint which is not open yet waits in its mapping, and is handled anew when the driver
 * answers; so nothing is advertised before it works.
 */
import type { Endpoint } from '../net/address.ts';
import { over, type Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { finish } from './calls.ts';
import { judge } from './dialog-life.ts';
import { dialogRow, restoreDialog } from './dialog-row.ts';
import type { Dialog } from './dialogs.ts';
import { toPhone } from './inbound.ts';
import type { Input, MappingId, Output } from './io.ts';
import { endsAt, mappingKey, mappingRow, type Registration, type SignallingMapping } from './mappings.ts';
import { fromPhone } from './outbound.ts';
import type { EngineOptions } from './policy.ts';
import type { ProfileView } from './profile.ts';
import { dropExpired } from './registrations.ts';
import { type Row, readRows } from './rows.ts';
import { type CallsSnapshot, callsOf, type EngineSnapshot, snapshotOf } from './snapshot.ts';
import { EngineState } from './state.ts';
import type { Packet } from './waiting.ts';

export class Engine {
  readonly #state: EngineState;

  constructor(options: EngineOptions = {}) {
    this.#state = new EngineState(options);
  }

  /** Handles one input. `now` never goes back. */
  handle(now: TimeMs, input: Input): Output[] {
    this.#state.out = [];
    switch (input.kind) {
      case 'packet':
        this.#guarded(now, input);
        break;
      case 'closed':
        this.#state.mappings.leave(input.connection, now);
        break;
      case 'opened':
        this.#opened(now, input.id);
        break;
      case 'failed':
        this.#failed(now, input.id, input.reason);
        break;
      case 'media':
        // What has ended or begun to be silent may be over: it is judged in this very step.
        for (const dialog of this.#state.media.flows(input.id, input.flow, now))
          if (dialog.state === 'confirmed') this.#state.dialogs.lookAt(dialog, now);
        break;
      case 'external-address-changed':
        this.#state.addresses.tell(input.addresses);
        this.#state.addresses.reconcile(this.#state, now);
        break;
      case 'neighbours-restored':
        this.#refreshMedia();
        break;
      case 'timeout':
        this.#timeout(now);
        break;
    }
    // What ended by this very input, ends in this very step.
    if ((this.nextTimeoutMs ?? Number.POSITIVE_INFINITY) <= now) this.#timeout(now);
    this.#writeRecords();
    return this.#state.out;
  }

  /** Whether a mapping has this external endpoint, and `sender` may open a connection to it. */
  admits(transport: Transport, external: Endpoint, sender: Endpoint): boolean {
    const mapping = this.#state.mappings.byExternal(transport, external);
    return (
      mapping !== undefined &&
      (this.#state.isAdmitted(mapping, sender) || this.#state.mappings.ofPhone(sender.address).length > 0)
    );
  }

  /** When the next `timeout` input is wanted; undefined while nothing can become due. */
  get nextTimeoutMs(): TimeMs | undefined {
    const { mappings, dialogs, profiles, keepalives, addresses } = this.#state;
    const often = earliest(mappings.timers.next, dialogs.timers.next);
    const seldom = earliest(profiles.timers.next, keepalives.timers.next);
    return earliest(earliest(often, seldom), addresses.timers.next);
  }

  /**
   * Takes up where another engine stopped: rows as its `record` outputs gave them, ports before mappings. What has ended since is left out; what
   * another version wrote and this one does not understand is left as it is. `later`: only the mappings of calls are opened; the
   * others follow with `openRestored`, or when a message needs them.
   */
  restore(now: TimeMs, rows: Iterable<Row>, later = false): Output[] {
    this.#state.out = [];
    const mappings = new Map<string, SignallingMapping>();
    const { dialogs, profiles, skipped } = readRows(rows, now, {
      port: (key, port) => this.#state.mappings.restorePort(key, port),
      mapping: (key, row) => {
        const mapping = this.#state.mappings.restore(this.#state.nextId(), row, now);
        if (mapping === undefined) this.#state.record('mapping', key, undefined);
        else mappings.set(key, mapping);
      },
    });
    if (skipped > 0) this.#state.event({ kind: 'state.skipped', rows: skipped });
    for (const mapping of [...mappings.values()].sort((a, b) => b.storedUse - a.storedUse))
      this.#state.unopened.add(mapping);
    for (const { key, row } of dialogs) {
      const mapping = mappings.get(row.mapping);
      if (mapping === undefined || row.endsAt <= now) {
        this.#state.record('dialog', key, undefined);
        continue;
      }
      const dialog = restoreDialog(row, mapping.id);
      if (dialog.observed === true) this.#state.profiles.mayObserve = true;
      this.#state.dialogs.insert(dialog);
      // Its media is known to flow or not only when the data plane has looked.
      if (dialog.state === 'confirmed')
        this.#state.dialogs.lookAt(dialog, now + this.#state.limits.callIdleMs);
      mapping.dialogs.add(dialog.key);
      for (const media of row.media) {
        const record = this.#state.media.restore(dialog, media, this.#state.out);
        if (record === undefined) continue;
        dialog.byDescription[media.index] ??= record.id;
        if (media.committed) dialog.committed.add(record.id);
        if (media.offered) dialog.offered.add(record.id);
      }
    }
    this.#refreshMedia();
    for (const { key, row } of profiles)
      if (!this.#state.profiles.restore(row, this.#state.mappings.ofPhone(row.phone), now))
        this.#state.record('profile', key, undefined);
    for (const mapping of mappings.values()) {
      dropExpired(mapping, now, this.#state.out);
      this.#state.mappings.schedule(mapping);
      if (!later || mapping.dialogs.size > 0) this.#state.openRestored(mapping, now);
    }
    this.#state.addresses.reconcile(this.#state, now);
    this.#writeRecords();
    return this.#state.out;
  }

  /** Mappings that `restore` has left for later. */
  get unopened(): number {
    return this.#state.unopened.size;
  }

  /** Has the next of them opened, `most` of them. */
  openRestored(now: TimeMs, most: number): Output[] {
    this.#state.out = [];
    let left = most;
    for (const mapping of this.#state.unopened) {
      if (left-- <= 0) break;
      this.#state.openRestored(mapping, now);
    }
    return this.#state.out;
  }

  /** Before a stop that is one: the rows that let a registration end later than it does. */
  settle(): Output[] {
    this.#state.out = [];
    for (const mapping of this.#state.mappings.values())
      for (const one of mapping.registrations.values())
        if (one.storedUntil !== one.expiresAt) {
          one.storedUntil = one.expiresAt;
          this.#state.dirtyMappings.add(mapping);
        }
    this.#writeRecords();
    return this.#state.out;
  }

  /** Two phones that talk to each other by a hairpin: each one's source is known when both are there. */
  #refreshMedia(): void {
    for (const record of this.#state.media.values())
      this.#state.media.refreshSources(record, this.#state.out);
  }

  /** How each phone is treated towards each provider, and what was seen that says so. */
  profiles(): readonly ProfileView[] {
    return this.#state.profiles.views();
  }

  /** Plain data about everything live, for status and tests. */
  snapshot(): EngineSnapshot {
    return snapshotOf(this.#state);
  }

  /** Of it, what is about calls, for whoever looks often. */
  calls(): CallsSnapshot {
    return callsOf(this.#state);
  }

  /** A mistake of ours must not cost anybody a message: it goes out as it came, and the fault is told. */
  #guarded(now: TimeMs, packet: Packet, lacking = false): void {
    this.#state.watching = packet.watched === true;
    this.#state.lacking = lacking;
    try {
      this.#packet(now, packet);
    } catch (error) {
      const { flow, bytes } = packet;
      this.#state.event({
        kind: 'engine.fault',
        flow,
        text: error instanceof Error ? (error.stack ?? error.message) : String(error),
      });
      if (this.#state.watching) return;
      if (flow.side === 'external') {
        const mapping = this.#state.mappings.byExternal(flow.transport, flow.local);
        if (mapping !== undefined && this.#state.isAdmitted(mapping, flow.remote))
          this.#state.out.push({
            kind: 'send',
            flow: over(
              {
                transport: flow.transport,
                side: 'internal',
                local: flow.remote,
                remote: mapping.internal,
              },
              flow.connection,
            ),
            bytes,
          });
        return;
      }
      const mapping = this.#state.mappings.byInternal(
        flow.transport,
        flow.remote,
        packet.externalAddress ?? '',
      );
      if (mapping?.state === 'open')
        this.#state.out.push({
          kind: 'send',
          flow: over(
            { transport: flow.transport, side: 'external', local: mapping.external, remote: flow.local },
            flow.connection,
          ),
          bytes,
        });
    }
  }

  #packet(now: TimeMs, packet: Packet): void {
    const { flow } = packet;
    if (flow.side === 'internal') return fromPhone(this.#state, now, packet, flow.remote.address);
    const mapping = packet.watched
      ? this.#state.mappings.ofRouted(flow.transport, flow.local)
      : this.#state.mappings.byExternal(flow.transport, flow.local);
    if (mapping === undefined) return this.#state.drop(flow, 'no mapping has this external endpoint');
    if (!this.#state.isAdmitted(mapping, flow.remote)) {
      // A phone of ours that addresses another one by its external endpoint (hairpin, RFC 4787 REQ-9).
      if (packet.watched !== true && this.#state.mappings.ofPhone(flow.remote.address).length > 0)
        return fromPhone(
          this.#state,
          now,
          { ...packet, externalAddress: flow.local.address },
          flow.remote.address,
        );
      return this.#state.drop(flow, 'the sender is no provider of this phone');
    }
    toPhone(this.#state, now, packet, mapping);
  }

  // ---- lifecycle of mappings

  #opened(now: TimeMs, id: MappingId): void {
    const mapping = this.#state.mappings.byId(id);
    if (mapping !== undefined) {
      if (mapping.state !== 'opening') return;
      mapping.state = 'open';
      // One that is as it was in a former run is news to nobody.
      if (!mapping.restored || mapping.attempts > 1) this.#tellOpen(mapping);
      this.#resume(now, id);
      return;
    }
    this.#state.media.opened(id, this.#state.out);
    this.#resume(now, id);
  }

  #tellOpen(mapping: SignallingMapping): void {
    const { internal, external } = mapping;
    this.#state.event({ kind: 'mapping.opened', internal, external });
    const { key, port } = this.#state.mappings.remember(mapping);
    this.#state.record('port', key, port);
    for (const gone of this.#state.mappings.forget()) this.#state.record('port', gone, undefined);
    this.#state.dirtyMappings.add(mapping);
  }

  #failed(now: TimeMs, id: MappingId, reason: string): void {
    const mapping = this.#state.mappings.byId(id);
    if (mapping === undefined) {
      this.#state.media.failed(id, this.#state.out);
      this.#resume(now, id);
      return;
    }
    if (mapping.state !== 'opening') return;
    const { internal, external } = mapping;
    if (this.#state.mappings.retry(mapping)) return this.#state.openSignalling(mapping);
    this.#state.event({ kind: 'mapping.failed', internal, external, reason });
    this.#closeMapping(now, mapping, reason, false);
  }

  /** Handles anew whoever has waited for this one last. */
  #resume(now: TimeMs, id: MappingId, isLacking = false): void {
    for (const { packet, lacking } of this.#state.waiting.answered(id, isLacking))
      this.#guarded(now, packet, lacking);
  }

  #closeMapping(now: TimeMs, mapping: SignallingMapping, why: string, wasOpen = true): void {
    // What a former run has left of it in the kernel goes the same way.
    this.#state.openRestored(mapping, now);
    this.#state.mappings.remove(mapping);
    this.#state.dirtyMappings.delete(mapping);
    if (wasOpen) {
      this.#state.out.push({ kind: 'signalling', command: { action: 'close', id: mapping.id } });
      this.#state.event({
        kind: 'mapping.closed',
        internal: mapping.internal,
        external: mapping.external,
        why,
      });
    }
    for (const packet of this.#state.waiting.abandoned(mapping.id)) {
      this.#state.watching = packet.watched === true;
      this.#state.forgo(packet, why);
    }
    // What has only named it goes on by a mapping of its own.
    this.#resume(now, mapping.id, true);
    this.#state.record('mapping', mappingKey(mapping), undefined);
  }

  // ---- time

  #timeout(now: TimeMs): void {
    this.#state.profiles.expire(now, this.#state.out);
    this.#state.keepalives.run(now, this.#state.out);
    for (const dialog of this.#state.dialogs.timers.due(now)) this.#dialogDue(now, dialog);
    for (const gone of this.#state.addresses.timers.due(now))
      this.#state.addresses.lose(this.#state, gone, (mapping) =>
        this.#closeMapping(now, mapping, `${gone.address} is not ours any more`),
      );
    for (const mapping of this.#state.mappings.timers.due(now)) {
      if (mapping.state === 'closed') continue;
      if (dropExpired(mapping, now, this.#state.out)) this.#state.dirtyMappings.add(mapping);
      if (endsAt(mapping) <= now) this.#closeMapping(now, mapping, 'nothing uses it any more');
      else this.#state.mappings.schedule(mapping);
    }
  }

  #dialogDue(now: TimeMs, dialog: Dialog): void {
    if (dialog.state === 'ended') {
      this.#state.dialogs.remove(dialog);
      this.#state.dirtyDialogs.delete(dialog);
      return;
    }
    if (dialog.state === 'early') dialog.why = 'no answer';
    else if (dialog.state === 'confirmed') {
      const judgement = judge(dialog, this.#state.media.of(dialog), now, this.#state.limits.callIdleMs);
      if (!judgement.over) return this.#state.dialogs.lookAt(dialog, judgement.lookAt);
      dialog.why = judgement.why;
    }
    finish(this.#state.dialogs, dialog, this.#state.media, now, this.#state.out);
    this.#state.dirtyDialogs.delete(dialog);
    this.#state.record('dialog', dialog.key, undefined);
    const mapping = this.#state.mappings.byId(dialog.mapping);
    if (mapping === undefined) return;
    mapping.dialogs.delete(dialog.key);
    this.#state.mappings.schedule(mapping);
  }

  // ---- what survives

  #writeRecords(): void {
    const { dirtyMappings, dirtyDialogs } = this.#state;
    if (dirtyMappings.size > 0) {
      for (const mapping of dirtyMappings) {
        mapping.storedUse = mapping.lastUsed;
        this.#state.record('mapping', mappingKey(mapping), mappingRow(mapping, STORED));
      }
      dirtyMappings.clear();
    }
    if (dirtyDialogs.size === 0) return;
    for (const dialog of dirtyDialogs) {
      const mapping = this.#state.mappings.byId(dialog.mapping);
      if (mapping === undefined || dialog.state === 'ended') continue;
      this.#state.record('dialog', dialog.key, dialogRow(dialog, mappingKey(mapping), this.#state.media));
    }
    dirtyDialogs.clear();
  }
}

const STORED = ({ storedUntil }: Registration): TimeMs => storedUntil;

function earliest(a: TimeMs | undefined, b: TimeMs | undefined): TimeMs | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
