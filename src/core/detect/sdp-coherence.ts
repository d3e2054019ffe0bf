/**
 * Whether an SDP was edited as a whole: every media description that named the client has to name its mapping once one
 * of them does, with its port and its RTCP (RFC 8866 §5.7, §5.14; RFC 3605 §2.1). `o=` is an identifier and may stay.
 */
import { type Address, isUnspecified } from '../net/address.ts';
import type { Known } from './known.ts';
import type { Ledger } from './ledger.ts';
import type { LinePair } from './sdp-compare.ts';
import {
  addressOf,
  mediaLine,
  mediaOf,
  placeIn,
  rtcpPort,
  type SdpLine,
  type SdpMedia,
} from './sdp-lines.ts';

export function noteCoherence(
  ledger: Ledger,
  known: Known,
  sentLines: readonly SdpLine[],
  receivedLines: readonly SdpLine[],
  pairs: readonly LinePair[],
): void {
  if (known.direction !== 'to-server') return;
  const sent = mediaOf(sentLines).media;
  const received = mediaOf(receivedLines).media;
  const partner = new Map(pairs.map((pair) => [pair.sent, pair.received]));
  const index = new Map(received.map((one, i) => [one.line, i]));
  const matched = sent.flatMap((one) => {
    const other = received[index.get(partner.get(one.line!)) ?? -1];
    return other === undefined || portOf(one) === 0 || !isOverUdp(one) ? [] : [{ before: one, after: other }];
  });
  const edited = matched.filter(
    ({ before, after }) => !sameAddress(before, after) || portOf(before) !== portOf(after),
  );
  if (edited.length === 0) return;
  const complain = (line: SdpLine | undefined, explanation: string): void => {
    const other = line === undefined ? undefined : partner.get(line);
    if (line === undefined || other === undefined) return;
    ledger.add({
      fault: 'SDP-PART',
      line: placeIn(line),
      sent: line.span,
      received: other.span,
      explanation,
    });
  };
  const targets = new Set<Address>();
  let isFirstEdited = false;
  for (const [i, { before, after }] of matched.entries()) {
    const old = addressOf(before.connection);
    const fresh = addressOf(after.connection);
    if (old === undefined || isUnspecified(old) || !known.isInside(old)) continue;
    if (fresh === old) {
      if (i > 0 && isFirstEdited && portOf(before) === portOf(after)) {
        ledger.add({
          fault: 'SDP-SECOND-M',
          line: placeIn(before.line!),
          sent: before.line!.span,
          received: after.line!.span,
          explanation: `${short(before.line!.text)} was left as it was, although the first media description was edited.`,
        });
      } else
        complain(
          before.connection,
          `Media still goes to ${old}, which nobody outside can reach, although other parts of the SDP were edited.`,
        );
      continue;
    }
    if (i === 0) isFirstEdited = true;
    if (fresh !== undefined) targets.add(fresh);
    noteRtcp(known, before, after, complain);
  }
  if (targets.size > 1)
    complain(
      matched[0]!.before.connection,
      `The media goes to different addresses now: ${[...targets].join(', ')}.`,
    );
  noteSharedPorts(ledger, matched);
}

function noteRtcp(
  known: Known,
  before: SdpMedia,
  after: SdpMedia,
  complain: (line: SdpLine | undefined, explanation: string) => void,
): void {
  if (before.rtcp === undefined || after.rtcp === undefined) return;
  if (known.isInside(addressOf(before.rtcp)) && addressOf(after.rtcp) === addressOf(before.rtcp)) {
    complain(before.rtcp, 'The address of RTCP was left as it was.');
    return;
  }
  // RTCP of another host is that host's affair.
  const host = addressOf(before.rtcp);
  if (host !== undefined && !known.isInside(host)) return;
  const [old, fresh] = [rtcpPort(before.rtcp), rtcpPort(after.rtcp)];
  if (
    old !== undefined &&
    old === fresh &&
    portOf(before) !== portOf(after) &&
    known.externalOf({ address: known.inside?.address ?? '', port: old })?.port !== old
  )
    complain(before.rtcp, 'The port of RTCP was left as it was, although that of RTP was changed.');
}

/** Two media descriptions with ports of their own that have got the same one. */
function noteSharedPorts(
  ledger: Ledger,
  matched: readonly { readonly before: SdpMedia; readonly after: SdpMedia }[],
): void {
  const taken = new Map<number, number>();
  for (const { before, after } of matched) {
    const port = portOf(after);
    if (port === undefined || port === 0) continue;
    const old = portOf(before);
    const other = taken.get(port);
    if (other !== undefined && old !== other)
      ledger.add({
        fault: 'SDP-M',
        line: placeIn(before.line!),
        sent: before.line!.span,
        received: after.line!.span,
        explanation: `Two media descriptions have got the same port ${port}.`,
      });
    if (old !== undefined) taken.set(port, old);
  }
}

/** Of TCP and of what nobody knows, the port may be left as it is (RFC 4145 §4). */
function isOverUdp({ line }: SdpMedia): boolean {
  return /^(?:UDP\/)?(?:TLS\/)?RTP\/|^UDP|^udptl$/i.test(mediaLine(line?.text ?? '')?.protocol ?? '');
}

function sameAddress(before: SdpMedia, after: SdpMedia): boolean {
  return addressOf(before.connection) === addressOf(after.connection);
}

function portOf(one: SdpMedia): number | undefined {
  const port = mediaLine(one.line?.text ?? '')?.port;
  return port !== undefined && /^\d{1,5}$/.test(port) ? Number(port) : undefined;
}

function short(text: string): string {
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}
