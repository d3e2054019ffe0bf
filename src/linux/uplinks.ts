/**
 * Several external addresses: which one the route prefers for a phone, and which others lead to the provider too.
 *
 * Facts relied on (rtnetlink(7)):
 * - RTM_GETROUTE answers what the kernel would do with a packet: with RTA_IIF and the phone as RTA_SRC, what becomes of its
 *   forwarded packets (rules by the phone's address count); with one of our addresses as RTA_SRC alone, what becomes of our own
 *   (rules by that address count, as they are set up for uplinks of different providers).
 * - An address whose packets would leave by another interface than its own is no good there: the provider of that uplink
 *   drops what has a foreign source (BCP 38).
 */
import { type Address, addressOctets, isIPv6 } from '../core/net/address.ts';
import type { ExternalAddress } from './address-monitor.ts';
import { familyOf } from './family.ts';
import { eachAttribute, NETLINK_ROUTE, NetlinkSocket, NetlinkWriter, NLM_F_REQUEST } from './netlink.ts';

const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_IIF = 3;
const RTA_OIF = 4;
/** `struct rtmsg` is 12 octets, of which 4 are written as the common header. */
const REST_OF_RTMSG = new Uint8Array(8);
const RTMSG = 12;
const CACHE_MS = 2_000;
const CACHE_SIZE = 4_096;

export interface UplinkChoice {
  readonly preferred: Address;
  readonly others: readonly Address[];
}

export class Uplinks {
  readonly #socket = new NetlinkSocket(NETLINK_ROUTE);
  readonly #writer = new NetlinkWriter();
  readonly #known = new Map<
    string,
    { readonly choice: UplinkChoice | undefined; readonly untilMs: number }
  >();

  /**
   * Undefined where there is no choice. `preferred` is the address on the route of our own packets; where the phone's packets
   * would be routed to another uplink by the operator's rules, that one's address takes its place.
   */
  choose(
    phone: Address,
    provider: Address,
    preferred: Address | undefined,
    addresses: readonly ExternalAddress[],
    nowMs: number,
  ): UplinkChoice | undefined {
    if (preferred === undefined || addresses.length < 2) return undefined;
    const family = addresses.filter((one) => one.running && isIPv6(one.address) === isIPv6(provider));
    if (family.length < 2) return undefined;
    const key = `${phone} ${provider} ${preferred}`;
    const known = this.#known.get(key);
    if (known !== undefined && known.untilMs > nowMs) return known.choice;
    if (this.#known.size >= CACHE_SIZE) this.#known.clear();
    const able = family.filter((one) => this.#interfaceTowards(provider, one.address) === one.index);
    const forwarded = this.#interfaceOfForwarded(provider, phone);
    const isForwarded = (one: ExternalAddress): boolean => one.index === forwarded;
    const first =
      able.find((one) => one.address === preferred && isForwarded(one)) ??
      able.find(isForwarded) ??
      able.find((one) => one.address === preferred);
    const choice =
      first === undefined
        ? undefined
        : {
            preferred: first.address,
            others: able.filter((one) => one !== first).map(({ address }) => address),
          };
    this.#known.set(key, { choice, untilMs: nowMs + CACHE_MS });
    return choice;
  }

  clear(): void {
    this.#known.clear();
  }

  close(): void {
    this.#socket.close();
  }

  /** Where a packet of the phone's would leave. */
  #interfaceOfForwarded(provider: Address, phone: Address): number | undefined {
    const inside = this.#interfaceTowards(phone);
    return inside === undefined ? undefined : this.#interfaceTowards(provider, phone, inside);
  }

  /** Index of the interface by which a packet leaves; undefined where there is no route. */
  #interfaceTowards(destination: Address, source?: Address, inside?: number): number | undefined {
    const writer = this.#writer;
    const to = addressOctets(destination);
    const from = source === undefined ? undefined : addressOctets(source);
    if (to === undefined) return undefined;
    writer.reset();
    const sequence = this.#socket.nextSequence();
    writer.begin(RTM_GETROUTE, NLM_F_REQUEST, sequence, familyOf(destination).domain, 0);
    writer.raw(REST_OF_RTMSG);
    writer.attribute(RTA_DST, to);
    if (from !== undefined) writer.attribute(RTA_SRC, from);
    if (inside !== undefined) writer.u32host(RTA_IIF, inside);
    writer.end();
    let leavesBy: number | undefined;
    const errno = this.#socket.exchange(writer.bytes, (type, payload) => {
      if (type === RTM_NEWROUTE) leavesBy = readInterface(payload);
    });
    return errno === 0 ? leavesBy : undefined;
  }
}

/** The interface in the answer to a question for a route. */
export function readInterface(payload: Uint8Array): number | undefined {
  let found: number | undefined;
  eachAttribute(payload.subarray(RTMSG), (type, value) => {
    if (type === RTA_OIF && value.byteLength === 4)
      found = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  });
  return found;
}
