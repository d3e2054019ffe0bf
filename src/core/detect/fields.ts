/** The header, field by field: what was changed, moved, lost, doubled and put in. */
import type { Span } from '../net/span.ts';
import { textOf } from '../sip/octets.ts';
import { addressIn, isOthersPrivate, replacedAddresses, respelledAddress } from './address-text.ts';
import { align, likeness } from './align.ts';
import type { Place } from './endpoint-change.ts';
import {
  faultOfAddition,
  faultOfChange,
  faultOfLoss,
  isDialogEnd,
  isList,
  isNameAddr,
  spelledOut,
} from './field-kinds.ts';
import type { Known } from './known.ts';
import { type Field, fieldNamed, type Layout } from './layout.ts';
import { emptyAt, type Ledger } from './ledger.ts';
import { parameterOf, splitValues, viaParts } from './parts.ts';
import { compareInnerVia, compareNameAddr, compareTopVia, hasNewControl, type ValuePair } from './values.ts';

export interface FieldPair {
  readonly sent: Field;
  readonly received: Field;
}

export interface FieldScene {
  readonly ledger: Ledger;
  readonly known: Known;
  readonly sent: Layout;
  readonly received: Layout;
  readonly receiverAdds: readonly string[];
}

/** Content-Length is paired and left to the comparison of bodies. */
export function compareFields(scene: FieldScene): void {
  const pairs = pairFields(scene);
  const pairOf = new Map(pairs.map((pair) => [pair.sent, pair]));
  noteMoves(scene, pairs);
  const relaid = relaidLists(scene);
  let vias = 0;
  // Where something that stands on one side only would stand on the other: behind the last field that has a partner.
  let at = scene.received.startLine.end.end;
  for (const field of scene.sent.fields) {
    const pair = pairOf.get(field);
    const firstVia = vias;
    if (field.name === 'via') vias += splitValues(text(scene.sent, field.value)).length;
    if (pair === undefined) noteLoss(scene, field, at, relaid.has(field.name));
    else {
      comparePair(scene, pair, firstVia);
      at = pair.received.end.end;
    }
  }
  at = scene.sent.startLine.end.end;
  const partnerOf = new Map(pairs.map((pair) => [pair.received, pair.sent]));
  const names = new Set(scene.sent.fields.map(({ name }) => name));
  for (const field of scene.received.fields) {
    const partner = partnerOf.get(field);
    if (partner === undefined) noteAddition(scene, field, at, names.has(field.name), relaid.has(field.name));
    else at = partner.end.end;
  }
}

/** Fields of the same name, in their order; of several, those that are most alike. */
function pairFields(scene: FieldScene): FieldPair[] {
  const byName = new Map<string, { sent: Field[]; received: Field[] }>();
  const group = (name: string) => {
    const found = byName.get(name) ?? { sent: [], received: [] };
    byName.set(name, found);
    return found;
  };
  for (const field of scene.sent.fields) group(field.name).sent.push(field);
  for (const field of scene.received.fields) group(field.name).received.push(field);
  const pairs: FieldPair[] = [];
  for (const [name, { sent, received }] of byName) {
    if (sent.length === 0 || received.length === 0) continue;
    if (sent.length === 1 && received.length === 1) {
      pairs.push({ sent: sent[0]!, received: received[0]! });
      continue;
    }
    const before = sent.map((field) => text(scene.sent, field.value));
    const after = received.map((field) => text(scene.received, field.value));
    const branches = name === 'via' ? [before.map(branchOf), after.map(branchOf)] : undefined;
    const aligned = align(sent.length, received.length, (i, j) => {
      const alike = likeness(before[i]!, after[j]!);
      if (branches === undefined || alike === 1) return alike;
      const [old, fresh] = [branches[0]![i], branches[1]![j]];
      return old !== '' && old === fresh ? Math.max(alike, 0.95) : alike * 0.5;
    });
    pairs.push(...withLeftovers(aligned, sent, received));
  }
  return pairs;
}

