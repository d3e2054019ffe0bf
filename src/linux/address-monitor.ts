/**
 * The addresses of the external interfaces, watched by netlink: what is there now, and a call whenever that has changed.
 *
 * Facts relied on (rtnetlink(7), linux/if_addr.h):
 * - RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV6_IFADDR tell of every link and address that comes, goes or changes. Messages
 *   may be lost where nobody reads for long (ENOBUFS): so a message is only the reason to look, never what is believed.
 * - IFA_LOCAL is our address and IFA_ADDRESS the other end's on a point-to-point link; elsewhere IFA_ADDRESS may stand alone.
 * - An IPv6 address that is tentative, or has failed duplicate address detection, is not ours (yet).
 * - An interface that is down keeps its IPv4 addresses: they are there as long as the kernel lists them. (getifaddrs as Node
 *   gives it out leaves such interfaces out.)
 */
import { type Address, addressOf } from '../core/net/address.ts';
import {
  eachAttribute,
  NETLINK_ROUTE,
  NetlinkSocket,
  NetlinkWriter,
  NLM_F_DUMP,
  NLM_F_REQUEST,
} from './netlink.ts';
import { systemError } from './system-error.ts';
import { type UplinkChoice, Uplinks } from './uplinks.ts';

const RTM_NEWLINK = 16;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const IFLA_IFNAME = 3;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const IFA_F_TENTATIVE = 0x40;
const IFA_F_DADFAILED = 0x08;
const RT_SCOPE_LINK = 253;
const IFF_UP = 1;
const IFF_RUNNING = 0x40;
const LINK_HEADER = 16;
const ADDRESS_HEADER = 8;
const GROUPS = 0x1 | 0x10 | 0x100;
/** From the first message to the look: what is taken away and set again in one go (`ip addr replace`) is no change. */
const SETTLE_MS = 50;

export interface ExternalAddress {
  readonly address: Address;
  readonly interface: string;
  /** The interface's index in the kernel. */
  readonly index: number;
  /** The interface is up and has a carrier. */
  readonly running: boolean;
}

export class AddressMonitor {
  readonly #names: ReadonlySet<string>;
  readonly #requests = new NetlinkSocket(NETLINK_ROUTE);
  readonly #messages: NetlinkSocket;
  readonly #writer = new NetlinkWriter();
  readonly #uplinks = new Uplinks();
  #known: readonly ExternalAddress[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** Calls `changed` after every change; the first state is there at once. Throws a `SystemError`. */
  constructor(external: readonly string[], changed: () => void, fault: (error: unknown) => void) {
    this.#names = new Set(external);
    this.#messages = new NetlinkSocket(NETLINK_ROUTE, GROUPS);
    const look = (): void => {
      this.#timer = undefined;
      try {
        if (this.#look()) changed();
      } catch (error) {
        fault(error);
      }
    };
    this.#messages.listen(() => {
      this.#timer ??= setTimeout(look, SETTLE_MS);
    });
    this.#look();
  }

  /** Which address a phone's packet leaves by, and which others would do; undefined where there is no choice. */
  choose(
    phone: Address,
    provider: Address,
    preferred: Address | undefined,
    nowMs: number,
  ): UplinkChoice | undefined {
    return this.#uplinks.choose(phone, provider, preferred, this.#known, nowMs);
  }

  /** What is there, also on interfaces that are down. */
  get addresses(): readonly ExternalAddress[] {
    return this.#known;
  }

  has(address: Address): boolean {
    return this.#known.some((one) => one.address === address);
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#messages.close();
    this.#uplinks.close();
    this.#requests.close();
  }

  /** Reads what is there; whether it is something else than before. */
  #look(): boolean {
    const links = new Map<number, { name: string; running: boolean }>();
    this.#dump(RTM_GETLINK, RTM_NEWLINK, (payload) => {
      const link = readLink(payload);
      if (link !== undefined && this.#names.has(link.name)) links.set(link.index, link);
    });
    const found = new Map<Address, ExternalAddress>();
    this.#dump(RTM_GETADDR, RTM_NEWADDR, (payload) => {
      const one = readAddress(payload);
      const link = one === undefined ? undefined : links.get(one.index);
      if (one !== undefined && link !== undefined)
        found.set(one.address, { ...one, interface: link.name, running: link.running });
    });
    const before = this.#known;
    this.#known = [...found.values()];
    this.#uplinks.clear();
    return !sameAddresses(before, this.#known);
  }

  #dump(type: number, answer: number, each: (payload: Uint8Array) => void): void {
    this.#writer.reset();
    this.#writer.begin(type, NLM_F_REQUEST | NLM_F_DUMP, this.#requests.nextSequence(), 0, 0);
    this.#writer.end();
    const errno = this.#requests.exchange(this.#writer.bytes, (kind, payload) => {
      if (kind === answer) each(payload);
    });
    if (errno !== 0) throw systemError('netlink route', errno);
  }
}

/** `struct ifinfomsg` and its attributes. */
export function readLink(
  payload: Uint8Array,
): { readonly index: number; readonly name: string; readonly running: boolean } | undefined {
  if (payload.byteLength < LINK_HEADER) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  const flags = view.getUint32(8, true);
  let name: string | undefined;
  eachAttribute(payload.subarray(LINK_HEADER), (type, value) => {
    if (type === IFLA_IFNAME) name = Buffer.from(value).toString('latin1').replace(/\0.*$/s, '');
  });
  const running = (flags & IFF_UP) !== 0 && (flags & IFF_RUNNING) !== 0;
  return name === undefined ? undefined : { index: view.getInt32(4, true), name, running };
}

/** `struct ifaddrmsg` and its attributes; undefined for what nobody outside can send to. */
export function readAddress(
  payload: Uint8Array,
): { readonly index: number; readonly address: Address } | undefined {
  if (payload.byteLength < ADDRESS_HEADER) return undefined;
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let flags = view.getUint8(2);
  let local: Address | undefined;
  let address: Address | undefined;
  eachAttribute(payload.subarray(ADDRESS_HEADER), (type, value) => {
    if (type === IFA_LOCAL) local = addressIn(value);
    else if (type === IFA_ADDRESS) address = addressIn(value);
    else if (type === IFA_FLAGS && value.byteLength === 4)
      flags = new DataView(value.buffer, value.byteOffset).getUint32(0, true);
  });
  const own = local ?? address;
  if (own === undefined || view.getUint8(3) >= RT_SCOPE_LINK) return undefined;
  if ((flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) !== 0) return undefined;
  return { index: view.getUint32(4, true), address: own };
}

function addressIn(octets: Uint8Array): Address | undefined {
  return octets.byteLength === 4 || octets.byteLength === 16 ? addressOf(octets) : undefined;
}

function sameAddresses(a: readonly ExternalAddress[], b: readonly ExternalAddress[]): boolean {
  const text = (list: readonly ExternalAddress[]): string =>
    list
      .map((one) => `${one.address} ${one.interface} ${one.index} ${one.running}`)
      .sort()
      .join('\n');
  return text(a) === text(b);
}
