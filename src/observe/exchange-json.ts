/** An exchange as one line of JSON, and back: octets are base64, everything else is as it is. */
import type { AlgEvent } from '../core/alg/event.ts';
import type { Flow } from '../core/net/flow.ts';
import type { Exchange } from './exchange.ts';

interface WrittenExchange {
  readonly id: number;
  readonly atMs: number;
  readonly handledMs: number;
  readonly flow?: Flow;
  readonly verdict?: Exchange['verdict'];
  readonly callId?: string;
  readonly received?: string;
  readonly sent: readonly { readonly flow: Flow; readonly bytes: string }[];
  readonly events: readonly AlgEvent[];
}

export function writeExchange(exchange: Exchange): string {
  const { id, atMs, handledMs, flow, verdict, callId, received, sent, events } = exchange;
  const written: WrittenExchange = {
    id,
    atMs,
    handledMs,
    ...(flow === undefined ? {} : { flow }),
    ...(verdict === undefined ? {} : { verdict }),
    ...(callId === undefined ? {} : { callId }),
    ...(received === undefined ? {} : { received: base64(received) }),
    sent: sent.map(({ flow: to, bytes }) => ({ flow: to, bytes: base64(bytes) })),
    events,
  };
  return JSON.stringify(written);
}

/** Of text that `writeExchange` wrote; it is not checked again. */
export function readExchange(written: WrittenExchange): Exchange {
  const { id, atMs, handledMs, flow, verdict, callId, received, sent, events } = written;
  return {
    id,
    atMs,
    handledMs,
    flow,
    verdict,
    callId,
    received: received === undefined ? undefined : octets(received),
    sent: sent.map(({ flow: to, bytes }) => ({ flow: to, bytes: octets(bytes) })),
    events,
  };
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

function octets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}
