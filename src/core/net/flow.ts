/** A flow: one 5-tuple, seen from the gateway, with the side that it is on. */
import type { Endpoint } from './address.ts';

export type Transport = 'udp' | 'tcp';

/** `internal` is where the phones are; `external` is where the provider is (RFC 4787 §1). */
export type Side = 'internal' | 'external';

export interface Flow {
  readonly transport: Transport;
  readonly side: Side;
  /**
   * Our end. On the internal side it is the provider's endpoint that the phone addressed, because to the phones the
   * gateway is the provider; on the external side it is the external endpoint of the phone's mapping.
   */
  readonly local: Endpoint;
  /** Their end: the phone on the internal side, the provider on the external side. */
  readonly remote: Endpoint;
  /** Of a stream only: the connection that carries it, on both sides of the gateway. */
  readonly connection?: ConnectionId;
}

/** Names a phone's connection and the one of ours that goes on from it; given by the data plane, never used twice. */
export type ConnectionId = number;

/** The flow over that connection, where there is one. */
export function over(flow: Flow, connection: ConnectionId | undefined): Flow {
  return connection === undefined ? flow : { ...flow, connection };
}