/** What stands alone on both sides between the same neighbours became each other, where it is equally many. */
function withLeftovers(
  aligned: readonly (readonly [number | undefined, number | undefined])[],
  sent: readonly Field[],
  received: readonly Field[],
): FieldPair[] {
  const pairs: FieldPair[] = [];
  let lost: Field[] = [];
  let added: Field[] = [];
  const settle = (): void => {
    if (lost.length === added.length)
      for (const [i, field] of lost.entries()) pairs.push({ sent: field, received: added[i]! });
    lost = [];
    added = [];
  };
  for (const [i, j] of aligned) {
    if (i !== undefined && j !== undefined) {
      settle();
      pairs.push({ sent: sent[i]!, received: received[j]! });
    } else if (i !== undefined) lost.push(sent[i]!);
    else if (j !== undefined) added.push(received[j]!);
  }
  settle();
  return pairs;
}

/** Fields that stand in another order: the fewest that have to be moved to make it the old one. */
function noteMoves({ ledger }: FieldScene, pairs: readonly FieldPair[]): void {
  const inOrder = [...pairs].sort((a, b) => a.sent.line.start - b.sent.line.start);
  const kept = new Set(longestRising(inOrder.map(({ received }) => received.line.start)));
  for (const [i, { sent, received }] of inOrder.entries()) {
    if (kept.has(i)) continue;
    ledger.add({
      fault: 'SYN-ORDER',
      line: spelledOut(sent.name) || 'header',
      sent: { start: sent.line.start, end: sent.end.end },
      received: { start: received.line.start, end: received.end.end },
      explanation: `${spelledOut(sent.name) || 'A line'} stands at another place of the header.`,
    });
  }
}

/** Indexes of a longest rising subsequence (patience sorting). */
function longestRising(values: readonly number[]): number[] {
  const piles: number[] = [];
  const previous: number[] = [];
  for (const [i, value] of values.entries()) {
    let low = 0;
    let high = piles.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (values[piles[middle]!]! < value) low = middle + 1;
      else high = middle;
    }
    previous[i] = low === 0 ? -1 : piles[low - 1]!;
    piles[low] = i;
  }
  const result: number[] = [];
  for (let i = piles.at(-1) ?? -1; i >= 0; i = previous[i]!) result.push(i);
  return result.reverse();
}

function comparePair(scene: FieldScene, pair: FieldPair, firstVia: number): void {
  const { ledger } = scene;
  const { sent, received } = pair;
  const line = spelledOut(sent.name) || 'header';
  if (!ledger.same(sent.nameSpan, received.nameSpan))
    ledger.add({
      fault: 'SYN-CASE',
      line,
      sent: sent.nameSpan,
      received: received.nameSpan,
      explanation: `"${ledger.sentText(sent.nameSpan)}" is spelled "${ledger.receivedText(received.nameSpan)}".`,
    });
  for (const [before, after] of [
    [sent.gap, received.gap],
    [sent.padding, received.padding],
  ] as const)
    if (!ledger.same(before, after)) {
      const isGarbage = hasNewControl(ledger.sentText(before), ledger.receivedText(after));
      ledger.add({
        fault: isGarbage ? 'SYN-NUL' : 'SYN-ORDER',
        line,
        sent: before,
        received: after,
        explanation: `The white space of ${line} was changed.`,
      });
    }
  if (!ledger.same(sent.end, received.end))
    ledger.add({
      fault: 'SYN-CRLF',
      line,
      sent: sent.end,
      received: received.end,
      explanation: `The line end of ${line} was changed.`,
    });
  if (sent.name === 'content-length' || ledger.same(sent.value, received.value)) return;
  compareValues(scene, pair, line, firstVia);
}

function compareValues(scene: FieldScene, pair: FieldPair, line: string, firstVia: number): void {
  const { ledger } = scene;
  const { name } = pair.sent;
  const before = text(scene.sent, pair.sent.value);
  const after = text(scene.received, pair.received.value);
  if (notePure(scene, pair, line, before, after)) return;
  if (name !== 'via' && !isNameAddr(name)) {
    noteText(scene, pair, line, before, after);
    return;
  }
  const olds = splitValues(before);
  const news = splitValues(after);
  const at = (field: Field, span: Span): Span => ({
    start: field.value.start + span.start,
    end: field.value.start + span.end,
  });
  if (olds.length !== news.length) {
    const isRelaid = relaidLists(scene).has(name);
    ledger.add({
      fault: isRelaid
        ? 'SYN-ORDER'
        : faultOfChange(name) === 'X-UNKNOWN'
          ? olds.length > news.length
            ? 'HDR-DROP'
            : 'HDR-ADD'
          : faultOfChange(name),
      line,
      sent: pair.sent.value,
      received: pair.received.value,
      explanation: `${line} had ${olds.length} ${olds.length === 1 ? 'value' : 'values'} and has ${news.length}.`,
    });
    return;
  }
  for (const [i, old] of olds.entries()) {
    const values: ValuePair = { sent: at(pair.sent, old), received: at(pair.received, news[i]!) };
    if (ledger.same(values.sent, values.received)) continue;
    if (name === 'via') {
      const number = firstVia + i;
      if (number === 0) compareTopVia(ledger, scene.known, scene.sent, values, scene.receiverAdds);
      else compareInnerVia(ledger, scene.known, `Via ${number + 1}`, values);
    } else {
      const place = placeOf(scene, name, line);
      compareNameAddr(ledger, scene.known, place, values, isDialogEnd(name));
    }
  }
}

