/** A dialog as a row that survives a restart, and back. */
import { UNQUEUED } from '../nat/timer-queue.ts';
import type { Address, Endpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { Dialog, Initiator, RemoteMedia, SessionTimer } from './dialogs.ts';
import type { MappingId } from './io.ts';
import type { MediaRow, MediaTable } from './media.ts';

export interface DialogRow {
  readonly key: string;
  readonly callId: string;
  readonly initiator: Initiator;
  readonly tag: string;
  readonly phone: Address;
  /** Absent in rows of older versions, as the three below. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly openedAt?: TimeMs | undefined;
  readonly answeredAt?: TimeMs | undefined;
  readonly heard?: boolean | undefined;
  /** The key of the mapping's row. */
  readonly mapping: string;
  readonly state: 'early' | 'confirmed' | 'ending';
  readonly why: string;
  readonly confirmedTag: string | undefined;
  readonly inviteCSeq: number;
  readonly lastMessageAt: TimeMs;
  readonly session: SessionTimer | undefined;
  readonly held: boolean;
  readonly observed?: boolean;
  readonly peer: Endpoint;
  readonly remotes: readonly (readonly [string, readonly RemoteMedia[]])[];
  readonly media: readonly MediaRow[];
  readonly endsAt: TimeMs;
}

export function dialogRow(dialog: Dialog, mapping: string, table: MediaTable): DialogRow {
  const media: MediaRow[] = [];
  const { committed, offered } = dialog;
  for (const id of committed) putMedia(dialog, table, id, true, offered.has(id), media);
  for (const id of offered) if (!committed.has(id)) putMedia(dialog, table, id, false, true, media);
  return {
    key: dialog.key,
    callId: dialog.callId,
    initiator: dialog.initiator,
    tag: dialog.tag,
    phone: dialog.phone,
    from: dialog.from,
    to: dialog.to,
    openedAt: dialog.openedAt,
    answeredAt: dialog.answeredAt,
    heard: dialog.heard,
    mapping,
    state: dialog.state === 'ended' ? 'ending' : dialog.state,
    why: dialog.why,
    confirmedTag: dialog.confirmedTag,
    inviteCSeq: dialog.inviteCSeq,
    lastMessageAt: dialog.lastMessageAt,
    session: dialog.session,
    held: dialog.held,
    ...(dialog.observed === true ? { observed: true } : {}),
    peer: dialog.peer,
    remotes: [...dialog.remotes],
    media,
    endsAt: dialog.endsAt,
  };
}

function putMedia(
  { key }: Dialog,
  table: MediaTable,
  id: MappingId,
  committed: boolean,
  offered: boolean,
  rows: MediaRow[],
): void {
  const record = table.byId(id);
  const indexes = record?.users.get(key);
  if (record === undefined || indexes === undefined) return;
  const { internal, external, inner, ports } = record;
  for (const index of indexes) rows.push({ internal, external, inner, ports, index, committed, offered });
}

export function restoreDialog(row: DialogRow, mapping: MappingId): Dialog {
  return {
    key: row.key,
    callId: row.callId,
    initiator: row.initiator,
    tag: row.tag,
    phone: row.phone,
    from: row.from ?? '',
    to: row.to ?? '',
    openedAt: row.openedAt,
    answeredAt: row.answeredAt,
    heard: row.heard ?? true,
    mapping,
    state: row.state,
    why: row.why,
    confirmedTag: row.confirmedTag,
    inviteCSeq: row.inviteCSeq,
    lastMessageAt: row.lastMessageAt,
    endsAt: row.endsAt,
    session: row.session,
    // Rows of earlier versions do not say.
    held: row.held ?? false,
    holds: { out: row.held ?? false, in: row.held ?? false },
    observed: row.observed === true,
    peer: row.peer,
    committed: new Set(),
    offered: new Set(),
    remotes: new Map(row.remotes),
    agreed: undefined,
    byDescription: [],
    older: undefined,
    newer: undefined,
    dueAt: Number.POSITIVE_INFINITY,
    place: UNQUEUED,
  };
}
