/**
 * The kernel's connection table, over ctnetlink: UDP only, of both families.
 *
 * Facts relied on (linux/netfilter/nfnetlink_conntrack.h, net/netfilter/nf_conntrack_netlink.c):
 * - A lookup by the original tuple also finds an entry by its reply tuple.
 * - CTA_FILTER (Linux 5.8) makes a dump match single fields of the tuples. Older kernels ignore it, so that what a dump
 *   yields is matched again here.
 * - A dump with a filter is of one family (ctnetlink_parse_tuple_filter refuses to do without).
 * - A new entry takes its timeout policy from rules; one made over netlink has none. IPS_FIXED_TIMEOUT (bit 10) freezes the
 *   expiry against packets: an entry made with it lives exactly as long as was asked. It cannot be changed, only replaced.
 * - An entry made without NAT attributes is never given any NAT later: packets that match it keep their addresses.
 */
import { type Address, addressOf, type Endpoint } from '../core/net/address.ts';
import { FAMILIES, type Family, familyOf, IPV4, octetsOf } from './family.ts';
import {
  NetlinkSocket,
  NetlinkWriter,
  NFGEN_HEADER,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  NLM_F_REQUEST,
} from './netlink.ts';
import { ERRNO, systemError } from './system-error.ts';

const NFNL_SUBSYS_CTNETLINK = 1;
const IPCTNL_MSG_CT_NEW = NFNL_SUBSYS_CTNETLINK << 8;
const IPCTNL_MSG_CT_GET = (NFNL_SUBSYS_CTNETLINK << 8) | 1;
const IPCTNL_MSG_CT_DELETE = (NFNL_SUBSYS_CTNETLINK << 8) | 2;
const CTA_TUPLE_ORIG = 1;
const CTA_TUPLE_REPLY = 2;
const CTA_STATUS = 3;
const CTA_TIMEOUT = 7;
const CTA_ID = 12;
const CTA_FILTER = 25;
const CTA_STATUS_MASK = 26;
const CTA_FILTER_ORIG_FLAGS = 1;
const CTA_FILTER_REPLY_FLAGS = 2;
const CTA_TUPLE_IP = 1;
const CTA_TUPLE_PROTO = 2;
const CTA_IP_V4_SRC = 1;
const CTA_IP_V4_DST = 2;
const CTA_IP_V6_SRC = 3;
const CTA_IP_V6_DST = 4;
const CTA_PROTO_NUM = 1;
const CTA_PROTO_SRC_PORT = 2;
const CTA_PROTO_DST_PORT = 3;
const FILTER_SRC = 1 << 0;
const FILTER_DST = 1 << 1;
const FILTER_PROTO = 1 << 3;
const FILTER_SRC_PORT = 1 << 4;
const FILTER_DST_PORT = 1 << 5;
const IPPROTO_UDP = 17;
/** Without the bits for nested attributes and for network order (linux/netlink.h). */
const NLA_TYPE_MASK = 0x3fff;

export const IPS_SEEN_REPLY = 1 << 1;
export const IPS_ASSURED = 1 << 2;
export const IPS_CONFIRMED = 1 << 3;
export const IPS_SRC_NAT = 1 << 4;
export const IPS_DST_NAT = 1 << 5;
export const IPS_FIXED_TIMEOUT = 1 << 10;
export const IPS_OFFLOAD = 1 << 14;

/** One direction of an entry. */
export interface Tuple {
  readonly source: Endpoint;
  readonly destination: Endpoint;
}

export interface ConntrackEntry {
  readonly original: Tuple;
  readonly reply: Tuple;
  readonly status: number;
  /** Seconds until it ends. */
  readonly timeoutS: number;
  readonly id: number;
}

/** By its tuples, and by its identity where that is known. */
export type RemovedEntry = Pick<ConntrackEntry, 'original'> & { readonly id?: number };

