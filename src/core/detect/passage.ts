/** One message's way from one end to the other, as both ends saw it. */
import type { Endpoint } from '../net/address.ts';
import type { Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import type { Direction } from './comparison.ts';

/** Which port of the server: 5060, another that is known for SIP, or one that nobody takes for SIP. */
export type PortKind = 'sip' | 'other' | 'control';

export interface Passage {
  readonly id: string;
  /** The step of the check that it belongs to: `matrix`, `call`. */
  readonly step: string;
  /** For people: `INVITE, Contact without a port`. Equal for what is repeated. */
  readonly what: string;
  readonly direction: Direction;
  readonly transport: Transport;
  readonly portKind: PortKind;
  /** The phone's socket. */
  readonly inside: Endpoint;
  /** The same as the server sees it; undefined where nothing has arrived there yet. */
  readonly outside: Endpoint | undefined;
  readonly server: Endpoint;
  readonly sent: Uint8Array;
  /** Of the sender's clock. */
  readonly sentAt: TimeMs;
  /** Undefined where it has not arrived, however often it was sent. */
  readonly received: Uint8Array | undefined;
  /** Of the receiver's clock. */
  readonly receivedAt: TimeMs | undefined;
  /** Of what arrived inside: at which of the phone's sockets; a box may follow the Via and not the flow. */
  readonly deliveredTo: Endpoint | undefined;
  /** How often it was sent before it arrived, or was given up. */
  readonly tries: number;
  /** Whether the id was still in it; without, it was known by its place and time. */
  readonly recognised: boolean;
}

/** Whether a passage delivered exactly what was sent; undefined where it delivered nothing. */
export function isUnaltered(passage: Passage): boolean | undefined {
  const { sent, received } = passage;
  if (received === undefined) return undefined;
  return sent.length === received.length && sent.every((octet, i) => octet === received[i]);
}
