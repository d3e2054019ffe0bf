/**
 * A simulated box: a router in user space, in the box's namespace of a lab, through which every packet between phone and
 * server goes. With no fault it is plain NAT and touches no payload; a fault is what it does beyond that.
 *
 * UDP (in fragments as well) and TCP go through it over IPv4; over IPv6, which it routes, both of them whole. ICMP it does not
 * carry.
 */
import type { Socket } from 'node:dgram';
import type { Direction } from '../../../src/core/detect/comparison.ts';
import { type Address, addressOctets, type Endpoint, isIPv6 } from '../../../src/core/net/address.ts';
import { BOX_INSIDE, BOX_OUTSIDE, type BoxLab } from '../lab.ts';
import { Fragments } from './fragments.ts';
import { Nat, type NatBehaviour, type Protocol } from './nat.ts';
import { type Packet, readPacket, writePacket } from './packet.ts';
import { Tun } from './tun.ts';

/** What goes by: which way, and between whom. */
export interface Passing {
  readonly direction: Direction;
  readonly protocol: Protocol;
  /** The phone's socket, and the same as the server sees it. */
  readonly inside: Endpoint;
  readonly outside: Endpoint;
  readonly remote: Endpoint;
  readonly nat: Nat;
  /** Sends something of the box's own to the phone, in the server's name. */
  answer(text: string): void;
}

/** A fault at work; it may keep what it has seen. */
export interface Behaviour {
  readonly nat?: NatBehaviour;
  /** A SIP message over UDP on port 5060, as latin1; what it becomes, or undefined where it is dropped. */
  message?(text: string, passing: Passing): string | undefined;
  /** SIP is told by its contents and not by the port. */
  readonly everyPort?: boolean;
  /** Any packet, with its addresses as they are on the side that it came from; what goes on in its place. */
  packet?(packet: Packet, passing: Passing): readonly Packet[];
  /** What the box says by NAT-PMP that its external address is; without, it says nothing. */
  readonly ownAddress?: Address;
  /** Milliseconds by which a packet is late; undefined where it is lost. */
  delay?(): number | undefined;
}

const SIP = /^(?:[A-Z]{2,20} \S+ SIP\/2\.0|SIP\/2\.0 \d{3} )/;
const SIP_PORT = 5060;
const DEVICE = 'simulated';

export class SimulatedBox {
  readonly #tun: Tun;
  readonly #fragments = new Fragments();
  #behaviour: Behaviour = {};
  #nat = new Nat(BOX_OUTSIDE, {});
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #lab: BoxLab;
  #natPmp: Promise<Socket> | undefined;

  /** Takes over in a lab whose box translates nothing by itself. */
  constructor(lab: BoxLab) {
    const { box } = lab;
    this.#lab = lab;
    this.#tun = new Tun(box, DEVICE, (packet) => this.#onPacket(packet));
    // The external address is the device's and no longer the kernel's, which answers ARP for it and hands everything on.
    const batch = (family: '-4' | '-6', lines: readonly string[]): void => {
      box.run('ip', [family, '-batch', '-'], `${lines.join('\n')}\n`);
    };
    batch('-4', [
      `link set ${DEVICE} mtu 65535 up`,
      `addr del ${BOX_OUTSIDE}/24 dev wan`,
      'addr add 203.0.113.2/24 dev wan',
      `neigh add proxy ${BOX_OUTSIDE} dev wan`,
      `route add ${BOX_OUTSIDE} dev ${DEVICE}`,
      `route add default dev ${DEVICE} table 100`,
      'rule add iif lan lookup 100',
    ]);
    batch('-6', [
      `route add default dev ${DEVICE} table 100`,
      'rule add iif lan lookup 100',
      'rule add iif wan lookup 100',
    ]);
  }

  /** From now on the box behaves so, with an empty table. */
  behave(behaviour: Behaviour): void {
    this.#behaviour = behaviour;
    this.#nat = new Nat(BOX_OUTSIDE, behaviour.nat ?? {});
    void this.#natPmp?.then((socket) => socket.close());
    this.#natPmp = behaviour.ownAddress === undefined ? undefined : this.#sayAddress(behaviour.ownAddress);
  }