interface HoldChange {
  readonly kind: 'hold';
  readonly local: Endpoint;
  readonly peer: Endpoint;
  readonly lifetimeMs: number;
  /** A packet had made an entry in between: it is tried once more. */
  readonly again?: boolean;
}

export type ConntrackChange = { readonly kind: 'remove'; readonly entry: RemovedEntry } | HoldChange;

/** What fits the socket's buffers with room to spare. */
const CHANGES_AT_ONCE = 400;

/** Fields that must match; what is absent matches anything. */
export interface ConntrackFilter {
  readonly original?: TupleFilter;
  readonly reply?: TupleFilter;
  /** Bits that must all be set. */
  readonly status?: number;
}

export interface TupleFilter {
  readonly sourceAddress?: Address;
  readonly sourcePort?: number;
  readonly destinationAddress?: Address;
  readonly destinationPort?: number;
}

function tupleMatches(tuple: Tuple, filter: TupleFilter | undefined): boolean {
  return (
    filter === undefined ||
    ((filter.sourceAddress === undefined || filter.sourceAddress === tuple.source.address) &&
      (filter.sourcePort === undefined || filter.sourcePort === tuple.source.port) &&
      (filter.destinationAddress === undefined || filter.destinationAddress === tuple.destination.address) &&
      (filter.destinationPort === undefined || filter.destinationPort === tuple.destination.port))
  );
}

export function matches(entry: ConntrackEntry, filter: ConntrackFilter): boolean {
  return (
    tupleMatches(entry.original, filter.original) &&
    tupleMatches(entry.reply, filter.reply) &&
    (filter.status === undefined || (entry.status & filter.status) === filter.status)
  );
}

function writeTuple(writer: NetlinkWriter, type: number, tuple: TupleFilter, family: Family): number {
  let flags = FILTER_PROTO;
  const outer = writer.open(type);
  const ip = writer.open(CTA_TUPLE_IP);
  // Both addresses and ports are always written: the parser of some kernels wants them where the protocol is named.
  const none = new Uint8Array(family.bits / 8);
  const [source, destination] =
    family === IPV4 ? [CTA_IP_V4_SRC, CTA_IP_V4_DST] : [CTA_IP_V6_SRC, CTA_IP_V6_DST];
  writer.attribute(source, tuple.sourceAddress === undefined ? none : octetsOf(tuple.sourceAddress));
  writer.attribute(
    destination,
    tuple.destinationAddress === undefined ? none : octetsOf(tuple.destinationAddress),
  );
  writer.close(ip);
  const proto = writer.open(CTA_TUPLE_PROTO);
  writer.u8(CTA_PROTO_NUM, IPPROTO_UDP);
  writer.u16(CTA_PROTO_SRC_PORT, tuple.sourcePort ?? 0);
  writer.u16(CTA_PROTO_DST_PORT, tuple.destinationPort ?? 0);
  writer.close(proto);
  writer.close(outer);
  if (tuple.sourceAddress !== undefined) flags |= FILTER_SRC;
  if (tuple.destinationAddress !== undefined) flags |= FILTER_DST;
  if (tuple.sourcePort !== undefined) flags |= FILTER_SRC_PORT;
  if (tuple.destinationPort !== undefined) flags |= FILTER_DST_PORT;
  return flags;
}

function asFilter(tuple: Tuple): TupleFilter {
  return {
    sourceAddress: tuple.source.address,
    sourcePort: tuple.source.port,
    destinationAddress: tuple.destination.address,
    destinationPort: tuple.destination.port,
  };
}

function reverse(tuple: Tuple): Tuple {
  return { source: tuple.destination, destination: tuple.source };
}

/** Where the parts of a tuple stand in a message; a walk reads thousands of tuples, so that one place serves for all. */
interface TuplePlace {
  source: number;
  destination: number;
  /** Octets of an address: 4 or 16. */
  size: number;
  protocol: number;
  sourcePort: number;
  destinationPort: number;
}

const ORIGINAL = tuplePlace();
const REPLY = tuplePlace();

