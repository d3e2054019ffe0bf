/**
 * One side only: no octet can be compared with what was sent, so that there are signs and no proofs (grade C). What is
 * looked at: a conforming server copies Via, From, To, Call-ID and CSeq of a request into its response (RFC 3261 §8.2.6),
 * and says in received and rport whom it has seen (§18.2.1, RFC 3581 §4); a phone behind NAT knows its private address.
 */
import type { DiffFinding, DiffReport, MessageLabel } from '../core/detect/diff-report.ts';
import { guessEngine } from '../core/detect/engine-fingerprint.ts';
import { type FaultId, faultById } from '../core/detect/faults.ts';
import { endpointOf, firstContact, namedBy, topVia } from '../core/detect/known.ts';
import { fieldNamed, type Layout, labelOf, layoutOf, valueText } from '../core/detect/layout.ts';
import { printable } from '../core/detect/octet-text.ts';
import type { Seen } from '../core/detect/pairing.ts';
import { parameterOf } from '../core/detect/parts.ts';
import { addressOf, mediaOf, sdpLines } from '../core/detect/sdp-lines.ts';
import { type Address, type Endpoint, endpointKey, isPrivate } from '../core/net/address.ts';
import type { DiffOptions } from './diff.ts';
import type { CaptureInput } from './diff-input.ts';

interface Request {
  readonly seen: Seen;
  readonly layout: Layout;
}

/** Requests that wait for their response. */
const MAX_REQUESTS = 20_000;

export function diffSingle(capture: CaptureInput, options: DiffOptions = {}): DiffReport {
  const isInside = options.isInside ?? isPrivate;
  const findings: DiffFinding[] = [];
  const evidence: { message: MessageLabel; sent: Uint8Array; received: Uint8Array }[] = [];
  const requests = new Map<string, Request>();
  const isClient = clientsOf(capture.messages, isInside);
  const reported = new Set<string>();
  for (const seen of capture.messages) {
    const layout = layoutOf(seen.bytes);
    const message: MessageLabel = {
      what: labelOf(layout),
      direction: isClient(seen.source) ? 'to-server' : 'to-client',
      sentFrame: seen.frame,
      receivedFrame: seen.frame,
    };
    const add = (fault: FaultId, line: string, explanation: string): void => {
      // Every retransmission and every call shows the same; once is enough.
      const key = `${fault} ${line} ${seen.source.address}`;
      if (reported.has(key)) return;
      reported.add(key);
      findings.push({
        fault,
        severity: faultById(fault).severity,
        consistent: false,
        where: { line, sent: { start: 0, end: 0 }, received: { start: 0, end: 0 } },
        sent: new Uint8Array(0),
        received: new Uint8Array(0),
        explanation: printable(explanation),
        confidence: 'C',
        message,
      });
    };
    evidence.push({ message, sent: seen.bytes, received: seen.bytes });
    if (layout.isRequest) {
      const key = keyOf(layout);
      if (key !== undefined && requests.size < MAX_REQUESTS) requests.set(key, { seen, layout });
      lookAtRequest(seen, layout, isInside, add);
    } else {
      const request = requests.get(keyOf(layout) ?? '');
      if (request !== undefined) lookAtResponse(request, layout, isInside, add);
    }
  }
  return {
    kind: 'single',
    verdict: findings.length > 0 ? 'faulty' : 'unaltered',
    findings,
    unpaired: [],
    unpairedMedia: [],
    engine: guessEngine(findings),
    mappings: [],
    clockSkewMs: undefined,
    compared: capture.messages.length,
    notes: [
      ...capture.notes,
      'one side only: these are signs (grade C). A capture of the other side, or `sipalg check`, makes proofs of them',
    ],
    evidence,
  };
}

type Add = (fault: FaultId, line: string, explanation: string) => void;

