/**
 * The NAT of the simulated box: mappings that are the same towards everybody and keep the port where it is free, filtering by
 * address and port, and one time each for one-way and two-way flows (RFC 4787 §4 and §5), as Linux has it.
 */
import { type Address, type Endpoint, endpointKey } from '../../../src/core/net/address.ts';

export type Protocol = 'udp' | 'tcp';

/** How the NAT differs from a plain one. Times in milliseconds. */
export interface NatBehaviour {
  /** How long a flow to this server lives, before and after something has come back. */
  readonly lifetimes?: (remote: Endpoint) => readonly [oneWay: number, twoWay: number];
  /** Another mapping towards each endpoint. */
  readonly dependentMapping?: boolean;
  /** Whoever knows the mapping comes in. */
  readonly openFiltering?: boolean;
  /** What comes in keeps no flow alive. */
  readonly refreshedOutboundOnly?: boolean;
  /** All who send from this port share one mapping: the last one gets everything. */
  readonly sharedPort?: number;
  /** A port that it has for itself: who sends from it gets another one. */
  readonly keptPort?: number;
  /** Nothing turns round to the inside. */
  readonly noHairpin?: boolean;
}

const DEFAULT_LIFETIMES = [30_000, 120_000] as const;
const FIRST_PORT = 20_000;
const LAST_PORT = 60_000;

interface Flow {
  at: number;
  twoWay: boolean;
}

interface Mapping {
  inside: Endpoint;
  readonly port: number;
  readonly flows: Map<string, Flow>;
  /** Who comes in without having been sent to: an ALG's pinhole. */
  admits: ((remote: Endpoint) => boolean) | undefined;
}

export class Nat {
  readonly #address: Address;
  readonly behaviour: NatBehaviour;
  readonly #byInside = new Map<string, Mapping>();
  readonly #byPort = new Map<string, Mapping>();
  #next = FIRST_PORT;

  constructor(address: Address, behaviour: NatBehaviour) {
    this.#address = address;
    this.behaviour = behaviour;
  }

  /** The external endpoint of what is sent. */
  out(protocol: Protocol, inside: Endpoint, remote: Endpoint): Endpoint {
    const { dependentMapping, sharedPort } = this.behaviour;
    // Linux gives what an expectation does not cover a mapping of its own.
    const pinhole = this.#byInside.get(`${protocol} ${endpointKey(inside)}`);
    const isOutOfPinhole = pinhole?.admits?.(remote) === false;
    const isDependent = isOutOfPinhole || (dependentMapping === true && protocol === 'udp');
    const key = `${protocol} ${endpointKey(inside)}${isDependent ? ` ${endpointKey(remote)}` : ''}`;
    let mapping = this.#byInside.get(key);
    if (mapping === undefined) {
      const shared = inside.port === sharedPort ? this.#byPort.get(`${protocol} ${inside.port}`) : undefined;
      mapping = shared ?? this.#make(protocol, inside, isDependent ? this.#freePort(protocol) : inside.port);
      this.#byInside.set(key, mapping);
    }
    mapping.inside = inside;
    const flow = mapping.flows.get(endpointKey(remote));
    const now = performance.now();
    if (flow === undefined || !this.#lives(flow, remote, now))
      mapping.flows.set(endpointKey(remote), { at: now, twoWay: false });
    else flow.at = now;
    return { address: this.#address, port: mapping.port };
  }

  /** For whom it is that comes in; undefined where nobody may have it. */
  in(protocol: Protocol, port: number, remote: Endpoint): Endpoint | undefined {
    const mapping = this.#byPort.get(`${protocol} ${port}`);
    if (mapping === undefined) return undefined;
    const flow = mapping.flows.get(endpointKey(remote));
    const now = performance.now();
    if (flow !== undefined && (protocol === 'tcp' || this.#lives(flow, remote, now))) {
      flow.twoWay = true;
      if (this.behaviour.refreshedOutboundOnly !== true) flow.at = now;
      return mapping.inside;
    }
    const isOpen = this.behaviour.openFiltering === true && protocol === 'udp';
    return isOpen || mapping.admits?.(remote) === true ? mapping.inside : undefined;
  }

  /** Where a server sees this socket, if it has sent anything. */
  externalOf(protocol: Protocol, inside: Endpoint): Endpoint | undefined {
    const mapping = this.#byInside.get(`${protocol} ${endpointKey(inside)}`);
    return mapping === undefined ? undefined : { address: this.#address, port: mapping.port };
  }

  /** A mapping that is there before anything was sent, for an ALG. Gives its port. */
  pinhole(inside: Endpoint, admits: (remote: Endpoint) => boolean, port = this.#freePort('udp')): number {
    const key = `udp ${endpointKey(inside)}`;
    const mapping = this.#byInside.get(key) ?? this.#make('udp', inside, port);
    this.#byInside.set(key, mapping);
    mapping.admits = admits;
    return mapping.port;
  }

  /** An even port that is free, and the next one as well. */
  #freePort(protocol: Protocol): number {
    while (this.#byPort.has(`${protocol} ${this.#next}`) && this.#next < LAST_PORT) this.#next += 2;
    const port = this.#next;
    this.#next += 2;
    return port;
  }

  freePort(): number {
    return this.#freePort('udp');
  }

  closePinhole(inside: Endpoint): void {
    const mapping = this.#byInside.get(`udp ${endpointKey(inside)}`);
    if (mapping !== undefined) mapping.admits = undefined;
  }

  #make(protocol: Protocol, inside: Endpoint, wanted: number): Mapping {
    const isTaken = this.#byPort.has(`${protocol} ${wanted}`) || wanted === this.behaviour.keptPort;
    const port = isTaken ? this.#freePort(protocol) : wanted;
    const mapping: Mapping = { inside, port, flows: new Map(), admits: undefined };
    this.#byPort.set(`${protocol} ${port}`, mapping);
    return mapping;
  }

  #lives({ at, twoWay }: Flow, remote: Endpoint, now: number): boolean {
    const [oneWayMs, twoWayMs] = this.behaviour.lifetimes?.(remote) ?? DEFAULT_LIFETIMES;
    return now - at < (twoWay ? twoWayMs : oneWayMs);
  }
}
