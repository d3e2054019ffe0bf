/** Everything live in the engine as plain data, for status and tests. Nothing in it is shared with the engine. */
import type { Address, Endpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { Initiator } from './dialogs.ts';
import type { MappingId } from './io.ts';
import { type MappingRow, mappingRow } from './mappings.ts';
import type { EngineState } from './state.ts';

export interface MappingSnapshot extends MappingRow {
  /** When a request last came in from outside; undefined where none has since the start. */
  readonly lastIncoming: TimeMs | undefined;
}

export interface DialogSnapshot {
  readonly callId: string;
  readonly state: 'early' | 'confirmed' | 'ending' | 'ended';
  readonly initiator: Initiator;
  readonly phone: Address;
  readonly peer: Endpoint;
  /** The URIs of From and To, as written. */
  readonly from: string;
  readonly to: string;
  readonly openedAt: TimeMs | undefined;
  readonly answeredAt: TimeMs | undefined;
  readonly media: readonly MappingId[];
}

export interface MediaMappingSnapshot {
  readonly id: MappingId;
  readonly callId: string;
  readonly internal: Endpoint | undefined;
  readonly external: Endpoint;
  readonly ports: number;
  readonly sources: readonly Endpoint[];
}

export interface EngineSnapshot {
  readonly mappings: readonly MappingSnapshot[];
  readonly dialogs: readonly DialogSnapshot[];
  readonly media: readonly MediaMappingSnapshot[];
  readonly transactions: number;
}

/** What is about calls: it takes as long as there are calls, however many phones there are. */
export type CallsSnapshot = Pick<EngineSnapshot, 'dialogs' | 'media'>;

export function snapshotOf(state: EngineState): EngineSnapshot {
  return {
    ...callsOf(state),
    mappings: [...state.mappings.values()].map((mapping) => ({
      ...mappingRow(mapping),
      lastIncoming: mapping.lastIncoming,
    })),
    transactions: state.transactions.size,
  };
}

export function callsOf(state: EngineState): CallsSnapshot {
  return {
    dialogs: [...state.dialogs.values()].map((dialog) => ({
      callId: dialog.callId,
      state: dialog.state,
      initiator: dialog.initiator,
      phone: dialog.phone,
      peer: dialog.peer,
      from: dialog.from,
      to: dialog.to,
      openedAt: dialog.openedAt,
      answeredAt: dialog.answeredAt,
      media: [...new Set([...dialog.committed, ...dialog.offered])],
    })),
    media: [...state.media.values()].map(({ id, callId, internal, external, ports, sources }) => ({
      id,
      callId,
      internal,
      external,
      ports,
      sources,
    })),
  };
}
