/**
 * What must be true of every message that the engine lets through, judged without the engine's own scanner: which octets an
 * edit may touch, and that what was sent is what came with those edits and nothing else.
 *
 * The header is cut here by a reader of its own, which knows lines, folds and names, and nothing more.
 */
import assert from 'node:assert/strict';
import type { ExplainedEdit } from '../../src/core/alg/event.ts';
import { rules } from '../../src/core/alg/rules.ts';
import { blocks } from '../../src/core/sip/defect.ts';
import { scanMessage } from '../../src/core/sip/message.ts';
import { toText } from './octets.ts';

export interface Line {
  /** Lower case, long form; empty for the start line. */
  readonly name: string;
  readonly start: number;
  /** Without its CRLF. */
  readonly end: number;
}

const LONG_NAMES: Readonly<Record<string, string>> = {
  v: 'via',
  f: 'from',
  t: 'to',
  i: 'call-id',
  m: 'contact',
  l: 'content-length',
  c: 'content-type',
  e: 'content-encoding',
  r: 'refer-to',
  y: 'identity',
};

/** Where each rule may write. A rule that is not named here may write where no field is forbidden. */
const PLACES: Readonly<Record<string, readonly string[]>> = {
  'via.sent-by': ['via'],
  'via.sent-by.restore': ['via'],
  'via.received.restore': ['via'],
  'via.own': ['via'],
  'contact.host-port': ['contact'],
  'contact.restore': ['contact'],
  'request-uri.host-port': [''],
  'refer-to.host-port': ['refer-to'],
  'route.own': ['route'],
  'content-length': ['content-length'],
};

/** Never touched, whatever rules there will be. */
const FORBIDDEN = new Set([
  ...['from', 'to', 'call-id', 'cseq', 'max-forwards', 'authorization', 'proxy-authorization', 'identity'],
  ...['www-authenticate', 'proxy-authenticate', 'content-type', 'content-encoding', 'other', 'expires'],
]);

const KNOWN = new Set([...Object.values(PLACES).flat(), ...FORBIDDEN, 'record-route', 'route', 'refer-to']);
const ruleIds = new Set<string>(rules.map((rule) => rule.id));

/** The header as lines, folds joined to theirs, and where the body begins. */
export function cutHeader(text: string): { lines: Line[]; body: number } {
  const lines: Line[] = [];
  let at = 0;
  while (text.startsWith('\r\n', at)) at += 2;
  for (;;) {
    let end = text.indexOf('\r\n', at);
    if (end < 0) return { lines, body: text.length };
    if (end === at) return { lines, body: at + 2 };
    while (lines.length > 0 && (text[end + 2] === ' ' || text[end + 2] === '\t')) {
      const next = text.indexOf('\r\n', end + 2);
      if (next < 0) break;
      end = next;
    }
    // Any number of blanks may stand before the colon (RFC 3261 §25.1, HCOLON).
    const written = /^([^ \t\r\n:]+)[ \t]*:/.exec(text.slice(at, end))?.[1]?.toLowerCase() ?? '';
    const long = LONG_NAMES[written] ?? written;
    lines.push({ name: lines.length === 0 ? '' : KNOWN.has(long) ? long : 'other', start: at, end });
    at = end + 2;
  }
}

/** Holds one message that left against the one that came, and the edits that are said to lie between them. */
export function checkTranslation(came: Uint8Array, left: Uint8Array, edits: readonly ExplainedEdit[]): void {
  const before = toText(came);
  checkEdits(before, toText(left), edits);
  const { lines, body } = cutHeader(before);
  const topVia = lines.find((line) => line.name === 'via');
  for (const edit of edits) checkPlace(before, edit, lines, body, topVia);
  const one = scanMessage(came);
  const other = scanMessage(left);
  assert.ok(one.ok, 'a message with a blocking defect was edited');
  assert.ok(other.ok, `the result is no message: ${JSON.stringify(other)}`);
  assert.ok(!other.message.defects.some(blocks), 'the result has a blocking defect');
  for (const key of ['callId', 'cseq', 'method', 'fromTag', 'toTag', 'kind', 'status'] as const)
    assert.equal(other.message[key], one.message[key], key);
  checkUntouched(before, toText(left));
}

