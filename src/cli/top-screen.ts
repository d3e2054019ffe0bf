/**
 * What `sipalg top` shows: two answers of the gateway, one after the other, as lines that fit a screen. Pure.
 *
 * A line is cut to the width before it is painted, and what stands in messages is shown as text.
 */
import { formatEndpoint } from '../core/net/address.ts';
import type { CallStatus, MediaStatus, PhoneStatus, StatusReport } from '../gateway/status-report.ts';
import { plainText } from '../observe/plain-text.ts';
import { mediaJudgement, type Paint, span } from './status-text.ts';

export type TopView = 'all' | 'phones' | 'calls';

export interface Rates {
  /** Messages a second. */
  readonly translated: number;
  readonly passed: number;
  readonly dropped: number;
  /** Packets a second, by the external endpoint of a stream. */
  readonly streams: ReadonlyMap<string, { readonly fromPhone: number; readonly toPhone: number }>;
}

export interface ScreenOptions {
  readonly columns: number;
  /** Infinity: everything. */
  readonly rows: number;
  readonly view: TopView;
  /** Lines of the tables that are scrolled away. */
  readonly offset: number;
  readonly paint: Paint;
}

interface Line {
  readonly text: string;
  readonly style?: Parameters<Paint>[0];
}

export function ratesBetween(before: StatusReport | undefined, now: StatusReport): Rates {
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1_000;
  // Counters begin anew with a gateway that was started anew.
  const rate = (was: number | undefined, is: number | undefined): number =>
    was === undefined || is === undefined || seconds <= 0 || is < was ? 0 : (is - was) / seconds;
  const past = new Map(streamsOf(before));
  return {
    translated: rate(before?.messages.translated, now.messages.translated),
    passed: rate(before?.messages.passed, now.messages.passed),
    dropped: rate(before?.messages.dropped, now.messages.dropped),
    streams: new Map(
      streamsOf(now).map(([key, media]) => {
        const was = past.get(key);
        return [
          key,
          {
            fromPhone: rate(was?.fromPhone, media.fromPhone),
            toPhone: rate(was?.toPhone, media.toPhone),
          },
        ];
      }),
    ),
  };
}

/** Lines that fit; the first are the head, and the last says which keys there are. */
export function topScreen(report: StatusReport, rates: Rates, options: ScreenOptions): string[] {
  const { columns, rows, view, offset, paint } = options;
  const head = headLines(report, rates);
  const tables = [
    ...(view === 'calls' ? [] : phoneTable(report)),
    ...(view === 'phones' ? [] : callTable(report, rates)),
  ];
  const room = Math.max(0, rows - head.length - 1);
  const from = Math.min(offset, maxOffset(tables.length, room));
  const shown = tables.slice(from, from + room);
  const below = tables.length - from - shown.length;
  const foot: Line = {
    text: `q ends · ↑↓ scroll${below > 0 ? ` (${below} more lines)` : ''} · p phones · c calls · s both`,
    style: 'dim',
  };
  const lines = [...head, ...shown, ...(rows === Number.POSITIVE_INFINITY ? [] : [foot])];
  return lines.slice(0, rows).map(({ text, style }) => {
    const cut = fit(text, columns);
    return style === undefined ? cut : paint(style, cut);
  });
}

/** How far the tables can be scrolled. */
export function scrollLimit(report: StatusReport, view: TopView, rows: number): number {
  const none: Rates = { translated: 0, passed: 0, dropped: 0, streams: new Map() };
  const head = headLines(report, none).length;
  const tables =
    (view === 'calls' ? 0 : phoneTable(report).length) +
    (view === 'phones' ? 0 : callTable(report, none).length);
  return maxOffset(tables, Math.max(0, rows - head - 1));
}

function maxOffset(lines: number, room: number): number {
  return Math.max(0, lines - room);
}

function headLines(report: StatusReport, rates: Rates): Line[] {
  const { interception, limits } = report;
  const all = rates.translated + rates.passed + rates.dropped;
  const media = limits.find(({ limit }) => limit === 'media');
  const reached = limits.filter((one) => one.reached > 0);
  const newest = report.notices.at(-1);
  return [
    {
      text: `sipalg ${report.version}  ${interception.active ? 'takes SIP' : `plain NAT (${interception.why ?? report.switch})`}: ${interception.where}  since ${span(report.at - report.since)}`,
      style: interception.active ? 'good' : 'bad',
    },
    {
      text: `messages ${perSecond(all)}: ${perSecond(rates.translated)} translated, ${perSecond(rates.passed)} as they came, ${perSecond(rates.dropped)} dropped`,
    },
    {
      text: `phones ${report.phoneCount}   calls ${report.callCount}   media ${media?.used ?? 0}/${media?.of ?? 0}${
        reached.length === 0
          ? ''
          : `   limits reached: ${reached.map((one) => `${one.limit} ${one.reached}×`).join(', ')}`
      }`,
      ...(reached.length === 0 ? {} : { style: 'bad' as const }),
    },
    ...(newest === undefined || report.at - newest.at > 60_000
      ? []
      : [{ text: `${newest.code}: ${newest.text}`, style: 'bad' as const }]),
  ];
}

