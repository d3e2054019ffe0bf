/**
 * Copies of messages that the router forwards without NAT, over nfnetlink_log (NFLOG). Nothing stands in the packets' way:
 * where nobody reads, or too slowly, copies are lost and the packets are not.
 *
 * Facts relied on (linux/netfilter/nfnetlink_log.h):
 * - NFULNL_MSG_CONFIG with NFULNL_CFG_CMD_BIND takes a group for this socket; a group that another socket has is EBUSY.
 * - NFULNL_COPY_PACKET with range 0xffff copies packets whole, from the network header on. The rule's `log prefix` comes
 *   as text, and tells the direction.
 * - `queue-threshold 1` in the rule sends each copy at once.
 * - What does not fit into the receive buffer is dropped, and the next recv says ENOBUFS.
 */
import { type Datagram, readPacket, type TcpPacket } from './ip-packet.ts';
import {
  eachAttribute,
  NetlinkWriter,
  NFGEN_HEADER,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_HEADER,
} from './netlink.ts';
import { type Watch, watch } from './readiness.ts';
import * as sys from './sys.ts';
import { ERRNO, systemError } from './system-error.ts';

const AF_NETLINK = 16;
const NETLINK_NETFILTER = 12;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_PACKET = (NFNL_SUBSYS_ULOG << 8) | 0;
const NFULNL_MSG_CONFIG = (NFNL_SUBSYS_ULOG << 8) | 1;
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;
const NLMSG_ERROR = 2;

const RECEIVE_BUFFER = 4 * 1024 * 1024;
/** The largest packet, with what netlink puts around it. */
const MESSAGE_SIZE = 128 * 1024;
/** Messages in one go before other sockets get their turn. */
const BUDGET = 128;
/** Groups tried, from the first one on, before giving up. */
const GROUPS = 16;

export type Direction = 'out' | 'in';

export interface WatchReceiver {
  packet(packet: Datagram | TcpPacket, direction: Direction): void;
  fault(error: unknown): void;
}

export class PacketWatch {
  /** The group that was free. */
  readonly group: number;
  readonly #fd: sys.FileDescriptor;
  readonly #watch: Watch;
  readonly #receiver: WatchReceiver;
  readonly #input = new Uint8Array(MESSAGE_SIZE);
  #closed = false;

  /** Takes the first free group from `first` on. Throws a `SystemError` where the kernel has no NFLOG. */
  constructor(first: number, receiver: WatchReceiver) {
    this.#receiver = receiver;
    this.#fd = sys.socket(AF_NETLINK, sys.SOCK_RAW, NETLINK_NETFILTER);
    try {
      sys.trySetOption(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
      sys.bindNetlink(this.#fd, 0);
      this.group = this.#bind(first);
    } catch (error) {
      sys.close(this.#fd);
      throw error;
    }
    this.#watch = watch(this.#fd, () => this.#drain());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watch.close();
    sys.close(this.#fd);
  }

  #bind(first: number): number {
    let errno: number = ERRNO.EBUSY;
    for (let group = first; group < first + GROUPS && errno === ERRNO.EBUSY; group++) {
      errno = this.#configure(group, NFULA_CFG_CMD, Uint8Array.of(NFULNL_CFG_CMD_BIND));
      if (errno !== 0) continue;
      errno = this.#configure(group, NFULA_CFG_MODE, Uint8Array.of(0, 0, 0xff, 0xff, NFULNL_COPY_PACKET, 0));
      if (errno === 0) return group;
    }
    throw systemError('nfnetlink_log', errno, `group ${first}`);
  }

  /** The kernel answers inside the sending call. */
  #configure(group: number, type: number, value: Uint8Array): number {
    const writer = new NetlinkWriter();
    writer.begin(NFULNL_MSG_CONFIG, NLM_F_REQUEST | NLM_F_ACK, 1, 0, group);
    writer.attribute(type, value);
    writer.end();
    const sent = sys.sendNetlink(this.#fd, writer.bytes);
    if (sent < 0) return -sent;
    for (;;) {
      const received = sys.receive(this.#fd, this.#input);
      if (received === -ERRNO.EINTR) continue;
      if (received < 0) return -received;
      const view = new DataView(this.#input.buffer, 0, received);
      if (received >= NLMSG_HEADER + 4 && view.getUint16(4, true) === NLMSG_ERROR)
        return -view.getInt32(NLMSG_HEADER, true);
    }
  }

  #drain(): void {
    for (let i = 0; i < BUDGET && !this.#closed; i++) {
      const received = sys.receive(this.#fd, this.#input);
      if (received < 0) {
        if (received === -ERRNO.ENOBUFS)
          this.#receiver.fault(
            new Error('more messages were forwarded than could be read; some were not seen'),
          );
        else if (received !== -ERRNO.EAGAIN && received !== -ERRNO.EINTR)
          this.#receiver.fault(systemError('nfnetlink_log', -received));
        return;
      }
      try {
        readCopies(this.#input.subarray(0, received), (packet, direction) =>
          this.#receiver.packet(packet, direction),
        );
      } catch (error) {
        this.#receiver.fault(error);
      }
    }
  }
}

/** The packets in what one receive has brought. What is cut short, or something else, is passed over. */
export function readCopies(
  bytes: Uint8Array,
  each: (packet: Datagram | TcpPacket, direction: Direction) => void,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  while (at + NLMSG_HEADER + NFGEN_HEADER <= bytes.length) {
    const length = view.getUint32(at, true);
    if (length < NLMSG_HEADER + NFGEN_HEADER || at + length > bytes.length) return;
    if (view.getUint16(at + 4, true) === NFULNL_MSG_PACKET) {
      let packet: Datagram | TcpPacket | undefined;
      let direction: Direction | undefined;
      eachAttribute(bytes.subarray(at + NLMSG_HEADER + NFGEN_HEADER, at + length), (type, value) => {
        if (type === NFULA_PAYLOAD) packet = readPacket(value);
        else if (type === NFULA_PREFIX) direction = readPrefix(value);
      });
      if (packet !== undefined && direction !== undefined) each(packet, direction);
    }
    at += (length + 3) & ~3;
  }
}

function readPrefix(value: Uint8Array): Direction | undefined {
  const text = Buffer.from(value).toString('latin1').replace(/\0.*$/s, '');
  return text === 'out' || text === 'in' ? text : undefined;
}
