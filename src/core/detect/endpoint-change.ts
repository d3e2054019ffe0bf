/**
 * A host and a port that became others: in a Via, a Contact, a URI. Whether the new one is the real mapping decides
 * whether the edit is one that an ALG without fault makes too.
 */
import { formatEndpoint, isPrivate } from '../net/address.ts';
import type { FaultId } from './faults.ts';
import { endpointOf, type Known, type Named, namedBy, realText } from './known.ts';
import type { Ledger, Stretch } from './ledger.ts';
import type { PartChange } from './part-changes.ts';
import type { Part } from './parts.ts';

/** What is right about a host and port that changed in this place. */
export type Expectation =
  /** It names the client, and is to name its mapping on the way out. */
  | 'outward'
  /** It names the client's mapping, and is to name the client on the way in. */
  | 'inward'
  /** Either, if it names a mapping that is known. */
  | 'known-mapping'
  /** It is never to be changed. */
  | 'never';

export interface Place {
  readonly line: string;
  readonly fault: FaultId;
  readonly expectation: Expectation;
  /** Where the port is wrong although the address is the client's; default the same fault. */
  readonly staleFault?: FaultId;
  /** What it is called in a sentence: `The sent-by of the Via`. */
  readonly subject: string;
}

/** Notes the changes of `host` and `port` parts; the others are left to the caller. */
export function noteEndpoint(
  ledger: Ledger,
  known: Known,
  place: Place,
  before: readonly Part[],
  after: readonly Part[],
  changes: readonly PartChange[],
): void {
  const host = changes.find(({ kind }) => kind === 'host');
  const port = changes.find(({ kind }) => kind === 'port');
  if (host === undefined && port === undefined) return;
  const old = namedBy(before);
  const fresh = namedBy(after);
  if (old === undefined || fresh === undefined) {
    for (const change of [host, port])
      if (change !== undefined)
        ledger.add({
          ...change,
          line: place.line,
          fault: place.fault,
          explanation: `${place.subject} is gone.`,
        });
    return;
  }
  if (port !== undefined && badPort(port.after)) {
    ledger.add({
      ...port,
      line: place.line,
      fault: 'SYN-PORTRANGE',
      explanation: `${place.subject} has a port that cannot exist: "${port.after!.slice(1, 20)}".`,
    });
    if (host !== undefined) noteHost(ledger, known, place, old, withRealPort(known, place, old, fresh), host);
    return;
  }
  const isRestored = place.expectation === 'inward' && isExpected(known, place, old, fresh);
  if (port?.before === undefined && port?.after !== undefined && fresh.port === 5060 && !isRestored) {
    ledger.add({
      ...port,
      line: place.line,
      fault: 'SYN-PORTADD',
      explanation: `${place.subject} had no port, and got ":5060", which it meant anyway; compared by the letter it is another URI now.`,
    });
    if (host !== undefined) noteHost(ledger, known, place, old, fresh, host);
    return;
  }
  if (
    host === undefined &&
    port !== undefined &&
    port.before === undefined &&
    !isExpected(known, place, old, fresh)
  ) {
    ledger.add({
      ...port,
      line: place.line,
      fault: 'SYN-PORTADD',
      explanation: `${place.subject} had no port, and got "${port.after}".`,
    });
    return;
  }
  if (port?.after === undefined && port?.before !== undefined && !isExpected(known, place, old, fresh)) {
    ledger.add({
      ...port,
      line: place.line,
      fault: 'SYN-PORTDROP',
      explanation: `${place.subject} has lost its port ${port.before.slice(1)}; whoever believes it uses 5060.`,
    });
    if (host !== undefined) noteHost(ledger, known, place, old, withRealPort(known, place, old, fresh), host);
    return;
  }
  noteHost(ledger, known, place, old, fresh, spanning(host, port));
}

