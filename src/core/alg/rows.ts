/**
 * Rows of state as they come back from where they were kept. They may be of another version, or of another clock: what has
 * not the shape that this version can go on from is no row, and times are brought within what can be.
 */
import { type Address, parseAddress } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { DialogRow } from './dialog-row.ts';
import { CONFIRMED_MS } from './dialogs.ts';
import type { RecordTable } from './io.ts';
import type { MappingRow } from './mappings.ts';
import type { ProfileRow } from './profile.ts';

export interface Row {
  readonly table: RecordTable;
  readonly key: string;
  readonly value: unknown;
}

export interface Rows {
  readonly dialogs: { readonly key: string; readonly row: DialogRow }[];
  readonly profiles: { readonly key: string; readonly row: ProfileRow }[];
  /** Rows that this version does not understand. */
  skipped: number;
}

/** Those that there are thousands of are handed on one by one, and none of them is kept. */
export interface RowReader {
  port(key: string, port: number): void;
  mapping(key: string, row: MappingRow): void;
}

const NOBODY: RowReader = { port() {}, mapping() {} };

/** Sorts rows by what they are. */
export function readRows(rows: Iterable<Row>, now: TimeMs, reader: RowReader = NOBODY): Rows {
  const read: Rows = { dialogs: [], profiles: [], skipped: 0 };
  for (const { table, key, value } of rows) {
    if (table === 'port' && isPort(value)) reader.port(key, value as number);
    else if (table === 'mapping' && isMapping(value)) reader.mapping(key, value as MappingRow);
    else if (table === 'dialog' && isDialog(value)) {
      read.dialogs.push({ key, row: dialogWithinTime(value as DialogRow, now) });
    } else if (table === 'profile' && isProfile(value)) read.profiles.push({ key, row: value as ProfileRow });
    else read.skipped++;
  }
  return read;
}

/** No call that was silent for a year, or will be. */
function dialogWithinTime(row: DialogRow, now: TimeMs): DialogRow {
  const endsAt = Math.min(row.endsAt, now + CONFIRMED_MS);
  return {
    ...row,
    endsAt,
    lastMessageAt: Math.min(row.lastMessageAt ?? row.endsAt - CONFIRMED_MS, now),
    session: row.session && { ...row.session, expiresAt: Math.min(row.session.expiresAt, endsAt) },
  };
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === 'string';
const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isFlag: Check = (value) => typeof value === 'boolean';
const isPort: Check = (value) =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535;
const isAddress: Check = (value) => isText(value) && parseAddress(value as Address) === value;

function oneOf(...values: readonly string[]): Check {
  return (value) => values.includes(value as string);
}

/** What is undefined is left out in JSON. */
function optional(check: Check): Check {
  return (value) => value === undefined || check(value);
}

function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function pairOf(first: Check, second: Check): Check {
  return (value) => Array.isArray(value) && value.length === 2 && first(value[0]) && second(value[1]);
}

function shape(fields: Readonly<Record<string, Check>>): Check {
  const checks = Object.entries(fields);
  return (value) =>
    typeof value === 'object' &&
    value !== null &&
    checks.every(([name, check]) => check((value as Readonly<Record<string, unknown>>)[name]));
}

const isEndpoint = shape({ address: isAddress, port: isPort });

const isMapping = shape({
  transport: oneOf('udp', 'tcp'),
  internal: isEndpoint,
  external: isEndpoint,
  peers: listOf(isEndpoint),
  lastPeer: optional(isEndpoint),
  sourcePort: isPort,
  contacts: listOf(pairOf(isText, isText)),
  recordRoute: optional(isText),
  registrations: listOf(pairOf(isText, shape({ aor: isText, peer: isEndpoint, expiresAt: isNumber }))),
  lastUsed: isNumber,
  keepUntil: isNumber,
});

/** RTCP may be told to go nowhere: port 0. */
const isRemote = shape({ address: isText, port: (port) => port === 0 || isPort(port) });
const isInitiator = oneOf('internal', 'external');

const isDialog = shape({
  key: isText,
  callId: isText,
  initiator: isInitiator,
  tag: isText,
  phone: isAddress,
  from: optional(isText),
  to: optional(isText),
  openedAt: optional(isNumber),
  answeredAt: optional(isNumber),
  mapping: isText,
  state: oneOf('early', 'confirmed', 'ending'),
  why: isText,
  confirmedTag: optional(isText),
  inviteCSeq: isNumber,
  lastMessageAt: optional(isNumber),
  session: optional(shape({ refresher: isInitiator, expiresAt: isNumber })),
  held: optional(isFlag),
  observed: optional(isFlag),
  peer: isEndpoint,
  remotes: listOf(pairOf(isText, listOf(listOf(isRemote)))),
  media: listOf(
    shape({
      internal: optional(isEndpoint),
      external: isEndpoint,
      inner: optional(isEndpoint),
      ports: (count) => isPort(count) && (count as number) <= 64,
      index: (index) => Number.isInteger(index) && (index as number) >= 0 && (index as number) < 1024,
      committed: isFlag,
      offered: isFlag,
    }),
  ),
  endsAt: isNumber,
});

const isProfile = shape({
  phone: isAddress,
  provider: isAddress,
  mode: oneOf('observe', 'assist'),
  chosen: oneOf('configuration', 'evidence', 'default'),
  evidence: listOf(shape({ what: isText, at: isNumber })),
  since: isNumber,
  assistedUntil: isNumber,
  written: listOf(isEndpoint),
  refuted: isFlag,
});