  /** Answers who asks for the external address (RFC 6886 §3.2). */
  async #sayAddress(address: Address): Promise<Socket> {
    const socket = await this.#lab.box.socket(BOX_INSIDE, 5351);
    socket.on('message', (bytes, from) => {
      if (bytes.length !== 2 || bytes[1] !== 0) return;
      const answer = Buffer.from([0, 128, 0, 0, 0, 0, 0, 1, ...addressOctets(address)!]);
      socket.send(answer, from.port, from.address);
    });
    return socket;
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    void this.#natPmp?.then((socket) => socket.close());
    this.#tun.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #onPacket(bytes: Buffer): void {
    const whole = this.#fragments.add(bytes);
    const packet = whole === undefined ? undefined : readPacket(whole);
    if (packet === undefined) return;
    if (isIPv6(packet.source.address)) return this.#route(packet);
    const { protocol, source, destination } = packet;
    if (destination.address === BOX_OUTSIDE) {
      const inside = this.#nat.in(protocol, destination.port, source);
      if (inside !== undefined) this.#deliver(packet, source, inside, destination);
      else if (source.address.startsWith('192.168.77.')) this.#turnRound(packet);
      return;
    }
    const outside = this.#nat.out(protocol, source, destination);
    const passing = this.#passing('to-server', protocol, source, outside, destination);
    for (const one of this.#treat(packet, passing)) this.#send({ ...one, source: outside });
  }

  #deliver(packet: Packet, remote: Endpoint, inside: Endpoint, outside: Endpoint): void {
    const passing = this.#passing('to-client', packet.protocol, inside, outside, remote);
    for (const one of this.#treat(packet, passing)) this.#send({ ...one, destination: inside });
  }

  /** From inside to one of our own mappings. */
  #turnRound(packet: Packet): void {
    if (this.#nat.behaviour.noHairpin === true) return;
    const { protocol, source, destination } = packet;
    const outside = this.#nat.out(protocol, source, destination);
    const inside = this.#nat.in(protocol, destination.port, outside);
    if (inside !== undefined) this.#send({ ...packet, source: outside, destination: inside });
  }

  #route(packet: Packet): void {
    const isOut = packet.source.address.startsWith('fd77:');
    const [inside, remote] = isOut
      ? [packet.source, packet.destination]
      : [packet.destination, packet.source];
    const direction = isOut ? 'to-server' : 'to-client';
    for (const one of this.#treat(packet, this.#passing(direction, packet.protocol, inside, inside, remote)))
      this.#send(one);
  }

  #passing(
    direction: Direction,
    protocol: Protocol,
    inside: Endpoint,
    outside: Endpoint,
    remote: Endpoint,
  ): Passing {
    return {
      direction,
      protocol,
      inside,
      outside,
      remote,
      nat: this.#nat,
      answer: (text) =>
        this.#send({ protocol, source: remote, destination: inside, payload: Buffer.from(text, 'latin1') }),
    };
  }

  #treat(packet: Packet, passing: Passing): readonly Packet[] {
    const { message, everyPort } = this.#behaviour;
    let treated: Packet | undefined = packet;
    if (message !== undefined && packet.protocol === 'udp') {
      const text = packet.payload.toString('latin1');
      if ((everyPort === true || passing.remote.port === SIP_PORT) && SIP.test(text)) {
        const after = message.call(this.#behaviour, text, passing);
        treated = after === undefined ? undefined : { ...packet, payload: Buffer.from(after, 'latin1') };
      }
    }
    if (treated === undefined) return [];
    return this.#behaviour.packet?.(treated, passing) ?? [treated];
  }

  #send(packet: Packet): void {
    const { delay } = this.#behaviour;
    const lateMs = delay === undefined ? (packet.lateMs ?? 0) : delay.call(this.#behaviour);
    if (lateMs === undefined) return;
    const bytes = writePacket(packet);
    if (lateMs === 0) {
      this.#tun.write(bytes);
      return;
    }
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      this.#tun.write(bytes);
    }, lateMs);
    this.#timers.add(timer);
  }
}