function tuplePlace(): TuplePlace {
  return { source: 0, destination: 0, size: 0, protocol: 0, sourcePort: 0, destinationPort: 0 };
}

/** The length of the attribute at `at`, or 0 where it is not whole. */
function attributeSize(view: DataView, at: number, end: number): number {
  const size = at + 4 <= end ? view.getUint16(at, true) : 0;
  return size < 4 || at + size > end ? 0 : size;
}

/** Attributes begin at multiples of four octets. */
function padded(size: number): number {
  return (size + 3) & ~3;
}

function attributeType(view: DataView, at: number): number {
  return view.getUint16(at + 2, true) & NLA_TYPE_MASK;
}

function findTuple(view: DataView, from: number, end: number, place: TuplePlace): void {
  place.source = 0;
  place.destination = 0;
  place.size = 0;
  place.protocol = 0;
  place.sourcePort = 0;
  place.destinationPort = 0;
  let size = attributeSize(view, from, end);
  for (let at = from; size > 0; at += padded(size), size = attributeSize(view, at, end)) {
    const type = attributeType(view, at);
    if (type !== CTA_TUPLE_IP && type !== CTA_TUPLE_PROTO) continue;
    const innerEnd = at + size;
    let length = attributeSize(view, at + 4, innerEnd);
    for (
      let inner = at + 4;
      length > 0;
      inner += padded(length), length = attributeSize(view, inner, innerEnd)
    ) {
      const field = attributeType(view, inner);
      const octets = length - 4;
      if (type === CTA_TUPLE_IP) {
        if ((octets !== 4 && octets !== 16) || (place.size !== 0 && place.size !== octets)) continue;
        place.size = octets;
        if (field === CTA_IP_V4_SRC || field === CTA_IP_V6_SRC) place.source = inner + 4;
        else if (field === CTA_IP_V4_DST || field === CTA_IP_V6_DST) place.destination = inner + 4;
      } else if (field === CTA_PROTO_NUM && octets >= 1) place.protocol = view.getUint8(inner + 4);
      else if (field === CTA_PROTO_SRC_PORT && octets >= 2) place.sourcePort = view.getUint16(inner + 4);
      else if (field === CTA_PROTO_DST_PORT && octets >= 2) place.destinationPort = view.getUint16(inner + 4);
    }
  }
}

/** Addresses as text, so that a walk makes each of them once and not four times for every flow. */
const texts = new Map<number, Address>();
const MAX_TEXTS = 8_192;

function addressAt(bytes: Uint8Array, view: DataView, at: number, size: number): Address {
  if (size !== 4) return addressOf(bytes.subarray(at, at + size));
  const number = view.getUint32(at);
  let text = texts.get(number);
  if (text === undefined) {
    if (texts.size >= MAX_TEXTS) texts.clear();
    text = addressOf(bytes.subarray(at, at + size));
    texts.set(number, text);
  }
  return text;
}

function tupleAt(bytes: Uint8Array, view: DataView, place: TuplePlace): Tuple {
  const { source, destination, size, sourcePort, destinationPort } = place;
  return {
    source: { address: addressAt(bytes, view, source, size), port: sourcePort },
    destination: { address: addressAt(bytes, view, destination, size), port: destinationPort },
  };
}

