/**
 * The engine's contract: what goes in, what comes out. Nothing here does anything.
 *
 * The engine holds no socket and reads no clock. A driver (the gateway, `explain`, a test) feeds it inputs one at a
 * time and carries out the outputs in the order in which they stand.
 */
import type { Address, Endpoint } from '../net/address.ts';
import type { ConnectionId, Flow, Transport } from '../net/flow.ts';
import type { AlgEvent } from './event.ts';

/** Names one mapping (of signalling or of media) from `open` to `close`; never used twice in one engine's life. */
export type MappingId = number;

export type Input =
  | {
      readonly kind: 'packet';
      /** The flow as received: `remote` sent the bytes to `local`. */
      readonly flow: Flow;
      /** The datagram, or one whole message of a stream. The engine may keep it; the driver must not write to it again. */
      readonly bytes: Uint8Array;
      /** Internal side only: our own address on the route to `flow.local`, which new mappings get. */
      readonly externalAddress?: Address;
      /** Several uplinks: the other addresses of ours that lead to `flow.local`; left out where there is none. */
      readonly otherAddresses?: readonly Address[];
      /** Internal side, with a relay: our own address towards the phone, to which the phone's media is told to go. */
      readonly innerAddress?: Address;
      /**
       * A copy of what the router forwards without NAT. It has gone on by itself: nothing is sent and nothing changed, but the
       * phone's registrations, dialogs and media are followed; its external endpoints are its own.
       */
      readonly watched?: boolean;
    }
  /**
   * The addresses of the external interfaces, all of them, as they are now: told at the start, before `restore`, and again
   * whenever they have changed. A driver that never tells has addresses that never change.
   */
  | { readonly kind: 'external-address-changed'; readonly addresses: readonly Address[] }
  /** The neighbours have taken up what they had in a former run: told once, after `restore`, where there are any. */
  | { readonly kind: 'neighbours-restored' }
  /** The time that `nextTimeoutMs` named has come (or passed; calling too early or too often is harmless). */
  | { readonly kind: 'timeout' }
  /** A connection is gone, on both sides. */
  | { readonly kind: 'closed'; readonly connection: ConnectionId }
  /** The answer to an `open` command. Every `open` is answered exactly once, at once or later. */
  | { readonly kind: 'opened'; readonly id: MappingId }
  | { readonly kind: 'failed'; readonly id: MappingId; readonly reason: string }
  /** A media mapping has begun to carry packets, or none has come for a while, from neither side. */
  | { readonly kind: 'media'; readonly id: MappingId; readonly flow: MediaFlow };

export type MediaFlow = 'flowing' | 'idle';

export type Output =
  | { readonly kind: 'send'; readonly flow: Flow; readonly bytes: Uint8Array }
  | { readonly kind: 'signalling'; readonly command: SignallingCommand }
  | { readonly kind: 'media'; readonly command: MediaCommand }
  /** A row of state that has to survive a restart: `value` undefined means that the row is gone. */
  | { readonly kind: 'record'; readonly table: RecordTable; readonly key: string; readonly value: unknown }
  | { readonly kind: 'event'; readonly event: AlgEvent };

export type RecordTable = 'mapping' | 'dialog' | 'port' | 'profile';

/**
 * Signalling: one external endpoint for each phone endpoint (RFC 4787 REQ-1). Where the two are the same, the phone is routed
 * without NAT, and there is a way to keep open but no socket to bind.
 */
export type SignallingCommand =
  /** Bind `external` and deliver what arrives there as packets of the external side. Answer `opened` or `failed`. */
  | {
      readonly action: 'open';
      readonly id: MappingId;
      readonly transport: Transport;
      readonly internal: Endpoint;
      readonly external: Endpoint;
    }
  /**
   * Keep the path from `peer` to the mapping's external endpoint open through the router's firewall for `lifetimeMs`
   * from now without any packet: the registrar has granted that long. Repeated at every refresh.
   */
  | { readonly action: 'hold'; readonly id: MappingId; readonly peer: Endpoint; readonly lifetimeMs: number }
  | { readonly action: 'close'; readonly id: MappingId };

/**
 * Media: `ports` consecutive UDP ports from `external` map one to one to the same number of ports from `internal`
 * (RTP and RTCP are a pair, RFC 3550 §11). Whatever an id stands for is replaced as a whole by `update`.
 */
export type MediaCommand =
  /** Answer `opened` or `failed`. */
  | ({ readonly action: 'open' } & MediaMapping)
  /** Same id, external and inner; new internal endpoint or sources. Not answered. */
  | ({ readonly action: 'update' } & MediaMapping)
  /** Nothing may pass from the moment that this is carried out, in neither direction, established or not. */
  | { readonly action: 'close'; readonly id: MappingId };

export interface MediaMapping {
  readonly id: MappingId;
  /** The phone's first media port. Undefined (relay only) while the phone has not named it yet. */
  readonly internal: Endpoint | undefined;
  readonly external: Endpoint;
  /** Relay only: the first port on our internal address that the phone is told to send to. */
  readonly inner: Endpoint | undefined;
  /** Consecutive ports, at least 1. */
  readonly ports: number;
  /**
   * Who may send to the phone: addresses that the other side's SDP names (RFC 7362 restricted latching), and before
   * the answer the signalling peer. The kernel filters by address; the relay sends to the endpoint until it latches.
   * The preferred one stands first; port 0 may send and is not sent to.
   * Where the other side is a phone behind this same gateway, its internal endpoint stands here (hairpin).
   */
  readonly sources: readonly Endpoint[];
}

/** What carries the engine's outputs out: the kernel data plane (linux/) or ordinary sockets (explicit mode). */
export interface DataPlane {
  /**
   * Must not throw; a datagram that cannot be sent is counted and gone, as on any network. Of a stream `flow.connection`
   * says over which connection; without it, or where that one is gone, over one that leads to `flow.remote`.
   */
  send(flow: Flow, bytes: Uint8Array): void;
  /** Carries a command out; answers an `open` by calling back, before or after it returns. */
  signalling(command: SignallingCommand): void;
  media(command: MediaCommand): void;
  /** Carries out what `work` commands, all of it when this returns: cheaper for thousands of commands. Sends nothing meanwhile. */
  together?(work: () => void): void;
  stop(): Promise<void>;
}

/** How a data plane reports back. */
export interface PlaneHandler {
  packet(
    flow: Flow,
    bytes: Uint8Array,
    externalAddress?: Address,
    innerAddress?: Address,
    watched?: boolean,
    otherAddresses?: readonly Address[],
  ): void;
  opened(id: MappingId): void;
  failed(id: MappingId, reason: string): void;
  /** What passes on a media mapping, told when it changes. A plane that cannot see it never says so. */
  mediaFlow?(id: MappingId, flow: MediaFlow): void;
  /** A connection is gone, on both sides. */
  closed(connection: ConnectionId): void;
  /** Whether `remote` may open a connection to the external endpoint `local` of a mapping. */
  admits(local: Endpoint, remote: Endpoint): boolean;
  /** A bound of the plane's own has been met, by a phone where it was one; told each time. */
  limit(limit: string, value: number, phone?: Address): void;
  /** Something that an operator should know and that is not about one packet. */
  notice(code: string, text: string): void;
}
