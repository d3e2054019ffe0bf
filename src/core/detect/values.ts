/** Values of header fields that name places: Via, Contact, From, To, Route, Refer-To, and the Request-URI. */
import type { Span } from '../net/span.ts';
import { noteEndpoint, type Place } from './endpoint-change.ts';
import type { FaultId } from './faults.ts';
import { type Known, namedBy } from './known.ts';
import type { Ledger, Note } from './ledger.ts';
import { type PartChange, partChanges } from './part-changes.ts';
import { nameAddrParts, type Part, parameterOf, uriParts, viaParts } from './parts.ts';

/** What both messages are, as far as it decides what may change in them. */
export interface Kind {
  readonly isRequest: boolean;
  readonly method: string;
}

export interface ValuePair {
  readonly sent: Span;
  readonly received: Span;
}

interface Scene {
  readonly ledger: Ledger;
  readonly known: Known;
  readonly line: string;
}

export function compareTopVia(
  ledger: Ledger,
  known: Known,
  kind: Kind,
  pair: ValuePair,
  receiverAdds: readonly string[],
): void {
  const [before, after, changes] = changesOf(ledger, pair, viaParts);
  const isClients = kind.isRequest === (known.direction === 'to-server');
  const scene: Scene = { ledger, known, line: 'Via' };
  const place: Place = {
    line: 'Via',
    fault: 'ADDR-VIA',
    expectation: !isClients ? 'never' : known.direction === 'to-server' ? 'outward' : 'inward',
    subject: 'The sent-by of the topmost Via',
  };
  noteEndpoint(ledger, known, place, before, after, changes);
  const restored = isClients && known.direction === 'to-client' && isRestoredPair(known, before, after);
  for (const change of withoutEndpoint(changes)) {
    const name = parameterName(change);
    if (noteDamage(scene, change)) continue;
    if (name === 'branch')
      note(scene, change, 'HDR-BRANCH', 'The branch was changed; responses no longer find their request.');
    else if (name === 'rport' || name === 'received' || name === 'maddr') {
      if (known.direction === 'to-client' && !kind.isRequest) {
        if (change.before === undefined)
          note(
            scene,
            change,
            'HDR-RECEIVED-FAKE',
            `${change.after} was put in by somebody between server and client.`,
          );
        else
          note(
            scene,
            change,
            'ADDR-REVERSE',
            restored
              ? `${change.before} became ${change.after ?? 'nothing'}: the client is told its own address, both received and rport.`
              : `${change.before} became ${change.after ?? 'nothing'}: the client does not learn how it is seen.`,
            restored,
          );
      } else if (isReceivers(change, name, known, receiverAdds)) ledger.explained.push(change);
      else if (change.after === undefined && name === 'rport')
        note(scene, change, 'HDR-RPORT-STRIP', 'rport is gone: responses go to the port in the Via.');
      else if (name === 'maddr' || change.after === undefined)
        note(scene, change, 'ADDR-VIA', `${name} was changed in the topmost Via.`);
      else
        note(scene, change, 'HDR-RECEIVED-FAKE', `${change.after} was put in before the server received it.`);
    } else noteOther(scene, change, 'X-UNKNOWN');
  }
}

/** A Via of another hop: nobody but that hop has any business with it. */
export function compareInnerVia(ledger: Ledger, known: Known, line: string, pair: ValuePair): void {
  const [, , changes] = changesOf(ledger, pair, viaParts);
  const scene: Scene = { ledger, known, line };
  for (const change of changes) {
    if (noteDamage(scene, change)) continue;
    const name = parameterName(change);
    if (name === 'branch') note(scene, change, 'HDR-BRANCH', 'The branch of an earlier hop was changed.');
    else if (change.kind === 'white') noteOther(scene, change, 'ADDR-INNERVIA');
    else
      note(
        scene,
        change,
        'ADDR-INNERVIA',
        `${shown(change.before)} became ${shown(change.after)} in the Via of an earlier hop.`,
      );
  }
}

/** Name-addr fields, one value each. */
export function compareNameAddr(
  ledger: Ledger,
  known: Known,
  place: Place,
  pair: ValuePair,
  tags: boolean,
): void {
  const [before, after, changes] = changesOf(ledger, pair, nameAddrParts);
  compareParts({ ledger, known, line: place.line }, place, before, after, changes, tags);
}

export function compareRequestUri(ledger: Ledger, known: Known, pair: ValuePair): void {
  const [before, after, changes] = changesOf(ledger, pair, uriParts);
  const place: Place = {
    line: 'Request-URI',
    fault: 'ADDR-RURI',
    expectation: known.direction === 'to-client' ? 'inward' : 'never',
    subject: 'The Request-URI',
  };
  compareParts({ ledger, known, line: place.line }, place, before, after, changes, false);
}

function compareParts(
  scene: Scene,
  place: Place,
  before: readonly Part[],
  after: readonly Part[],
  changes: readonly PartChange[],
  tags: boolean,
): void {
  noteEndpoint(scene.ledger, scene.known, place, before, after, changes);
  for (const change of withoutEndpoint(changes)) {
    if (noteDamage(scene, change)) continue;
    const name = parameterName(change);
    if (name === 'tag' && tags)
      note(scene, change, 'HDR-BRANCH', 'The tag was changed; messages no longer find their dialog.');
    else if (name === 'expires')
      note(scene, change, 'HDR-EXPIRES', `${shown(change.before)} became ${shown(change.after)}.`);
    else if (change.kind === 'display')
      note(
        scene,
        change,
        change.before === undefined ||
          change.after === undefined ||
          unquoted(change.before) !== unquoted(change.after)
          ? containsAddressEdit(scene.known, change)
            ? 'ADDR-GLOBAL'
            : place.fault
          : 'SYN-BRACKET',
        `The display name ${shown(change.before)} became ${shown(change.after)}.`,
      );
    else if (change.kind === 'other' || change.kind === 'white') noteOther(scene, change, place.fault);
    else
      note(
        scene,
        change,
        place.fault,
        `${shown(change.before)} became ${shown(change.after)} in ${place.line}.`,
      );
  }
}

