/** The answer of a running gateway as text for people: short, aligned, at home in 80 columns. Pure. */
import { formatEndpoint } from '../core/net/address.ts';
import type {
  CallStatus,
  MediaStatus,
  NoticeStatus,
  PhoneStatus,
  ProfileStatus,
  StatusReport,
} from '../gateway/status-report.ts';
import { plainText } from '../observe/plain-text.ts';

/** How a word is shown; plain text where the output is no terminal. */
export type Paint = (style: 'good' | 'bad' | 'dim' | 'strong', text: string) => string;

const SECOND_MS = 1_000;
/** RTP comes every 20 ms; a direction without any packet this long after the answer is silent. */
const SILENT_AFTER_MS = 3 * SECOND_MS;
/** Rows of phones and calls that a screen shows. */
const ROWS = 40;
const NOTICES = 5;
const URI_WIDTH = 32;

export function statusText(report: StatusReport, paint: Paint): string {
  return [
    ...head(report, paint),
    ...phones(report, paint),
    ...calls(report, paint),
    ...limits(report, paint),
    ...notices(report.notices, report.at, paint),
  ]
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

function head(report: StatusReport, paint: Paint): string[] {
  const { interception, messages } = report;
  const state = report.switch === 'on' ? 'on' : 'off';
  const style = interception.active ? 'good' : 'bad';
  const lines = [
    `sipalg ${report.version} is ${paint(style, state)} since ${moment(report.since, report.at)}, ${report.mode} mode, pid ${report.pid}`,
    `${interception.active ? 'takes SIP' : paint('bad', 'plain NAT')}: ${plainText(interception.where)}${
      interception.why === undefined ? '' : ` (${plainText(interception.why)})`
    }`,
  ];
  if (report.switch === 'off') lines.push('`sipalg on` switches it on');
  else
    lines.push(
      `messages: ${messages.translated} translated, ${messages.passed} passed untouched, ${messages.dropped} dropped`,
    );
  return lines;
}

function phones(report: StatusReport, paint: Paint): string[] {
  const lines = report.phones.slice(0, ROWS).flatMap((phone) => phoneLines(phone, report.at));
  return section('phones', report.phoneCount, lines, Math.min(report.phones.length, ROWS), paint);
}

function phoneLines(phone: PhoneStatus, at: number): string[] {
  const { aor, peer, expiresAt, lastIncoming, profile } = phone;
  const path = `${formatEndpoint(phone.internal)} ⇄ ${formatEndpoint(phone.external)}${
    phone.transport === 'udp' ? '' : ` ${phone.transport}`
  }`;
  const what = aor === undefined ? 'not registered' : plainText(aor);
  const facts = [
    expiresAt === undefined ? '' : `${span(expiresAt - at)} left`,
    lastIncoming === undefined ? '' : `reached ${span(at - lastIncoming)} ago`,
  ].filter((fact) => fact !== '');
  return [
    `  ${path}`,
    `    ${what}${peer === undefined ? '' : ` at ${formatEndpoint(peer)}`}${facts.length === 0 ? '' : `, ${facts.join(', ')}`}`,
    ...(profile === undefined || profile.chosen === 'default' ? [] : profileLines(profile)),
  ];
}

/** Where it is not the default: who chose it, and what was seen of who keeps the phone reachable. */
function profileLines({ mode, chosen, evidence }: ProfileStatus): string[] {
  const what = mode === 'observe' ? 'observed, not a byte changes' : 'translated';
  const by = chosen === 'configuration' ? 'the configuration says so' : 'by evidence';
  return [
    `    ${what}: ${by}`,
    ...evidence.map((one) => `      ${plainText(one.what)}  ${plainText(one.source)}`),
  ];
}

function calls(report: StatusReport, paint: Paint): string[] {
  const lines = report.calls.slice(0, ROWS).flatMap((call) => callLines(call, report.at, paint));
  return section('calls', report.callCount, lines, Math.min(report.calls.length, ROWS), paint);
}

const STATES = { early: 'ringing', confirmed: 'talking', ending: 'ending' } as const;

function callLines(call: CallStatus, at: number, paint: Paint): string[] {
  const begun = call.answeredAt ?? call.openedAt;
  const age = begun === undefined ? '' : ` ${span(at - begun)}`;
  const way = call.initiator === 'internal' ? 'out' : 'in';
  return [
    `  ${STATES[call.state]}${age}, ${way}: ${shorten(call.from)} → ${shorten(call.to)}`,
    ...call.media.map((media) => `    ${mediaLine(media, call, at, paint)}`),
    ...(call.media.length === 0 ? [`    ${call.phone} with ${formatEndpoint(call.peer)}, no media`] : []),
  ];
}

function mediaLine(media: MediaStatus, call: CallStatus, at: number, paint: Paint): string {
  const { internal, external, fromPhone, toPhone } = media;
  const path = `${internal === undefined ? '(not known yet)' : formatEndpoint(internal)} ⇄ ${formatEndpoint(external)}`;
  if (fromPhone === undefined || toPhone === undefined) return path;
  const judgement = mediaJudgement(media, call, at);
  return `${path}  ${fromPhone} out, ${toPhone} in${judgement === undefined ? '' : `: ${paint('bad', judgement)}`}`;
}

/** What is wrong with the media of an answered call, in words; undefined where it flows both ways or it is too early. */
export function mediaJudgement(
  { fromPhone, toPhone }: MediaStatus,
  { answeredAt }: Pick<CallStatus, 'answeredAt'>,
  at: number,
): string | undefined {
  if (answeredAt === undefined || at - answeredAt < SILENT_AFTER_MS) return undefined;
  if (fromPhone === undefined || toPhone === undefined || (fromPhone > 0 && toPhone > 0)) return undefined;
  if (fromPhone === 0 && toPhone === 0) return 'silent';
  return fromPhone === 0 ? 'one way, the phone sends nothing' : 'one way, nothing comes back';
}

/** Columns of a line. */
const WIDTH = 80;

function limits({ limits: list, dropped }: StatusReport, paint: Paint): string[] {
  const lines: string[] = [];
  let width = WIDTH;
  for (const { limit, used, of } of list) {
    if (used === undefined) continue;
    const text = `${limit} ${used}/${of}`;
    width += 2 + text.length;
    if (width > WIDTH) {
      lines.push(lines.length === 0 ? paint('strong', 'limits') : '      ');
      width = 'limits  '.length + text.length;
    }
    lines.push(`${lines.pop()}  ${used >= of * 0.9 ? paint('bad', text) : text}`);
  }
  const reached = list.filter((one) => one.reached > 0).map((one) => `${one.limit} ${one.reached}×`);
  const early = Object.entries(dropped)
    .filter(([, count]) => count > 0)
    .map(([why, count]) => `${plainText(why)} ${count}`);
  return [
    '',
    ...lines,
    ...(reached.length === 0 ? [] : [`  ${paint('bad', 'reached')}: ${reached.join(', ')}`]),
    ...(early.length === 0 ? [] : [`  dropped early: ${early.join(', ')}`]),
  ];
}

function notices(list: readonly NoticeStatus[], at: number, paint: Paint): string[] {
  if (list.length === 0) return [];
  return [
    '',
    paint('strong', 'notices'),
    ...list
      .slice(-NOTICES)
      .map((one) => `  ${span(at - one.at)} ago  ${plainText(one.code)}: ${plainText(one.text)}`),
  ];
}

function section(
  title: string,
  count: number,
  lines: readonly string[],
  shown: number,
  paint: Paint,
): string[] {
  const more = count > shown ? [`  … and ${count - shown} more (--json shows them)`] : [];
  return ['', paint('strong', count === 0 ? `no ${title}` : `${title} (${count})`), ...lines, ...more];
}

/** The time of day, with the date where that is not today. */
function moment(at: number, now: number): string {
  const [date = '', time = ''] = local(at).split(' ');
  return local(now).startsWith(date) ? time : `${date} ${time}`;
}

function local(at: number): string {
  const d = new Date(at);
  const two = (n: number): string => String(n).padStart(2, '0');
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

/** A length of time in its two largest units. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / SECOND_MS));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60)
    return seconds % 60 === 0 || minutes >= 10 ? `${minutes} min` : `${minutes} min ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

function shorten(uri: string): string {
  const text = plainText(uri).replace(/[;?].*$/, '');
  return text.length <= URI_WIDTH ? text : `${text.slice(0, URI_WIDTH - 1)}…`;
}
