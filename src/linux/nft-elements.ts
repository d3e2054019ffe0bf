/**
 * Elements of nftables sets and maps, over nfnetlink: some microseconds each, where the `nft` program takes milliseconds.
 *
 * Facts relied on (linux/netfilter/nf_tables.h):
 * - One batch (NFNL_MSG_BATCH_BEGIN … END) is one transaction: all of it takes effect at one moment, or nothing of it.
 * - A concatenated key or value is its parts, each padded with zeros to 4 bytes; a key that is not a concatenation is not
 *   padded. Addresses and ports are in network order.
 * - Timeouts are milliseconds, 64 bits, network order.
 * - Adding an element that is there with the same value is no error and does not renew its timeout; adding a map element
 *   whose value differs is EEXIST; deleting what is not there (or has expired) is ENOENT. Hence `renew` below: add, delete, add.
 */
import type { Address, Endpoint } from '../core/net/address.ts';
import { octetsOf } from './family.ts';
import {
  eachAttribute,
  NetlinkSocket,
  NetlinkWriter,
  NFGEN_HEADER,
  NLM_F_ACK,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_REQUEST,
} from './netlink.ts';
import { systemError } from './system-error.ts';

const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_SUBSYS_NFTABLES = 10;
const NFT_MSG_NEWSETELEM = (NFNL_SUBSYS_NFTABLES << 8) | 12;
const NFT_MSG_GETSETELEM = (NFNL_SUBSYS_NFTABLES << 8) | 13;
const NFT_MSG_DELSETELEM = (NFNL_SUBSYS_NFTABLES << 8) | 14;
const NFPROTO_INET = 1;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_TIMEOUT = 4;
const NFTA_SET_ELEM_EXPR = 7;
const NFTA_EXPR_DATA = 2;
const NFTA_COUNTER_PACKETS = 2;
const NFTA_DATA_VALUE = 1;
/** An attribute's length has 16 bits; 400 elements of the longest kind stay well below. */
const ELEMENTS_PER_MESSAGE = 400;

export interface SetElement {
  readonly key: Uint8Array;
  /** Of a map only. */
  readonly value?: Uint8Array;
  /** Absent: the set's own default, or for ever. */
  readonly timeoutMs?: number;
}

export interface ElementChange {
  readonly action: 'add' | 'delete';
  readonly set: string;
  readonly elements: readonly SetElement[];
}

/** `ipv4_addr . inet_service`, or the same of IPv6. */
export function endpointElement(e: Endpoint): Uint8Array {
  return concatenation(octetsOf(e.address), NONE, e.port);
}

/** `ipv4_addr . ipv4_addr . inet_service`, or the same of IPv6. */
export function sourceElement(source: Address, e: Endpoint): Uint8Array {
  return concatenation(octetsOf(source), octetsOf(e.address), e.port);
}

const NONE = new Uint8Array(0);

function concatenation(first: Uint8Array, second: Uint8Array, port: number): Uint8Array {
  const at = first.length + second.length;
  const bytes = new Uint8Array(at + 4);
  bytes.set(first);
  if (second.length > 0) bytes.set(second, first.length);
  bytes[at] = port >> 8;
  bytes[at + 1] = port & 255;
  return bytes;
}

const IPPROTO_TCP = 6;
const IPPROTO_UDP = 17;

/** `inet_proto`: while it stands for a protocol, packets of that protocol are taken. */
export function heartbeats(timeoutMs: number): SetElement[] {
  return [IPPROTO_UDP, IPPROTO_TCP].map((protocol) => ({ key: Uint8Array.of(protocol), timeoutMs }));
}

/** Changes that leave the elements in the set with a fresh timeout, whether they were there, had expired, or were new. */
export function renew(set: string, elements: readonly SetElement[]): ElementChange[] {
  return [
    { action: 'add', set, elements },
    { action: 'delete', set, elements },
    { action: 'add', set, elements },
  ];
}

/** Changes that leave the elements out of the set, whether they were there or not. */
export function remove(set: string, elements: readonly SetElement[]): ElementChange[] {
  return [
    { action: 'add', set, elements },
    { action: 'delete', set, elements },
  ];
}