/** An entry from the payload of one message, or undefined where it is not UDP. */
export function readEntry(payload: Uint8Array): ConntrackEntry | undefined {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const end = payload.byteLength;
  let status = 0;
  let timeoutS = 0;
  let id = 0;
  ORIGINAL.source = 0;
  REPLY.source = 0;
  let size = attributeSize(view, NFGEN_HEADER, end);
  for (let at = NFGEN_HEADER; size > 0; at += padded(size), size = attributeSize(view, at, end)) {
    const type = attributeType(view, at);
    if (type === CTA_TUPLE_ORIG) {
      findTuple(view, at + 4, at + size, ORIGINAL);
      if (ORIGINAL.protocol !== IPPROTO_UDP) return undefined;
    } else if (type === CTA_TUPLE_REPLY) findTuple(view, at + 4, at + size, REPLY);
    else if (size >= 8) {
      if (type === CTA_STATUS) status = view.getUint32(at + 4);
      else if (type === CTA_TIMEOUT) timeoutS = view.getUint32(at + 4);
      else if (type === CTA_ID) id = view.getUint32(at + 4);
    }
  }
  // Offset 0 is that of no attribute.
  for (const place of [ORIGINAL, REPLY]) if (place.source === 0 || place.destination === 0) return undefined;
  return {
    original: tupleAt(payload, view, ORIGINAL),
    reply: tupleAt(payload, view, REPLY),
    status,
    timeoutS,
    id,
  };
}

export class Conntrack {
  readonly #socket = new NetlinkSocket();
  readonly #writer = new NetlinkWriter();

  close(): void {
    this.#socket.close();
  }

  /** All UDP entries that match. Walks the whole table in the kernel, once for each family that may match. */
  list(filter: ConntrackFilter = {}): ConntrackEntry[] {
    const entries: ConntrackEntry[] = [];
    this.each((entry) => entries.push(entry), filter);
    return entries;
  }

  /** The same, one by one. `among`: a walk of one family costs as much as of the
   * other. `seen` must not ask this table for anything: its answers would come among the entries. */
  each(
    seen: (entry: ConntrackEntry) => void,
    filter: ConntrackFilter = {},
    among: Iterable<Family> = FAMILIES,
  ): void {
    const named = [filter.original, filter.reply]
      .flatMap((tuple) => [tuple?.sourceAddress, tuple?.destinationAddress])
      .find((address) => address !== undefined);
    const families = named === undefined ? among : [familyOf(named)];
    for (const family of families) this.#eachOf(family, seen, filter);
  }