function noteHost(
  ledger: Ledger,
  known: Known,
  place: Place,
  old: Named,
  fresh: Named,
  stretch: Stretch,
): void {
  const consistent = isExpected(known, place, old, fresh);
  const from = textOf(old);
  const to = textOf(fresh);
  const isOwn = known.isInside(old.address) || old.address === known.inside?.address;
  const add = (fault: FaultId, explanation: string): void =>
    ledger.add({
      ...stretch,
      line: place.line,
      fault,
      explanation,
      consistent: consistent && fault === place.fault,
    });
  if (consistent) {
    add(
      place.fault,
      `${place.subject} ${from} became ${to}, ${realText(known)}.${
        place.fault === 'ADDR-CONTACT'
          ? ' That hides the NAT from the provider: the box has to keep the mapping alive itself.'
          : ''
      }`,
    );
    return;
  }
  if (
    place.expectation === 'outward' &&
    known.isOutside(old.address) &&
    old.address !== known.inside?.address
  ) {
    add(
      'STUN-CLASH',
      `${place.subject} named the external address already (${from}), and was edited once more, to ${to}.`,
    );
    return;
  }
  if (
    place.expectation === 'outward' &&
    !isOwn &&
    old.address !== undefined &&
    isPrivate(old.address) &&
    known.inside !== undefined
  ) {
    add(
      'ADDR-OTHER',
      `${place.subject} ${from} is a private address that is not the client’s; it became ${to}.`,
    );
    return;
  }
  const real = realMapping(known, place, old);
  const wrong = real === undefined || real === to ? '' : `; the real mapping is ${real}`;
  const isStale =
    place.staleFault !== undefined && isOwn && fresh.address !== undefined && place.expectation === 'outward';
  add(isStale ? place.staleFault! : place.fault, `${place.subject} ${from} became ${to}${wrong}.`);
}

/** Whether the new endpoint is what the old one really is on the other side. */
function isExpected(known: Known, place: Place, old: Named, fresh: Named): boolean {
  const { expectation } = place;
  if (expectation === 'never') return false;
  const from = endpointOf(old);
  const to = endpointOf(fresh);
  if (from === undefined || to === undefined) return false;
  const outward =
    expectation === 'outward' || (expectation === 'known-mapping' && known.direction === 'to-server');
  if (outward) {
    if (!known.isInside(from.address)) return false;
    const real = known.externalOf(from);
    if (real !== undefined) return real.address === to.address && real.port === to.port;
    // Another port of the client than the one whose mapping is known: the address has to be right.
    return known.isOutside(to.address);
  }
  if (!known.isInside(to.address)) return false;
  const real = known.internalsOf(from);
  if (real.length === 0) return known.isOutside(from.address);
  // The phone may have written its endpoint without a port.
  return real.some((one) => one.address === to.address && (one.port === to.port || fresh.port === undefined));
}

/** The new host with the port that it should have: the port has been judged already. */
function withRealPort(known: Known, place: Place, old: Named, fresh: Named): Named {
  const from = endpointOf(old);
  const real =
    from === undefined || place.expectation === 'never'
      ? undefined
      : known.direction === 'to-server'
        ? known.externalOf(from)
        : known.internalsOf(from)[0];
  return { ...fresh, port: undefined, effectivePort: real?.port ?? old.effectivePort };
}

function realMapping(known: Known, place: Place, old: Named): string | undefined {
  const from = endpointOf(old);
  if (from === undefined || place.expectation === 'never') return undefined;
  const real = known.direction === 'to-server' ? known.externalOf(from) : known.internalsOf(from)[0];
  return real === undefined ? undefined : formatEndpoint(real);
}

/** A port part as written, colon and all, that no port can be (RFC 3261 §25.1: 1 to 5 digits; 16 bits). */
export function badPort(text: string | undefined): boolean {
  if (text === undefined) return false;
  const digits = text.slice(1).trim();
  return !/^\d{1,5}$/.test(digits) || Number(digits) < 1 || Number(digits) > 65_535;
}

export function textOf({ host, port }: Named): string {
  return port === undefined ? host : `${host}:${port}`;
}

function spanning(a: Stretch | undefined, b: Stretch | undefined): Stretch {
  if (a === undefined || b === undefined) return (a ?? b)!;
  return {
    sent: { start: a.sent.start, end: Math.max(a.sent.end, b.sent.end) },
    received: { start: a.received.start, end: Math.max(a.received.end, b.received.end) },
  };
}
