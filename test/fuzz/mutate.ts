/**
 * Mutations that know what a line, a number, a delimiter and a Content-Length are. Pure noise rarely comes further than the
 * start line; what is nearly right comes far.
 */
import type { Random } from './random.ts';

export interface Mutation {
  readonly tokens: readonly string[];
  readonly shape: 'lines' | 'octets';
  readonly longest: number;
  /** Another input, to be spliced in. */
  readonly other: () => string;
}

export function mutate(text: string, random: Random, how: Mutation): string {
  let result = text;
  const operations = how.shape === 'lines' ? anywhere.concat(lineOperations) : anywhere;
  for (let times = 1 + random.below(4); times > 0; times--)
    result = random.pick(operations)(result, random, how);
  // A body that has changed is looked at only where its length is right.
  if (how.shape === 'lines' && random.once(2)) result = mendContentLength(result);
  return result.length > how.longest ? result.slice(0, how.longest) : result;
}

/** Octets of no meaning, or of the alphabet that the grammar is made of. */
export function noise(random: Random, longest: number): string {
  const length = random.below(random.once(4) ? longest : 64);
  const alphabet = random.once(2) ? undefined : ALPHABET;
  let text = '';
  for (let i = 0; i < length; i++)
    text += alphabet === undefined ? String.fromCharCode(random.below(256)) : random.pick(alphabet);
  return text;
}

type Operation = (text: string, random: Random, how: Mutation) => string;

const ALPHABET = [...'aZ09.-:;,=<>@"\\/?*[] \t%#', '\r\n', '\r\n ', '\n', '\0', 'sip:', 'SIP/2.0'];
const DELIMITERS = ':;,=<>@"\\/?*[] \t\r\n';
const EXTREMES = [
  '',
  '0',
  '1',
  '00',
  '-1',
  '+1',
  '255',
  '256',
  '1023',
  '1024',
  '5060',
  '05060',
  '32767',
  '65535',
  '65536',
  '99999',
  '2147483648',
  '4294967295',
  '4294967296',
  '999999999',
  '9007199254740993',
  '1e3',
  '0x10',
];
const WHITE = [' ', '\t', '\r\n ', '\r\n\t', '  ', ' \r\n  ', '\n ', '\r', '\0'];
const RUN_LENGTHS = [2, 3, 16, 33, 65, 70, 71, 256, 1024];

const anywhere: Operation[] = [
  function flipOctet(text, random) {
    const at = random.below(text.length + 1);
    const octet = random.once(2) ? (text.charCodeAt(at) || 0) ^ (1 << random.below(8)) : random.below(256);
    return text.slice(0, at) + String.fromCharCode(octet & 0xff) + text.slice(at + 1);
  },
  function deleteRange(text, random) {
    const at = random.below(text.length + 1);
    return text.slice(0, at) + text.slice(at + 1 + random.below(random.once(3) ? 64 : 4));
  },
  function copyRange(text, random) {
    const from = random.below(text.length + 1);
    const piece = text.slice(from, from + 1 + random.below(random.once(3) ? 200 : 16));
    return insert(text, random, piece);
  },
  function insertToken(text, random, how) {
    return how.tokens.length === 0 ? text : insert(text, random, random.pick(how.tokens));
  },
  function replaceByToken(text, random, how) {
    if (how.tokens.length === 0) return text;
    const at = random.below(text.length + 1);
    return text.slice(0, at) + random.pick(how.tokens) + text.slice(at + random.below(12));
  },
  function extremeNumber(text, random) {
    const numbers = [...text.matchAll(/\d+/g)];
    if (numbers.length === 0) return text;
    const { 0: digits, index } = random.pick(numbers);
    return text.slice(0, index) + random.pick(EXTREMES) + text.slice(index + digits.length);
  },
  function otherDelimiter(text, random) {
    const places: number[] = [];
    for (let i = 0; i < text.length; i++) if (DELIMITERS.includes(text[i]!)) places.push(i);
    if (places.length === 0) return text;
    const at = random.pick(places);
    const by = random.once(4) ? '' : DELIMITERS[random.below(DELIMITERS.length)]!;
    return text.slice(0, at) + by + text.slice(at + 1);
  },
  function doubleDelimiter(text, random) {
    const by = DELIMITERS[random.below(DELIMITERS.length)]!;
    const at = text.indexOf(by, random.below(text.length + 1));
    return at < 0 ? text : text.slice(0, at) + by + text.slice(at);
  },
  function longRun(text, random) {
    const unit = random.once(3) ? random.pick(ALPHABET) : String.fromCharCode(random.below(256));
    return insert(text, random, unit.repeat(random.pick(RUN_LENGTHS)));
  },
  function truncate(text, random) {
    return random.once(3) ? text.slice(0, random.below(text.length + 1)) : text;
  },
  function splice(text, random, how) {
    const other = how.other();
    return text.slice(0, random.below(text.length + 1)) + other.slice(random.below(other.length + 1));
  },
];