/** Changes of layout and damage that are the same in every field. */
function notePure(scene: FieldScene, pair: FieldPair, line: string, before: string, after: string): boolean {
  const add = (fault: 'SYN-NUL' | 'SYN-ORDER' | 'SYN-SEMI' | 'SYN-BRACKET', explanation: string): true => {
    const { sent, received } = shrunk(scene.ledger, pair);
    scene.ledger.add({ fault, line, sent, received, explanation });
    return true;
  };
  if (hasNewControl(before, after)) return add('SYN-NUL', 'Control octets stand where text was.');
  const white = ' \t\r\n';
  if (without(before, white) === without(after, white))
    return add('SYN-ORDER', `${line} was folded or spaced otherwise.`);
  if (without(before, ';') === without(after, ';'))
    return add(
      'SYN-SEMI',
      after.length < before.length
        ? 'A semicolon in front of a parameter is lost.'
        : 'A semicolon was put in.',
    );
  if (without(before, '<>"') === without(after, '<>"'))
    return add('SYN-BRACKET', 'An angle bracket or a quotation mark is lost or put in.');
  return false;
}

/** Fields without an inner structure that matters here. */
function noteText(scene: FieldScene, pair: FieldPair, line: string, before: string, after: string): void {
  const { ledger, known } = scene;
  const { name } = pair.sent;
  const { sent, received } = shrunk(ledger, pair);
  const fault = faultOfChange(name);
  const add = (what: typeof fault, explanation: string): void =>
    ledger.add({ fault: what, line, sent, received, explanation });
  const replaced = replacedAddresses(before, after);
  if (fault === 'X-UNKNOWN' && replaced !== undefined) {
    const isOwn = replaced.some((one) => {
      const address = addressIn(one.before);
      return known.isInside(address) || known.isOutside(address);
    });
    const isOthers = replaced.some((one) => isOthersPrivate(addressIn(one.before), known.isInside));
    const list = replaced.map((one) => `${one.before} became ${one.after}`).join(', ');
    if (isOwn)
      add(
        'ADDR-GLOBAL',
        `${line} names no place to be reached, and ${list}: an address was replaced as text.`,
      );
    else if (isOthers && known.inside !== undefined)
      add('ADDR-OTHER', `${list} in ${line}: a private address that is not the client’s.`);
    else add('ADDR-GLOBAL', `${list} in ${line}: an address was replaced as text.`);
    return;
  }
  const { inside, outside } = known;
  if (
    inside !== undefined &&
    outside !== undefined &&
    (respelledAddress(before, after, inside.address, outside.address) ||
      respelledAddress(before, after, outside.address, inside.address))
  ) {
    add(
      fault === 'X-UNKNOWN' ? 'ADDR-GLOBAL' : fault,
      `Another spelling of the client’s address was replaced in ${line}.`,
    );
    return;
  }
  add(fault, `${shown(before)} became ${shown(after)}.`);
}

function noteLoss(scene: FieldScene, field: Field, at: number, isRelaid: boolean): void {
  const { ledger } = scene;
  const whole = { start: field.line.start, end: field.end.end };
  const line = spelledOut(field.name) || 'header';
  if (isTakenOutByProxy(scene, field)) {
    ledger.add({
      fault: 'PROXY-B2B',
      line,
      sent: whole,
      received: emptyAt(at),
      explanation:
        'The topmost Via was taken out of a response: a proxy that had put it in has sent this on.',
    });
    return;
  }
  ledger.add({
    fault: isRelaid ? 'SYN-ORDER' : faultOfLoss(field.name),
    line,
    sent: whole,
    received: emptyAt(at),
    explanation: isRelaid
      ? `The values of ${line} stand in other lines than before.`
      : `${line} did not arrive.`,
  });
}