  #eachOf(family: Family, seen: (entry: ConntrackEntry) => void, filter: ConntrackFilter): void {
    this.#begin(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, family);
    this.#filter({ ...filter, original: filter.original ?? {} }, family);
    this.#writer.end();
    const errno = this.#socket.exchange(this.#writer.bytes, (_type, payload) => {
      const entry = readEntry(payload);
      if (entry !== undefined && matches(entry, filter)) seen(entry);
    });
    if (errno !== 0) throw systemError('conntrack list', errno);
  }

  /** Removes all that match any of the filters, in one walk of the table. */
  removeMatching(...filters: readonly ConntrackFilter[]): void {
    const entries = this.list().filter((entry) => filters.some((filter) => matches(entry, filter)));
    this.carryOut(entries.map((entry) => ({ kind: 'remove', entry })));
  }

  /** Removes one entry; whether it was there. */
  remove(entry: RemovedEntry): boolean {
    let removed = true;
    this.carryOut([{ kind: 'remove', entry }], () => {
      removed = false;
    });
    return removed;
  }

  /**
   * Makes sure that what `peer` sends to `local` counts as known to the firewall for `lifetimeMs` from now, with or without
   * packets, and no longer. Replaces whatever entry these two have.
   */
  hold(local: Endpoint, peer: Endpoint, lifetimeMs: number): void {
    this.carryOut([{ kind: 'hold', local, peer, lifetimeMs }]);
  }

  /**
   * Carries changes out in their order, many in one system call. Throws a `SystemError` for the first that the kernel refuses,
   * when all have been tried. `missing` is told of every entry that was to be removed and is not there.
   */
  carryOut(changes: readonly ConntrackChange[], missing?: (entry: RemovedEntry) => void): void {
    let refused: unknown;
    for (let from = 0; from < changes.length; from += CHANGES_AT_ONCE) {
      try {
        this.#carryOut(changes.slice(from, from + CHANGES_AT_ONCE), missing);
      } catch (error) {
        refused ??= error;
      }
    }
    if (refused !== undefined) throw refused;
  }

  #carryOut(changes: readonly ConntrackChange[], missing: ((entry: RemovedEntry) => void) | undefined): void {
    this.#writer.reset();
    const bySequence = new Map<number, ConntrackChange>();
    let sequence = 0;
    const begin = (change: ConntrackChange): number => {
      sequence = this.#socket.nextSequence();
      bySequence.set(sequence, change);
      return sequence;
    };
    changes.forEach((change, i) => {
      const acknowledge = i === changes.length - 1 ? NLM_F_ACK : 0;
      if (change.kind === 'remove') this.#writeRemoval(change.entry, begin(change), acknowledge);
      else {
        const original = { source: change.local, destination: change.peer };
        this.#writeRemoval({ original }, this.#socket.nextSequence(), 0);
        this.#writeHold(change, begin(change), acknowledge);
      }
    });
    const again: ConntrackChange[] = [];
    let refused: unknown;
    this.#socket.exchangeEach(this.#writer.bytes, sequence, (failed, errno) => {
      const change = bySequence.get(failed);
      // A removal that makes room for a hold need not find anything.
      if (change === undefined) return;
      if (change.kind === 'remove' && errno === ERRNO.ENOENT) missing?.(change.entry);
      else if (change.kind === 'hold' && errno === ERRNO.EEXIST && change.again !== true)
        again.push({ ...change, again: true });
      else refused ??= systemError(`conntrack ${change.kind}`, errno);
    });
    if (again.length > 0) this.#carryOut(again, missing);
    if (refused !== undefined) throw refused;
  }

  #writeRemoval(entry: RemovedEntry, sequence: number, acknowledge: number): void {
    const family = familyOf(entry.original.source.address);
    this.#writer.begin(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | acknowledge, sequence, family.domain, 0);
    writeTuple(this.#writer, CTA_TUPLE_ORIG, asFilter(entry.original), family);
    if (entry.id !== undefined) this.#writer.u32(CTA_ID, entry.id);
    this.#writer.end();
  }

  #writeHold({ local, peer, lifetimeMs }: HoldChange, sequence: number, acknowledge: number): void {
    const original: Tuple = { source: local, destination: peer };
    const family = familyOf(local.address);
    const flags = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL | acknowledge;
    this.#writer.begin(IPCTNL_MSG_CT_NEW, flags, sequence, family.domain, 0);
    writeTuple(this.#writer, CTA_TUPLE_ORIG, asFilter(original), family);
    writeTuple(this.#writer, CTA_TUPLE_REPLY, asFilter(reverse(original)), family);
    this.#writer.u32(CTA_STATUS, IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED | IPS_FIXED_TIMEOUT);
    this.#writer.u32(CTA_TIMEOUT, Math.min(Math.max(1, Math.ceil(lifetimeMs / 1000)), 0x7fff_ffff / 1000));
    this.#writer.end();
  }

  #begin(type: number, flags: number, family: Family): void {
    this.#writer.reset();
    this.#writer.begin(type, flags, this.#socket.nextSequence(), family.domain, 0);
  }

  #filter(filter: ConntrackFilter, family: Family): void {
    const original =
      filter.original === undefined ? 0 : writeTuple(this.#writer, CTA_TUPLE_ORIG, filter.original, family);
    const reply =
      filter.reply === undefined ? 0 : writeTuple(this.#writer, CTA_TUPLE_REPLY, filter.reply, family);
    const nested = this.#writer.open(CTA_FILTER);
    if (original !== 0) this.#writer.u32host(CTA_FILTER_ORIG_FLAGS, original);
    if (reply !== 0) this.#writer.u32host(CTA_FILTER_REPLY_FLAGS, reply);
    this.#writer.close(nested);
    if (filter.status === undefined) return;
    this.#writer.u32(CTA_STATUS, filter.status);
    this.#writer.u32(CTA_STATUS_MASK, filter.status);
  }
}