function phoneTable({ phones, phoneCount, at }: StatusReport): Line[] {
  const title: Line = {
    text: row(['PHONE', 21], ['WHO', 26], ['LEFT', 10], ['REACHED', 12], ['GATEWAY', 21], ['PROVIDER', 0]),
    style: 'strong',
  };
  if (phones.length === 0) return [{ text: '' }, title, { text: 'no phone has sent anything yet' }];
  const lines = phones.map((phone) => phoneLine(phone, at));
  const more = phoneCount - phones.length;
  return [{ text: '' }, title, ...lines, ...(more > 0 ? [{ text: `… and ${more} more` }] : [])];
}

function phoneLine(phone: PhoneStatus, at: number): Line {
  const { internal, external, peer, expiresAt, lastIncoming, aor, transport, profile } = phone;
  const who = `${aor ?? 'not registered'}${transport === 'udp' ? '' : ` ${transport}`}${profile?.mode === 'observe' ? ' observed' : ''}`;
  const text = row(
    [formatEndpoint(internal), 21],
    [who, 26],
    [expiresAt === undefined ? '-' : span(expiresAt - at), 10],
    [lastIncoming === undefined ? '-' : `${span(at - lastIncoming)} ago`, 12],
    [formatEndpoint(external), 21],
    [peer === undefined ? '-' : formatEndpoint(peer), 0],
  );
  return aor === undefined ? { text, style: 'dim' } : { text };
}

const STATES = { early: 'ringing', confirmed: 'talking', ending: 'ending' } as const;

function callTable({ calls, callCount, at }: StatusReport, rates: Rates): Line[] {
  const title: Line = {
    text: row(['CALL', 9], ['FOR', 10], ['WAY', 4], ['FROM → TO, AND ITS STREAMS', 0]),
    style: 'strong',
  };
  if (calls.length === 0) return [{ text: '' }, title, { text: 'no calls' }];
  const more = callCount - calls.length;
  return [
    { text: '' },
    title,
    ...calls.flatMap((call) => callLines(call, at, rates)),
    ...(more > 0 ? [{ text: `… and ${more} more` }] : []),
  ];
}

function callLines(call: CallStatus, at: number, rates: Rates): Line[] {
  const begun = call.answeredAt ?? call.openedAt;
  return [
    {
      text: row(
        [STATES[call.state], 9],
        [begun === undefined ? '-' : span(at - begun), 10],
        [call.initiator === 'internal' ? 'out' : 'in', 4],
        [`${call.from} → ${call.to}  ${call.callId}`, 0],
      ),
    },
    ...call.media.map((media) => streamLine(media, call, at, rates)),
  ];
}

function streamLine(media: MediaStatus, call: CallStatus, at: number, rates: Rates): Line {
  const { internal, external, fromPhone, toPhone } = media;
  const path = `${internal === undefined ? '(not known yet)' : formatEndpoint(internal)} ⇄ ${formatEndpoint(external)}`;
  if (fromPhone === undefined || toPhone === undefined)
    return { text: `         ${path}  nobody counts`, style: 'dim' };
  const rate = rates.streams.get(streamKey(media));
  const judgement = mediaJudgement(media, call, at);
  const text = `         ${path}  out ${fromPhone} (${perSecond(rate?.fromPhone ?? 0)})  in ${toPhone} (${perSecond(rate?.toPhone ?? 0)})${
    judgement === undefined ? '' : `  ${judgement}`
  }`;
  return judgement === undefined ? { text } : { text, style: 'bad' };
}

function streamsOf(report: StatusReport | undefined): [string, MediaStatus][] {
  return (report?.calls ?? []).flatMap(({ media }) =>
    media.map((one): [string, MediaStatus] => [streamKey(one), one]),
  );
}

function streamKey({ external }: MediaStatus): string {
  return formatEndpoint(external);
}

function perSecond(rate: number): string {
  return `${rate >= 10 || rate === 0 ? rate.toFixed(0) : rate.toFixed(1)}/s`;
}

/** Columns; what is longer than its column pushes the rest aside, so that no address is cut. */
function row(...cells: readonly (readonly [text: string, width: number])[]): string {
  return cells.map(([text, width]) => (width === 0 ? text : text.padEnd(width))).join(' ');
}

function fit(text: string, columns: number): string {
  const plain = plainText(text);
  return plain.length <= columns ? plain : `${plain.slice(0, Math.max(0, columns - 1))}…`;
}