/** Before and after differ exactly by the edits, and each says truly what it found and what it wrote. */
export function checkEdits(before: string, after: string, edits: readonly ExplainedEdit[]): void {
  let expected = '';
  let from = 0;
  for (const edit of edits) {
    const end = edit.offset + edit.length;
    assert.ok(
      edit.offset >= from && end <= before.length,
      `edits overlap or leave the message at ${edit.offset}`,
    );
    assert.equal(edit.before, before.slice(edit.offset, end), 'an edit says that it replaced something else');
    assert.notEqual(edit.before, edit.after, 'an edit that changes nothing');
    assert.ok(ruleIds.has(edit.rule), `no such rule: ${edit.rule}`);
    assert.match(edit.source, /^RFC \d+ §/);
    assert.match(edit.after, /^[\x20-\x7e]*(?:\r\n)?$/, 'an edit writes what is not printable');
    expected += before.slice(from, edit.offset) + edit.after;
    from = end;
  }
  assert.equal(after, expected + before.slice(from), 'octets outside the edits have changed');
}

function checkPlace(
  text: string,
  edit: ExplainedEdit,
  lines: readonly Line[],
  body: number,
  topVia: Line | undefined,
): void {
  const end = edit.offset + edit.length;
  if (edit.offset >= body) return checkSdpPlace(text, edit);
  const line = lines.find((one) => edit.offset >= one.start && edit.offset <= one.end);
  assert.ok(line !== undefined && end <= line.end + 2, `an edit at ${edit.offset} spans several lines`);
  assert.ok(!FORBIDDEN.has(line.name), `${edit.rule} wrote into ${line.name}`);
  const places = PLACES[edit.rule];
  if (places !== undefined) assert.ok(places.includes(line.name), `${edit.rule} wrote into "${line.name}"`);
  else assert.ok(!edit.rule.startsWith('sdp.'), `${edit.rule} wrote into the header`);
  if (line.name === 'via') {
    assert.equal(line, topVia, 'a lower Via was touched');
    checkViaEdit(text, edit, line);
  }
  if (edit.rule.endsWith('host-port')) checkPort(edit.after);
}

/** In the topmost Via: before its first comma, and never in the branch. Our own Via comes and goes as a whole. */
function checkViaEdit(text: string, edit: ExplainedEdit, line: Line): void {
  if (edit.rule === 'via.own') {
    if (edit.length > 0)
      assert.match(
        edit.before,
        /branch[ \t\r\n]*=[ \t\r\n]*z9hG4bK-sipalg-/i,
        'a Via that is not ours was taken off',
      );
    return;
  }
  const value = text.slice(line.start, line.end);
  const branch = /;[ \t\r\n]*branch[ \t\r\n]*=[ \t\r\n]*([^;, \t\r\n]+)/i.exec(value);
  if (branch === null) return;
  const branchStart = line.start + branch.index + branch[0].length - branch[1]!.length;
  const branchEnd = branchStart + branch[1]!.length;
  const isInQuotes = value.slice(0, branch.index).split('"').length % 2 === 0;
  if (!isInQuotes)
    assert.ok(edit.offset >= branchEnd || edit.offset + edit.length <= branchStart, 'the branch was touched');
}

function checkSdpPlace(text: string, edit: ExplainedEdit): void {
  assert.match(edit.rule, /^sdp\./, `${edit.rule} wrote into the body`);
  const start = text.lastIndexOf('\n', edit.offset - 1) + 1;
  const line = text.slice(start, edit.offset + edit.length);
  const wanted = {
    'sdp.connection': /^c=IN IP[46] [^ ]*$/,
    'sdp.media-port': /^m=[^ ]+ \d+$/,
    'sdp.rtcp': /^a=rtcp:\d+(?: IN IP[46] [^ ]*)?$/,
    'sdp.candidate': /^a=candidate:[^ ]+ [^ ]+ [^ ]+ [^ ]+ /,
    'sdp.origin': /^o=/,
  }[edit.rule as string];
  if (wanted !== undefined) assert.match(line, wanted, `${edit.rule} wrote into this line`);
  if (/^\d+$/.test(edit.before) && !line.startsWith('o=')) checkPort(`x:${edit.after}`);
}

/** host, host:port or a port alone after a name: the port is one that can be sent to. */
function checkPort(written: string): void {
  const port = /^(?:\[[^\]]*\]|[^:[\]]*):(\d+)$/.exec(written)?.[1];
  if (port !== undefined) assert.ok(Number(port) >= 1 && Number(port) <= 65535, `port ${port}`);
}

/** Everything but the fields that rules may write into: octet for octet what came, and in the same order. */
function checkUntouched(before: string, after: string): void {
  const kept = (text: string): string =>
    cutHeader(text)
      .lines.filter((line) => FORBIDDEN.has(line.name))
      .map((line) => text.slice(line.start, line.end))
      .join('\n');
  assert.equal(kept(after), kept(before), 'a field that is never touched has changed');
}