/** A proxy takes its own Via out of a response (RFC 3261 §16.7): the next one is on top then. */
function isTakenOutByProxy({ ledger, sent, received }: FieldScene, field: Field): boolean {
  if (field.name !== 'via' || sent.isRequest) return false;
  const [top, next] = sent.fields.filter(({ name }) => name === 'via');
  const left = fieldNamed(received, 'via');
  return top === field && next !== undefined && left !== undefined && ledger.same(next.value, left.value);
}

function noteAddition(
  scene: FieldScene,
  field: Field,
  at: number,
  isThere: boolean,
  isRelaid: boolean,
): void {
  const line = spelledOut(field.name) || 'header';
  const value = text(scene.received, field.line);
  const isGarbage = field.name === '' && hasNewControl('', value);
  const fault = isGarbage
    ? 'SYN-NUL'
    : field.name === ''
      ? 'X-UNKNOWN'
      : faultOfAddition(field.name, isThere);
  scene.ledger.add({
    fault: isRelaid ? 'SYN-ORDER' : fault,
    line,
    sent: emptyAt(at),
    received: { start: field.line.start, end: field.end.end },
    explanation: isRelaid
      ? `The values of ${line} stand in other lines than before.`
      : isThere
        ? `${line} stands there once more than it was sent.`
        : `${line === 'header' ? 'A line' : line} was put in: ${shown(value)}.`,
  });
}

/** List fields of which all values are there, in order, in other lines: only the layout was changed. */
function relaidLists({ sent, received }: FieldScene): ReadonlySet<string> {
  const [before, after] = [sent, received].map((layout) => {
    const values = new Map<string, { lines: number; values: string[] }>();
    for (const field of layout.fields) {
      if (!isList(field.name)) continue;
      const found = values.get(field.name) ?? { lines: 0, values: [] };
      const value = text(layout, field.value);
      found.lines++;
      for (const { start, end } of splitValues(value)) found.values.push(value.slice(start, end).trim());
      values.set(field.name, found);
    }
    return values;
  });
  const relaid = new Set<string>();
  for (const [name, one] of before!) {
    const other = after!.get(name);
    if (other !== undefined && other.lines !== one.lines && other.values.join(',') === one.values.join(','))
      relaid.add(name);
  }
  return relaid;
}

function placeOf(scene: FieldScene, name: string, line: string): Place {
  const { known, sent } = scene;
  const isOut = known.direction === 'to-server';
  const subject = `The ${line}`;
  if (name === 'contact') {
    if (isOut)
      return {
        line,
        fault: 'ADDR-CONTACT',
        staleFault: 'ADDR-CONTACT-STALE',
        expectation: 'outward',
        subject,
      };
    const isRegistered = !sent.isRequest && sent.method === 'REGISTER';
    return {
      line,
      fault: 'ADDR-CONTACT-200',
      expectation: isRegistered ? 'inward' : 'known-mapping',
      subject,
    };
  }
  if (isDialogEnd(name)) return { line, fault: 'ADDR-FROMTO', expectation: 'never', subject };
  return { line, fault: faultOfChange(name), expectation: 'known-mapping', subject };
}

/** The smallest ranges of the two values outside of which they are equal. */
function shrunk(ledger: Ledger, { sent, received }: FieldPair): ValuePair {
  let { start: i, end: k } = sent.value;
  let { start: j, end: l } = received.value;
  while (i < k && j < l && ledger.sent[i] === ledger.received[j]) {
    i++;
    j++;
  }
  while (k > i && l > j && ledger.sent[k - 1] === ledger.received[l - 1]) {
    k--;
    l--;
  }
  return { sent: { start: i, end: k }, received: { start: j, end: l } };
}

/** The text without these characters. */
function without(value: string, characters: string): string {
  let kept = '';
  for (const c of value) if (!characters.includes(c)) kept += c;
  return kept;
}

function text(layout: Layout, span: Span): string {
  return textOf(layout.bytes, span.start, span.end);
}

function branchOf(value: string): string {
  const [first] = splitValues(value);
  return parameterOf(viaParts(value.slice(first!.start, first!.end), 0), 'branch') ?? '';
}

function shown(value: string): string {
  const one = value.trim();
  return `"${one.length > 80 ? `${one.slice(0, 77)}…` : one}"`;
}
