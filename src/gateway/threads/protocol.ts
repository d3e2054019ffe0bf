/**
 * What the main thread and the threads of the engines say to each other, and engine to engine. All of it is cloned on its way: octets
 * are cut out of the blocks that they share before they are sent.
 */
import type { MessagePort } from 'node:worker_threads';
import type { GatewayConfig } from '../../config/gateway-config.ts';
import type { AlgEvent } from '../../core/alg/event.ts';
import type { MappingId } from '../../core/alg/io.ts';
import type { ProfileView } from '../../core/alg/profile.ts';
import type { Row } from '../../core/alg/rows.ts';
import type { CallsSnapshot, EngineSnapshot } from '../../core/alg/snapshot.ts';
import type { Address, Endpoint } from '../../core/net/address.ts';
import type { ConnectionId, Flow, Transport } from '../../core/net/flow.ts';
import type { ListenPorts } from '../../linux/ruleset.ts';
import type { RecordedExchange } from '../../observe/recorder.ts';
import type { MediaTraffic } from '../plane.ts';

/** With what a thread begins. */
export interface Share {
  readonly config: GatewayConfig;
  readonly json: boolean;
  readonly index: number;
  readonly count: number;
  /** Of its phones, from a former run. */
  readonly rows: readonly Row[];
  /** External media ports of calls that other engines take up. */
  readonly takenMedia: readonly { readonly external: Endpoint; readonly ports: number }[];
  /** `LANE` says what stands where; a row of them for each engine. */
  readonly counters: SharedArrayBuffer;
  readonly questions: MessagePort;
  /** To each other engine, by index; to itself none. */
  readonly neighbours: readonly (MessagePort | undefined)[];
}

export const LANE = {
  /** Grows while the engine's loop turns. */
  life: 0,
  /** Messages that other engines have posted to it. */
  posted: 1,
  /** And those that it has handled. */
  handled: 2,
  /** Questions that it has answered. */
  answered: 3,
  count: 4,
} as const;

/** The place of a counter of an engine. */
export function laneOf(engine: number, lane: number): number {
  return engine * LANE.count + lane;
}

/** From the main thread to an engine's. */
export type ToEngine =
  /** The kernel's table is there. */
  | { readonly kind: 'restore' }
  /** All engines know again what they had, and their calls are open. */
  | { readonly kind: 'all-restored' }
  /** Of a phone that is routed without NAT: a copy. */
  | {
      readonly kind: 'heard';
      readonly flow: Flow;
      readonly bytes: Uint8Array;
      readonly externalAddress: Address | undefined;
    }
  | { readonly kind: 'closed'; readonly connection: ConnectionId }
  | { readonly kind: 'stop' };

export interface Messages {
  translated: number;
  passed: number;
  dropped: number;
}

/** From an engine's thread to the main one. */
export type FromEngine =
  /** Its sockets are there. */
  | { readonly kind: 'listening'; readonly listening: ListenPorts }
  /** It takes traffic: what it had it knows again, and the calls are open. */
  | { readonly kind: 'ready' }
  /** It cannot begin. */
  | { readonly kind: 'failed'; readonly error: ThreadError }
  /** What has happened since the last time. */
  | {
      readonly kind: 'told';
      readonly rows: readonly Row[];
      /** Of the log, as they are to be written. */
      readonly lines: string;
      /** All but those of single messages. */
      readonly events: readonly AlgEvent[];
      readonly messages: Messages;
      readonly notices: readonly (readonly [code: string, text: string])[];
    };

/** A `SystemError` does not survive the way: what it says does. */
export interface ThreadError {
  readonly text: string;
  readonly code?: string;
  readonly hint?: string;
  readonly errno?: number;
}

export interface Answers {
  readonly status: EngineStatus;
  readonly calls: EngineCalls;
  readonly traffic: ReadonlyMap<MappingId, MediaTraffic>;
  readonly exchanges: {
    /** Since the last time. */
    readonly exchanges: readonly RecordedExchange[];
    /** There are more than go into one answer. */
    readonly more: boolean;
    /** How long the engine took for inputs, in milliseconds. */
    readonly took: readonly number[];
  };
  readonly restore: true;
}

/** Asked while the main thread waits. */
export type Question =
  | { readonly ask: 'status' }
  | { readonly ask: 'calls' }
  | { readonly ask: 'traffic' }
  | { readonly ask: 'exchanges' }
  /** The kernel's table is new: set all elements again. */
  | { readonly ask: 'restore' };

export interface Asked {
  readonly number: number;
  readonly question: Question;
}

export interface Answered {
  readonly number: number;
  /** Undefined: it could not be answered. */
  readonly answer: unknown;
}

export interface EngineCalls {
  readonly snapshot: CallsSnapshot;
  readonly dropped: Readonly<Record<string, number>>;
  readonly connections: number;
}

export interface EngineStatus extends EngineCalls {
  readonly snapshot: EngineSnapshot;
  readonly profiles: readonly ProfileView[];
}

/** From engine to engine. */
export type ToNeighbour =
  /** It has mapped a phone to this external endpoint; undefined: no more. */
  | {
      readonly kind: 'signalling';
      readonly transport: Transport;
      readonly external: Endpoint;
      readonly internal: Endpoint | undefined;
    }
  | {
      readonly kind: 'media';
      readonly external: Endpoint;
      readonly ports: number;
      readonly internal: Endpoint | undefined;
    }
  /** For a phone of the neighbour, or from one. */
  | {
      readonly kind: 'packet';
      readonly flow: Flow;
      readonly bytes: Uint8Array;
      readonly externalAddress: Address | undefined;
    }
  /** To leave from an external endpoint of the neighbour. */
  | { readonly kind: 'send'; readonly flow: Flow; readonly bytes: Uint8Array };