const lineOperations: Operation[] = [
  function dropLine(text, random) {
    return byLines(text, random, (lines, at) => lines.splice(at, 1));
  },
  function duplicateLine(text, random) {
    return byLines(text, random, (lines, at) => lines.splice(at, 0, lines[at] ?? ''));
  },
  function moveLine(text, random) {
    return byLines(text, random, (lines, at) => {
      const [line = ''] = lines.splice(at, 1);
      lines.splice(random.below(lines.length + 1), 0, line);
    });
  },
  function repeatLine(text, random) {
    const times = random.pick([3, 17, 33, 70]);
    return byLines(text, random, (lines, at) => {
      lines.splice(at, 0, ...new Array<string>(times).fill(lines[at] ?? ''));
    });
  },
  function lineOfAnother(text, random, how) {
    const line = random.pick(how.other().split('\r\n'));
    return byLines(text, random, (lines, at) => lines.splice(at, 0, line));
  },
  function spliceLines(text, random, how) {
    const other = how.other().split('\r\n');
    const lines = text.split('\r\n');
    return [
      ...lines.slice(0, 1 + random.below(lines.length)),
      ...other.slice(1 + random.below(other.length)),
    ].join('\r\n');
  },
  function mergeValues(text, random) {
    return byLines(text, random, (lines, at) => {
      const value = lines[at]?.split(':').slice(1).join(':');
      if (value !== undefined) lines[at] += `,${value}`;
    });
  },
  function otherCase(text, random) {
    return byLines(text, random, (lines, at) => {
      const line = lines[at] ?? '';
      lines[at] = random.once(2) ? line.toUpperCase() : line.toLowerCase();
    });
  },
  function whiteSpace(text, random) {
    const delimiter = DELIMITERS[random.below(DELIMITERS.length)]!;
    const at = text.indexOf(delimiter, random.below(text.length + 1));
    if (at < 0) return text;
    const where = random.once(2) ? at : at + 1;
    return text.slice(0, where) + random.pick(WHITE) + text.slice(where);
  },
  function bareLineFeeds(text, random) {
    const body = text.indexOf('\r\n\r\n');
    return random.once(2) && body >= 0
      ? text.slice(0, body + 4) + text.slice(body + 4).replaceAll('\r\n', '\n')
      : text.replace('\r\n', '\n');
  },
];

function insert(text: string, random: Random, piece: string): string {
  const at = random.below(text.length + 1);
  return text.slice(0, at) + piece + text.slice(at);
}

function byLines(text: string, random: Random, change: (lines: string[], at: number) => unknown): string {
  const lines = text.split('\r\n');
  change(lines, random.below(lines.length));
  return lines.join('\r\n');
}

/** Makes the first Content-Length of a message say how long its body is. */
export function mendContentLength(text: string): string {
  const headerEnd = text.indexOf('\r\n\r\n');
  if (headerEnd < 0) return text;
  const header = text.slice(0, headerEnd);
  const found = /\r\n(?:content-length|l)[ \t]*:[ \t]*(\d{1,9})/i.exec(header);
  if (found === null) return text;
  const digits = found[1]!;
  const at = found.index + found[0].length - digits.length;
  return text.slice(0, at) + String(text.length - headerEnd - 4) + text.slice(at + digits.length);
}