/** What is broken rather than replaced: separators, brackets, quotes, control octets. */
function noteDamage(scene: Scene, change: PartChange): boolean {
  const { kind } = change;
  if (hasNewControl(change.before, change.after)) {
    note(scene, change, 'SYN-NUL', 'Control octets stand where text was.');
    return true;
  }
  if (kind === 'open' || kind === 'close') {
    note(
      scene,
      change,
      'SYN-BRACKET',
      change.after === undefined ? `The "${change.before}" is lost.` : `A "${change.after}" was put in.`,
    );
    return true;
  }
  if (kind === 'separator') {
    const name = parameterName(change);
    if (name !== '' && !change.isKept) return false;
    note(
      scene,
      change,
      'SYN-SEMI',
      change.after === undefined
        ? `The semicolon in front of "${name}" is lost.`
        : `A semicolon was put in in front of "${name}".`,
    );
    return true;
  }
  // A value that the parameter behind it was glued to.
  const isGlued =
    change.before !== undefined &&
    change.next !== undefined &&
    change.after === `${change.before}${change.next}`;
  if (!isGlued) return false;
  note(scene, change, 'SYN-SEMI', `The semicolon behind "${change.before}" is lost.`);
  return true;
}

function withoutEndpoint(changes: readonly PartChange[]): PartChange[] {
  return changes.filter(({ kind }) => kind !== 'host' && kind !== 'port');
}

function noteOther(scene: Scene, change: PartChange, fault: FaultId): void {
  if (change.kind === 'white') note(scene, change, 'SYN-ORDER', 'White space was changed.');
  else note(scene, change, fault, `${shown(change.before)} became ${shown(change.after)}.`);
}

function note(
  scene: Scene,
  change: PartChange,
  fault: FaultId,
  explanation: string,
  consistent = false,
): void {
  const entry: Note = {
    fault,
    line: scene.line,
    sent: change.sent,
    received: change.received,
    explanation,
    consistent,
  };
  scene.ledger.add(entry);
}

function changesOf(
  ledger: Ledger,
  pair: ValuePair,
  parse: (text: string, offset: number) => Part[],
): [Part[], Part[], PartChange[]] {
  const before = parse(ledger.sentText(pair.sent), pair.sent.start);
  const after = parse(ledger.receivedText(pair.received), pair.received.start);
  return [before, after, partChanges(before, after, pair.sent, pair.received)];
}

/** received and rport of a response both name the client: the pair rule of an ALG that restores them. */
function isRestoredPair(known: Known, before: readonly Part[], after: readonly Part[]): boolean {
  const { inside, outside } = known;
  if (inside === undefined || outside === undefined) return false;
  // A Via that went out as the phone wrote it has nothing to be restored: the server has said truly how it sees the phone.
  if (!known.isOutside(namedBy(before)?.address)) return false;
  const was = { received: parameterOf(before, 'received'), rport: parameterOf(before, 'rport') };
  const is = { received: parameterOf(after, 'received'), rport: parameterOf(after, 'rport') };
  const bare = (text: string | undefined): string | undefined => text?.replace(/^\[|\]$/g, '');
  const receivedRight =
    was.received === undefined
      ? is.received === undefined
      : (known.isOutside(bare(was.received)) && known.isInside(bare(is.received))) ||
        is.received === was.received;
  const rportRight =
    was.rport === undefined || was.rport === ''
      ? is.rport === was.rport
      : was.rport === String(outside.port) && is.rport === String(inside.port);
  const bothChanged =
    (was.received === undefined || was.received !== is.received) &&
    (was.rport === undefined || was.rport !== is.rport || inside.port === outside.port);
  return receivedRight && rportRight && bothChanged;
}

/** What the receiver writes into the topmost Via of a request itself (RFC 3261 §18.2.1, RFC 3581 §4). */
function isReceivers(
  change: PartChange,
  name: string,
  known: Known,
  receiverAdds: readonly string[],
): boolean {
  if (known.direction !== 'to-server' || !receiverAdds.includes(name) || change.after === undefined)
    return false;
  const value = /=[ \t]*(.*)$/.exec(change.after)?.[1] ?? '';
  if (known.outside === undefined) return true;
  return name === 'rport'
    ? value === String(known.outside.port)
    : value.replace(/^\[|\]$/g, '') === known.outside.address;
}

function containsAddressEdit(known: Known, { before, after }: PartChange): boolean {
  const address = known.inside?.address;
  return address !== undefined && before?.includes(address) === true && after?.includes(address) !== true;
}

function parameterName({ key }: PartChange): string {
  return key.slice(key.indexOf(' ') + 1);
}

/** NUL and other control octets, tab and line ends aside, that were not there before. */
export function hasNewControl(before = '', after = ''): boolean {
  return controlsIn(after) > controlsIn(before);
}

function controlsIn(text: string): number {
  let count = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if ((c < 0x20 && c !== 0x09 && c !== 0x0a && c !== 0x0d) || c === 0x7f) count++;
  }
  return count;
}

function unquoted(text: string): string {
  return text.replace(/["\\]/g, '').trim();
}

function shown(text: string | undefined): string {
  if (text === undefined) return 'nothing';
  return `"${text.length > 80 ? `${text.slice(0, 77)}…` : text}"`;
}
