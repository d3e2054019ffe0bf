/**
 * The differ: two messages, or two captures of the same traffic on both sides of a router, and what became of each
 * message on its way. Input has been read; nothing here touches a file.
 */
import { compareMessages } from '../core/detect/compare.ts';
import type { ComparisonContext, Direction, KnownMapping, VerdictKind } from '../core/detect/comparison.ts';
import { type Compared, compareConversation } from '../core/detect/conversation.ts';
import type { DiffFinding, DiffReport, MessageLabel } from '../core/detect/diff-report.ts';
import { guessEngine } from '../core/detect/engine-fingerprint.ts';
import { guessDirection } from '../core/detect/known.ts';
import { labelOf, layoutOf } from '../core/detect/layout.ts';
import { pairMedia } from '../core/detect/media-pairing.ts';
import { nameOneSided, type OneSided } from '../core/detect/one-sided.ts';
import { endpointsOf, type PairedMessage, type Pairing, pairCaptures } from '../core/detect/pairing.ts';
import { type Address, type Endpoint, endpointKey, isPrivate } from '../core/net/address.ts';
import type { CaptureInput, MessageInput } from './diff-input.ts';

export interface DiffOptions {
  /** The client's network. Default: what the captures or the messages show. */
  readonly isInside?: (address: Address) => boolean;
  /** The external address of the NAT. */
  readonly outside?: Address;
  /** Which way a single message went. Default: what its addresses show. */
  readonly direction?: Direction;
}

export function diffMessages(
  sent: MessageInput,
  received: MessageInput,
  options: DiffOptions = {},
): DiffReport {
  const before = layoutOf(sent.bytes);
  const direction = options.direction ?? guessDirection(before, layoutOf(received.bytes));
  const comparison = compareMessages(sent.bytes, received.bytes, contextOf(direction, options));
  const message: MessageLabel = {
    what: labelOf(before),
    direction,
    sentFrame: undefined,
    receivedFrame: undefined,
  };
  return {
    kind: 'messages',
    verdict: comparison.verdict,
    findings: comparison.findings.map((finding) => ({ ...finding, message })),
    unpaired: [],
    unpairedMedia: [],
    engine: comparison.engine,
    mappings: [],
    clockSkewMs: undefined,
    compared: 1,
    notes: [],
    evidence: [{ message, sent: sent.bytes, received: received.bytes }],
  };
}

/** `first` is the capture on the client's side; where the addresses say otherwise, the two are exchanged. */
export function diffCaptures(
  first: CaptureInput,
  second: CaptureInput,
  options: DiffOptions = {},
): DiffReport {
  const notes = [...first.notes, ...second.notes];
  let [inside, outside] = [first, second];
  const isInside = options.isInside;
  const within =
    isInside === undefined ? undefined : (endpoint: Endpoint): boolean => isInside(endpoint.address);
  let pairing = pairCaptures(inside.messages, outside.messages, within);
  if (isExchanged(pairing, options)) {
    [inside, outside] = [second, first];
    pairing = pairCaptures(inside.messages, outside.messages, within);
    notes.push(`${inside.file} is the side of the phones, by its addresses: the two captures were exchanged`);
  }
  const clients = new Set(pairing.mappings.map((mapping) => mapping.inside.address));
  const externals = new Set(pairing.mappings.map((mapping) => mapping.outside.address));
  if (options.outside !== undefined) externals.add(options.outside);
  const isClient = ({ address }: Endpoint): boolean =>
    isInside?.(address) ?? (clients.has(address) || (clients.size === 0 && isPrivate(address)));
  const media = pairMedia(inside.media.all(), outside.media.all(), isClient);
  const mappings = unique([...media.mappings, ...pairing.mappings]);
  const compared = pairing.pairs.map((pair) => comparePair(pair, mappings, options));
  const labels = pairing.pairs.map(labelPair);
  const findings = [
    ...compared.flatMap(({ comparison }, i) =>
      comparison.findings.map((finding): DiffFinding => ({ ...finding, message: labels[i]! })),
    ),
    ...compareConversation(compared).map(
      ({ message, finding }): DiffFinding => ({ ...finding, message: labels[message]! }),
    ),
    ...sharedMappings(pairing),
  ];
  const unpaired = nameOneSided(pairing, {
    isInside: isClient,
    isOutside: ({ address }) => externals.has(address) && !clients.has(address),
  });
  return {
    kind: 'captures',
    verdict: verdictOf(findings, unpaired),
    findings,
    unpaired,
    unpairedMedia: media.lonely,
    engine: engineOf(findings, unpaired),
    mappings,
    clockSkewMs: pairing.clockSkewMs,
    compared: pairing.pairs.length,
    notes,
    evidence: compared.map(({ sent, received }, i) => ({ message: labels[i]!, sent, received })),
  };
}