/** Seen outside of the router: public where messages say where they come from, and private where nobody has edited. */
function lookAtRequest(seen: Seen, layout: Layout, isInside: (address: Address) => boolean, add: Add): void {
  const via = topVia(layout);
  const top = via === undefined ? undefined : endpointOf(namedBy(via));
  if (top === undefined || isInside(seen.source.address) || top.address !== seen.source.address) return;
  // The Via equals the source, which is right for a host without NAT. What still names a private host betrays one.
  // In a dialog the Call-ID may be the other side's.
  const callId = /;\s*tag=/i.test(text(layout, 'to')) ? '' : text(layout, 'call-id');
  const inCallId = /@((?:\d{1,3}\.){3}\d{1,3})\b/.exec(callId)?.[1];
  const origin = addressOf(sdpLines(layout.bytes, layout.body).find(({ type }) => type === 'o'));
  const traces = [
    ...(inCallId !== undefined && isInside(inCallId) ? [`the Call-ID names ${inCallId}`] : []),
    ...(origin !== undefined && isInside(origin) ? [`the SDP was made by ${origin}`] : []),
  ];
  const contact = firstContact(layout);
  const named = contact === undefined ? undefined : endpointOf(namedBy(contact));
  if (named !== undefined && isInside(named.address)) {
    add(
      'ADDR-VIA',
      'Via',
      `The Via names the public ${top.address}, and the Contact the private ${named.address}: one of them was edited.`,
    );
    return;
  }
  if (traces.length === 0) return;
  add(
    'ADDR-VIA',
    'Via',
    `The Via equals the public source ${top.address}, but ${traces.join(' and ')}: somebody has edited it.`,
  );
  if (named !== undefined && named.address === top.address)
    add(
      'ADDR-CONTACT',
      'Contact',
      `The Contact names the public ${named.address}, but ${traces.join(' and ')}.`,
    );
  const media = mediaOf(sdpLines(layout.bytes, layout.body)).media.map(({ connection }) =>
    addressOf(connection),
  );
  if (origin !== undefined && isInside(origin) && media.some((one) => one === top.address))
    add('SDP-C', 'SDP c=', `The SDP was made by ${origin}, and its connection data names ${top.address}.`);
}

/** Seen inside: what the response says of the request that the phone sent. */
function lookAtResponse(
  { seen, layout: request }: Request,
  response: Layout,
  isInside: (address: Address) => boolean,
  add: Add,
): void {
  const isClients = isInside(seen.source.address);
  for (const name of ['call-id', 'cseq']) {
    if (text(request, name) !== text(response, name))
      add(
        name === 'cseq' ? 'HDR-BRANCH' : 'ADDR-CALLID',
        name === 'cseq' ? 'CSeq' : 'Call-ID',
        `A server copies it, and "${text(request, name)}" came back as "${text(response, name)}".`,
      );
  }
  const from = text(request, FROM);
  if (from !== text(response, FROM))
    add('ADDR-FROMTO', 'From', `A server copies it, and "${from}" came back as "${text(response, FROM)}".`);
  const [sentVia, echoed] = [topVia(request), topVia(response)];
  if (sentVia === undefined || echoed === undefined) return;
  const [mine, theirs] = [namedBy(sentVia), namedBy(echoed)];
  if (
    mine !== undefined &&
    theirs !== undefined &&
    (mine.host !== theirs.host || mine.effectivePort !== theirs.effectivePort)
  )
    add(
      'ADDR-VIA',
      'Via',
      `A server copies the Via, and ${mine.host} came back as ${theirs.host}: it was edited on the way, and not taken back.`,
    );
  if (!isClients || mine?.address === undefined || !isInside(mine.address)) return;
  const received = parameterOf(echoed, 'received')?.replace(/^\[|\]$/g, '');
  const rport = parameterOf(echoed, 'rport');
  if (received !== undefined && isInside(received) && !isInside(seen.destination.address))
    add(
      'ADDR-REVERSE',
      'Via',
      `The server is outside and cannot have seen ${received}: what it wrote into received was edited on the way back.`,
    );
  else if (
    received === undefined &&
    !isInside(seen.destination.address) &&
    parameterOf(sentVia, 'rport') !== undefined &&
    rport === undefined
  )
    add(
      'HDR-RPORT-STRIP',
      'Via',
      'The phone asked for rport, and the response has neither rport nor received: the server saw no private address, or no rport.',
    );
}

const FROM = 'from';

/** Who registers, or is inside, is a client; where nobody is, who spoke first. */
function clientsOf(
  messages: readonly Seen[],
  isInside: (address: Address) => boolean,
): (endpoint: Endpoint) => boolean {
  const clients = new Set<string>();
  for (const { source, bytes } of messages)
    if (isInside(source.address) || Buffer.from(bytes.subarray(0, 9)).toString('latin1') === 'REGISTER ')
      clients.add(endpointKey(source));
  const [first] = messages;
  if (clients.size === 0 && first !== undefined) clients.add(endpointKey(first.source));
  return (endpoint) => clients.has(endpointKey(endpoint));
}

function keyOf(layout: Layout): string | undefined {
  const via = topVia(layout);
  const branch = via === undefined ? undefined : parameterOf(via, 'branch');
  return branch === undefined || branch === '' ? undefined : `${branch} ${layout.method}`;
}

function text(layout: Layout, name: string): string {
  const field = fieldNamed(layout, name);
  return field === undefined ? '' : valueText(layout, field);
}