/** Writes one transaction. Only its last message asks for an acknowledgement; errors come for any. */
export function writeBatch(
  writer: NetlinkWriter,
  table: string,
  changes: readonly ElementChange[],
  sequence: number,
): void {
  writer.reset();
  writer.begin(NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, sequence, 0, NFNL_SUBSYS_NFTABLES);
  writer.end();
  const last = changes.findLast(({ elements }) => elements.length > 0);
  for (const change of changes) {
    const { action, set, elements } = change;
    const add = action === 'add';
    for (let from = 0; from < elements.length; from += ELEMENTS_PER_MESSAGE) {
      const end = Math.min(elements.length, from + ELEMENTS_PER_MESSAGE);
      const acknowledge = change === last && end === elements.length ? NLM_F_ACK : 0;
      writer.begin(
        add ? NFT_MSG_NEWSETELEM : NFT_MSG_DELSETELEM,
        NLM_F_REQUEST | acknowledge | (add ? NLM_F_CREATE : 0),
        sequence,
        NFPROTO_INET,
        0,
      );
      writer.attribute(NFTA_SET_ELEM_LIST_TABLE, nameOctets(table));
      writer.attribute(NFTA_SET_ELEM_LIST_SET, nameOctets(set));
      const list = writer.open(NFTA_SET_ELEM_LIST_ELEMENTS);
      for (let i = from; i < end; i++) writeElement(writer, elements[i]!, add);
      writer.close(list);
      writer.end();
    }
  }
  writer.begin(NFNL_MSG_BATCH_END, NLM_F_REQUEST, sequence, 0, NFNL_SUBSYS_NFTABLES);
  writer.end();
}

/** Names of our own: of the table and of its sets. */
const names = new Map<string, Uint8Array>();

function nameOctets(name: string): Uint8Array {
  let octets = names.get(name);
  if (octets === undefined) {
    octets = Buffer.from(`${name}\0`, 'latin1');
    names.set(name, octets);
  }
  return octets;
}

function writeElement(writer: NetlinkWriter, element: SetElement, whole: boolean): void {
  const item = writer.open(NFTA_LIST_ELEM);
  const key = writer.open(NFTA_SET_ELEM_KEY);
  writer.attribute(NFTA_DATA_VALUE, element.key);
  writer.close(key);
  if (whole && element.value !== undefined) {
    const value = writer.open(NFTA_SET_ELEM_DATA);
    writer.attribute(NFTA_DATA_VALUE, element.value);
    writer.close(value);
  }
  if (whole && element.timeoutMs !== undefined)
    writer.u64(NFTA_SET_ELEM_TIMEOUT, Math.max(1, Math.round(element.timeoutMs)));
  writer.close(item);
}

/** Carries changes of one `inet` table out. */
export class NftElements {
  readonly #socket = new NetlinkSocket();
  readonly #writer = new NetlinkWriter();
  readonly #table: string;

  constructor(table: string) {
    this.#table = table;
  }

  /** One transaction. Throws a `SystemError`; then nothing has changed. */
  apply(changes: readonly ElementChange[]): void {
    if (!changes.some((change) => change.elements.length > 0)) return;
    writeBatch(this.#writer, this.#table, changes, this.#socket.nextSequence());
    const errno = this.#socket.exchange(this.#writer.bytes);
    if (errno !== 0)
      throw systemError('nftables', errno, changes.map((c) => `${c.action} ${c.set}`).join(', '));
  }

  /** The packets that each element of a set has counted, by the octets of its key as latin1 text. */
  counts(set: string): Map<string, number> {
    this.#writer.reset();
    const sequence = this.#socket.nextSequence();
    this.#writer.begin(NFT_MSG_GETSETELEM, NLM_F_REQUEST | NLM_F_DUMP, sequence, NFPROTO_INET, 0);
    this.#writer.string(NFTA_SET_ELEM_LIST_TABLE, this.#table);
    this.#writer.string(NFTA_SET_ELEM_LIST_SET, set);
    this.#writer.end();
    const counts = new Map<string, number>();
    const errno = this.#socket.exchange(this.#writer.bytes, (_type, payload) =>
      readCounts(payload.subarray(NFGEN_HEADER), counts),
    );
    if (errno !== 0) throw systemError('nftables', errno, `list ${set}`);
    return counts;
  }

  close(): void {
    this.#socket.close();
  }
}

function readCounts(message: Uint8Array, counts: Map<string, number>): void {
  eachAttribute(message, (type, elements) => {
    if (type !== NFTA_SET_ELEM_LIST_ELEMENTS) return;
    eachAttribute(elements, (_item, element) => {
      let key = '';
      let packets = 0;
      eachAttribute(element, (field, value) => {
        if (field === NFTA_SET_ELEM_KEY)
          eachAttribute(value, (_value, octets) => {
            key = keyText(octets);
          });
        else if (field === NFTA_SET_ELEM_EXPR) packets = readCounter(value);
      });
      counts.set(key, packets);
    });
  });
}

function readCounter(expression: Uint8Array): number {
  let packets = 0;
  eachAttribute(expression, (part, data) => {
    if (part !== NFTA_EXPR_DATA) return;
    eachAttribute(data, (field, value) => {
      if (field === NFTA_COUNTER_PACKETS)
        packets = Number(new DataView(value.buffer, value.byteOffset, value.byteLength).getBigUint64(0));
    });
  });
  return packets;
}

/** A key as what `counts` calls it. */
export function keyText(octets: Uint8Array): string {
  // Without a copy or a view: a key has 6 to 36 octets.
  let text = '';
  for (let i = 0; i < octets.length; i++) text += String.fromCharCode(octets[i]!);
  return text;
}