function comparePair(pair: PairedMessage, mappings: readonly KnownMapping[], options: DiffOptions): Compared {
  const { inside, outside, direction } = pair;
  const [sent, received] = direction === 'to-server' ? [inside, outside] : [outside, inside];
  const own = endpointsOf(pair);
  const comparison = compareMessages(sent.bytes, received.bytes, {
    ...contextOf(direction, options),
    transport: sent.transport,
    inside: own.inside,
    outside: own.outside,
    mappings,
  });
  return { sent: sent.bytes, received: received.bytes, direction, comparison };
}

function contextOf(direction: Direction, { isInside, outside }: DiffOptions): ComparisonContext {
  return {
    direction,
    ...(isInside === undefined ? {} : { isInside }),
    ...(outside === undefined ? {} : { isOutside: (address: Address): boolean => address === outside }),
  };
}

/** The client's own endpoints are private inside and not outside; where it is the other way round, so are the files. */
function isExchanged({ pairs }: Pairing, { isInside }: DiffOptions): boolean {
  let right = 0;
  let wrong = 0;
  for (const { inside, outside } of pairs)
    for (const side of ['source', 'destination'] as const) {
      const [near, far] = [inside[side].address, outside[side].address];
      if (near === far) continue;
      const belongs = (address: Address): boolean => isInside?.(address) ?? isPrivate(address);
      if (belongs(near) && !belongs(far)) right++;
      else if (belongs(far) && !belongs(near)) wrong++;
    }
  return wrong > right;
}

/** Two endpoints inside behind one outside: what is meant for one reaches the other. */
function sharedMappings(pairing: Pairing): DiffFinding[] {
  const owners = new Map<string, PairedMessage>();
  const found: DiffFinding[] = [];
  for (const pair of pairing.pairs) {
    const { inside, outside } = endpointsOf(pair);
    const server = pair.direction === 'to-server' ? pair.outside.destination : pair.outside.source;
    const key = `${endpointKey(outside)} ${endpointKey(server)}`;
    const before = owners.get(key);
    owners.set(key, pair);
    if (before === undefined || endpointKey(endpointsOf(before).inside) === endpointKey(inside)) continue;
    // A mapping that has been given to somebody else after it expired is no fault.
    if (pair.inside.timeMs - before.inside.timeMs > 30_000) continue;
    if (found.length > 0) continue;
    found.push({
      fault: 'MULTI-SAMEPORT',
      severity: 4,
      consistent: false,
      where: { line: 'mapping', sent: { start: 0, end: 0 }, received: { start: 0, end: 0 } },
      sent: new Uint8Array(0),
      received: new Uint8Array(0),
      explanation: `${endpointKey(endpointsOf(before).inside)} and ${endpointKey(inside)} share the external endpoint ${endpointKey(outside)}.`,
      confidence: 'A',
      message: labelPair(pair),
    });
  }
  return found;
}

function verdictOf(findings: readonly DiffFinding[], unpaired: readonly OneSided[]): VerdictKind {
  if (findings.some(({ consistent }) => !consistent) || unpaired.some(({ fault }) => fault !== undefined))
    return 'faulty';
  return findings.length > 0 ? 'correct-alg' : 'unaltered';
}

function engineOf(findings: readonly DiffFinding[], unpaired: readonly OneSided[]): DiffReport['engine'] {
  const dropped = unpaired.filter(({ fault }) => fault?.startsWith('DROP-'));
  if (findings.length > 0 || dropped.length === 0) return guessEngine(findings);
  return { kind: 'drop-only', evidence: [`It edits nothing, and ${dropped.length} messages did not pass.`] };
}

function labelPair({ inside, outside, direction }: PairedMessage): MessageLabel {
  const [sent, received] = direction === 'to-server' ? [inside, outside] : [outside, inside];
  return {
    what: labelOf(layoutOf(sent.bytes)),
    direction,
    sentFrame: sent.frame,
    receivedFrame: received.frame,
  };
}

function unique(mappings: readonly KnownMapping[]): KnownMapping[] {
  return [
    ...new Map(
      mappings.map((one) => [`${endpointKey(one.inside)} ${endpointKey(one.outside)}`, one]),
    ).values(),
  ];
}
