/**
 * Media mappings: which of the phone's media ports is reached at which external port, by whom, and for which dialogs.
 *
 * Facts: in the kernel a mapping is endpoint-independent (RFC 4787 REQ-1), so two dialogs that name the same port of the
 * phone share one, and it goes when the last of them ends; a relay has sockets of its own for each media description.
 * RTP and RTCP are a pair of consecutive ports, RTP on the even one, unless the SDP says otherwise (RFC 3550 §11).
 */

import { EndpointMap } from '../nat/endpoint-map.ts';
import type { PortPool } from '../nat/port-pool.ts';
import { Tally } from '../nat/tally.ts';
import { type Address, type Endpoint, sameEndpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { Dialog, RemoteMedia } from './dialogs.ts';
import type { MappingId, MediaFlow, MediaMapping, Output } from './io.ts';
import { type Limits, type Neighbours, type StaticMapping, staticExternal } from './policy.ts';

export interface MediaRecord {
  readonly id: MappingId;
  internal: Endpoint | undefined;
  readonly external: Endpoint;
  readonly inner: Endpoint | undefined;
  readonly ports: number;
  state: 'opening' | 'open' | 'failed';
  readonly attempts: number;
  /** Its external endpoint is the phone's own. */
  readonly routed: boolean;
  /** dialog key → the media descriptions that name it. */
  readonly users: Map<string, Set<number>>;
  readonly callId: string;
  readonly phone: Address;
  sources: readonly Endpoint[];
  /** What the data plane has told last; undefined before it has told anything. */
  flow: MediaFlow | undefined;
  /** Since when; 0 where nothing was told. */
  flowSince: TimeMs;
}

export interface MediaRow {
  readonly internal: Endpoint | undefined;
  readonly external: Endpoint;
  readonly inner: Endpoint | undefined;
  readonly ports: number;
  readonly index: number;
  readonly committed: boolean;
  readonly offered: boolean;
}

export interface MediaRequest {
  readonly dialog: Dialog;
  readonly index: number;
  /** Undefined: the relay opens it for a description of the provider. */
  readonly internal: Endpoint | undefined;
  readonly ports: number;
  readonly externalAddress: Address;
  /** Relay only: our address towards the phone. */
  readonly innerAddress: Address | undefined;
  /** The phone is routed without NAT, and its ports are its own. */
  readonly routed?: boolean | undefined;
}

const SOURCES = 32;
const ATTEMPTS = 4;

export class MediaTable {
  readonly #byId = new Map<MappingId, MediaRecord>();
  readonly #perPhone = new Tally();
  /** Kernel: each internal port → its record. */
  readonly #byInternal = new EndpointMap<MediaRecord>();
  readonly #byExternal = new EndpointMap<MediaRecord>();
  readonly #pool: PortPool;
  readonly #statics: readonly StaticMapping[];
  readonly #limits: Limits;
  readonly #relay: boolean;
  readonly #nextId: () => MappingId;
  readonly #dialog: (key: string) => Dialog | undefined;
  readonly #mayReceive: (dialog: Dialog) => boolean;
  readonly #neighbours: Neighbours | undefined;

  constructor(
    pool: PortPool,
    statics: readonly StaticMapping[],
    limits: Limits,
    relay: boolean,
    nextId: () => MappingId,
    dialog: (key: string) => Dialog | undefined,
    mayReceive: (dialog: Dialog) => boolean,
    neighbours: Neighbours | undefined,
  ) {
    this.#pool = pool;
    this.#statics = statics;
    this.#limits = limits;
    this.#relay = relay;
    this.#nextId = nextId;
    this.#dialog = dialog;
    this.#mayReceive = mayReceive;
    this.#neighbours = neighbours;
  }

  get size(): number {
    return this.#byId.size;
  }

  get relay(): boolean {
    return this.#relay;
  }

  byId(id: MappingId): MediaRecord | undefined {
    return this.#byId.get(id);
  }

  values(): Iterable<MediaRecord> {
    return this.#byId.values();
  }

  /** Whether the static mappings name this host's media. */
  isStaticHost(address: Address): boolean {
    return this.#statics.some((one) => one.internal.address === address);
  }

  /**
   * The record for a media description, an old one where there is one; undefined where the table or the pool is full, or
   * no port could be had. The caller looks at its state: while it is `opening`, the message that names it has to wait.
   */
  acquire(request: MediaRequest, out: Output[]): MediaRecord | undefined {
    const { dialog, index, internal } = request;
    const old = this.#existing(request);
    if (old !== undefined) {
      if (old.state === 'failed') return undefined;
      this.#use(old, dialog, index);
      if (
        this.#relay &&
        internal !== undefined &&
        (old.internal === undefined || !sameEndpoint(old.internal, internal))
      ) {
        old.internal = internal;
        out.push({ kind: 'media', command: { action: 'update', ...mappingOf(old) } });
      }
      return old;
    }
    if (this.#byId.size >= this.#limits.media) {
      out.push({
        kind: 'event',
        event: { kind: 'limit.reached', limit: 'media', value: this.#limits.media, phone: dialog.phone },
      });
      return undefined;
    }
    if (this.#perPhone.of(dialog.phone) >= this.#limits.mediaPerPhone) {
      const value = this.#limits.mediaPerPhone;
      out.push({
        kind: 'event',
        event: { kind: 'limit.reached', limit: 'media-per-phone', value, phone: dialog.phone },
      });
      return undefined;
    }
    return this.#open(request, 1, new Map(), out);
  }

  /** Drops one dialog's use of a record; what nobody uses is closed. */
  release(id: MappingId, dialog: Dialog, out: Output[]): void {
    const record = this.#byId.get(id);
    if (record === undefined || !record.users.delete(dialog.key)) return;
    if (record.users.size > 0) this.refreshSources(record, out);
    else this.#close(record, out);
  }

  opened(id: MappingId, out: Output[]): void {
    const record = this.#byId.get(id);
    if (record === undefined || record.state !== 'opening') return;
    record.state = 'open';
    out.push({
      kind: 'event',
      event: {
        kind: 'media.opened',
        callId: record.callId,
        internal: record.internal,
        external: record.external,
        ports: record.ports,
      },
    });
  }

  /** Tries the next ports for whoever uses the record; after some attempts it stays failed, and the SDP goes untouched. */
  failed(id: MappingId, out: Output[]): void {
    const record = this.#byId.get(id);
    if (record === undefined || record.state !== 'opening') return;
    const user = record.users.entries().next().value;
    const dialog = user === undefined ? undefined : this.#dialog(user[0]);
    const laidDown =
      record.internal !== undefined && staticExternal(this.#statics, record.internal) !== undefined;
    if (
      user === undefined ||
      dialog === undefined ||
      record.attempts >= ATTEMPTS ||
      laidDown ||
      record.routed
    ) {
      record.state = 'failed';
      return;
    }
    const request: MediaRequest = {
      dialog,
      index: user[1].values().next().value ?? 0,
      internal: record.internal,
      ports: record.ports,
      externalAddress: record.external.address,
      innerAddress: record.inner?.address,
    };
    this.#forget(record);
    const next = this.#open(request, record.attempts + 1, record.users, out);
    for (const key of record.users.keys()) {
      const one = this.#dialog(key);
      if (one === undefined) continue;
      for (const set of [one.committed, one.offered])
        if (set.delete(record.id) && next !== undefined) set.add(next.id);
      for (let i = 0; i < one.byDescription.length; i++)
        if (one.byDescription[i] === record.id) one.byDescription[i] = next?.id;
    }
  }

  /** What the data plane tells of a record; the dialogs that use it. */
  flows(id: MappingId, flow: MediaFlow, now: TimeMs): Dialog[] {
    const record = this.#byId.get(id);
    if (record === undefined || record.flow === flow) return [];
    record.flow = flow;
    record.flowSince = now;
    return [...record.users.keys()].flatMap((key) => this.#dialog(key) ?? []);
  }

  /** The records that a dialog uses. */
  of(dialog: Dialog): MediaRecord[] {
    return [...new Set([...dialog.committed, ...dialog.offered])].flatMap((id) => this.#byId.get(id) ?? []);
  }

  /** Works out who may send, and says so where it has changed. */
  refreshSources(record: MediaRecord, out: Output[]): void {
    const sources = this.#sourcesOf(record);
    if (sameEndpoints(sources, record.sources)) return;
    record.sources = sources;
    out.push({ kind: 'media', command: { action: 'update', ...mappingOf(record) } });
  }

  restore(dialog: Dialog, row: MediaRow, out: Output[]): MediaRecord | undefined {
    const before = row.internal === undefined || this.#relay ? undefined : this.#byInternal.get(row.internal);
    if (before !== undefined) {
      this.#use(before, dialog, row.index);
      this.refreshSources(before, out);
      return before;
    }
    if (!this.#pool.isFree(row.external.address, row.external.port, row.ports)) return undefined;
    // Rows were written one by one: an older one may name what a younger one has been given since.
    if (row.inner !== undefined && !this.#pool.isFree(row.inner.address, row.inner.port, row.ports))
      return undefined;
    this.#pool.claim(row.external.address, row.external.port, row.ports);
    if (row.inner !== undefined) this.#pool.claim(row.inner.address, row.inner.port, row.ports);
    return this.#insert(row, dialog, row.index, 1, new Map(), out);
  }

  #existing({ dialog, index, internal, ports, externalAddress }: MediaRequest): MediaRecord | undefined {
    if (this.#relay) {
      const id = dialog.byDescription[index];
      return id === undefined ? undefined : this.#byId.get(id);
    }
    if (internal === undefined) return undefined;
    const record = this.#byInternal.get(internal);
    if (record?.internal === undefined) return undefined;
    const first = record.internal.port;
    const address = staticExternal(this.#statics, internal)?.address ?? externalAddress;
    if (record.external.address !== address) return undefined;
    // A T.38 stream on the port that RTP had is inside the pair; a pair on the port that T.38 had is not.
    return internal.port >= first && internal.port + ports <= first + record.ports ? record : undefined;
  }

  #open(
    request: MediaRequest,
    attempts: number,
    users: Map<string, Set<number>>,
    out: Output[],
  ): MediaRecord | undefined {
    const { internal, ports, dialog, index } = request;
    const laidDown = request.routed
      ? internal
      : internal === undefined
        ? undefined
        : staticExternal(this.#statics, internal);
    const parity = ports === 1 ? undefined : internal === undefined || internal.port % 2 === 0 ? 0 : 1;
    let external = laidDown;
    if (external === undefined) {
      const port = this.#pool.take(request.externalAddress, ports, parity);
      if (port === undefined) return this.#exhausted(out);
      external = { address: request.externalAddress, port };
    } else this.#pool.claim(external.address, external.port, ports);
    let inner: Endpoint | undefined;
    if (this.#relay) {
      const address = request.innerAddress ?? request.externalAddress;
      const port = this.#pool.take(address, ports, parity);
      if (port === undefined) {
        this.#pool.release(external.address, external.port, ports);
        return this.#exhausted(out);
      }
      inner = { address, port };
    }
    return this.#insert({ internal, external, inner, ports }, dialog, index, attempts, users, out);
  }

  #insert(
    where: Pick<MediaRecord, 'external' | 'inner' | 'ports'> & { internal: Endpoint | undefined },
    dialog: Dialog,
    index: number,
    attempts: number,
    users: Map<string, Set<number>>,
    out: Output[],
  ): MediaRecord {
    const record: MediaRecord = {
      id: this.#nextId(),
      internal: where.internal,
      external: where.external,
      inner: where.inner,
      ports: where.ports,
      state: 'opening',
      attempts,
      routed: !this.#relay && where.internal !== undefined && sameEndpoint(where.internal, where.external),
      users,
      callId: dialog.callId,
      phone: dialog.phone,
      sources: [],
      flow: undefined,
      flowSince: 0,
    };
    this.#byId.set(record.id, record);
    this.#perPhone.add(record.phone);
    const { internal, external, ports } = record;
    for (let k = 0; k < ports; k++) {
      if (!this.#relay && internal !== undefined)
        this.#byInternal.set(internal.address, internal.port + k, record);
      this.#byExternal.set(external.address, external.port + k, record);
    }
    this.#use(record, dialog, index);
    record.sources = this.#sourcesOf(record);
    out.push({ kind: 'media', command: { action: 'open', ...mappingOf(record) } });
    return record;
  }

  #use(record: MediaRecord, dialog: Dialog, index: number): void {
    const indexes = record.users.get(dialog.key);
    if (indexes === undefined) record.users.set(dialog.key, new Set([index]));
    else indexes.add(index);
  }

  #close(record: MediaRecord, out: Output[]): void {
    this.#forget(record);
    out.push({ kind: 'media', command: { action: 'close', id: record.id } });
    out.push({
      kind: 'event',
      event: { kind: 'media.closed', callId: record.callId, external: record.external },
    });
  }

  #forget(record: MediaRecord): void {
    if (this.#byId.delete(record.id)) this.#perPhone.remove(record.phone);
    const { internal, external, inner, ports } = record;
    for (let k = 0; k < ports; k++) {
      if (internal !== undefined && this.#byInternal.at(internal.address, internal.port + k) === record)
        this.#byInternal.delete(internal.address, internal.port + k);
      this.#byExternal.delete(external.address, external.port + k);
    }
    this.#pool.release(external.address, external.port, ports);
    if (inner !== undefined) this.#pool.release(inner.address, inner.port, ports);
  }

  /** What the other sides' descriptions name; before any has come, the signalling peer (RFC 7362). */
  #sourcesOf(record: MediaRecord): Endpoint[] {
    const sources: Endpoint[] = [];
    for (const [key, indexes] of record.users) {
      const dialog = this.#dialog(key);
      if (dialog === undefined || !(this.#relay || this.#mayReceive(dialog))) continue;
      for (const media of dialog.remotes.values()) this.#putSources(media, indexes, sources);
      if (dialog.agreed !== undefined)
        for (const media of dialog.agreed.values()) this.#putSources(media, indexes, sources);
      if (dialog.remotes.size > 0 || isNamed(dialog.agreed, indexes)) continue;
      // To the signalling peer's SIP port a relay must not send media: port 0 is nowhere.
      put(sources, this.#relay ? { address: dialog.peer.address, port: 0 } : dialog.peer);
    }
    return sources;
  }

  #putSources(media: readonly RemoteMedia[], indexes: ReadonlySet<number>, sources: Endpoint[]): void {
    for (const index of indexes)
      for (const one of media[index] ?? [])
        if (sources.length < SOURCES) put(sources, this.#throughHairpin(one));
  }

  /** The phone behind an external endpoint of ours: its packets arrive untranslated (RFC 4787 REQ-9). */
  #throughHairpin(remote: Endpoint): Endpoint {
    if (this.#relay) return remote;
    const record = this.#byExternal.get(remote);
    return record?.internal === undefined
      ? (this.#neighbours?.media(remote) ?? remote)
      : { address: record.internal.address, port: record.internal.port + remote.port - record.external.port };
  }

  #exhausted(out: Output[]): undefined {
    out.push({
      kind: 'event',
      event: { kind: 'limit.reached', limit: 'media-ports', value: this.#pool.taken },
    });
    return undefined;
  }
}

/** Whether what was agreed on names anything for one of these media descriptions. */
function isNamed(
  agreed: ReadonlyMap<string, readonly RemoteMedia[]> | undefined,
  indexes: ReadonlySet<number>,
): boolean {
  if (agreed === undefined) return false;
  for (const media of agreed.values())
    for (const index of indexes) if ((media[index]?.length ?? 0) > 0) return true;
  return false;
}

function put(sources: Endpoint[], one: Endpoint): void {
  for (const known of sources) if (sameEndpoint(known, one)) return;
  sources.push(one);
}

export function mappingOf(record: MediaRecord): MediaMapping {
  const { id, internal, external, inner, ports, sources } = record;
  return { id, internal, external, inner, ports, sources };
}

function sameEndpoints(a: readonly Endpoint[], b: readonly Endpoint[]): boolean {
  return (
    a.length === b.length && a.every((one, i) => one.port === b[i]!.port && one.address === b[i]!.address)
  );
}
