/**
 * Faults that no single message shows: an edit in one direction that is not taken back in the other, an answer that is
 * treated otherwise than its offer, a media port that moves in the middle of a call.
 */

import { isPrivate } from '../net/address.ts';
import type { Comparison, Direction, Finding } from './comparison.ts';
import { type FaultId, faultById } from './faults.ts';
import { endpointOf, namedBy, topVia } from './known.ts';
import { fieldNamed, type Layout, layoutOf, valueText } from './layout.ts';
import { emptyAt } from './ledger.ts';
import { printable } from './octet-text.ts';
import { parameterOf } from './parts.ts';
import { addressOf, mediaLine, mediaOf, sdpLines } from './sdp-lines.ts';

/** One message as it was sent and received, with what the comparison said of it. */
export interface Compared {
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
  readonly direction: Direction;
  readonly comparison: Comparison;
}

/** A finding, and the message (by its index) at which it shows. */
export interface ConversationFinding {
  readonly message: number;
  readonly finding: Finding;
}

/** In the order of time. */
export function compareConversation(messages: readonly Compared[]): ConversationFinding[] {
  const found: ConversationFinding[] = [];
  const add = (message: number, fault: FaultId, line: string, explanation: string): void => {
    if (found.some((one) => one.finding.fault === fault && one.finding.explanation === explanation)) return;
    const { confidence = 'A' } = messages[message]!.comparison.findings[0] ?? {};
    const empty = emptyAt(0);
    const nothing = new Uint8Array(0);
    found.push({
      message,
      finding: {
        fault,
        severity: faultById(fault).severity,
        consistent: false,
        where: { line, sent: empty, received: empty },
        sent: nothing,
        received: nothing,
        explanation: printable(explanation),
        confidence,
      },
    });
  };
  const views = messages.map(({ sent, received, direction, comparison }) => ({
    sent: layoutOf(sent),
    received: layoutOf(received),
    direction,
    comparison,
  }));
  findAsymmetry(views, add);
  findUnansweredEdits(views, add);
  findMovedMedia(views, add);
  return found;
}

interface View {
  readonly sent: Layout;
  readonly received: Layout;
  readonly direction: Direction;
  readonly comparison: Comparison;
}

type Add = (message: number, fault: FaultId, line: string, explanation: string) => void;

/** What the client wrote into its Via, its Call-ID or its From has to come back to it. */
function findAsymmetry(views: readonly View[], add: Add): void {
  const requests = new Map<string, { via: string; callId: string }>();
  for (const [i, { sent, received, direction }] of views.entries()) {
    if (direction === 'to-server' && sent.isRequest) {
      const via = topVia(sent);
      const named = via === undefined ? undefined : endpointOf(namedBy(via));
      const key = keyOf(sent);
      if (key !== undefined)
        requests.set(key, {
          via: named === undefined ? '' : `${named.address}:${named.port}`,
          callId: text(sent, 'call-id'),
        });
      continue;
    }
    if (direction !== 'to-client' || sent.isRequest) continue;
    const request = requests.get(keyOf(received) ?? '');
    if (request === undefined) continue;
    const via = topVia(received);
    const back = via === undefined ? undefined : endpointOf(namedBy(via));
    if (back !== undefined && request.via !== '' && `${back.address}:${back.port}` !== request.via)
      add(
        i,
        'ADDR-ASYM',
        'Via',
        `The client wrote ${request.via} into its Via, and the response came back with ${back.address}:${back.port}.`,
      );
    if (request.callId !== text(received, 'call-id'))
      add(
        i,
        'ADDR-ASYM',
        'Call-ID',
        `The client wrote the Call-ID ${request.callId}, and the response came back with another one.`,
      );
  }
}

function keyOf(layout: Layout): string | undefined {
  const via = topVia(layout);
  const branch = via === undefined ? undefined : parameterOf(via, 'branch');
  return branch === undefined ? undefined : `${branch} ${text(layout, 'cseq')}`;
}

/** The client's SDP is edited where it asks and not where it answers, or the reverse. */
function findUnansweredEdits(views: readonly View[], add: Add): void {
  const edited = { request: -1, response: -1 };
  const left = { request: -1, response: -1 };
  for (const [i, { sent, received, direction, comparison }] of views.entries()) {
    if (direction !== 'to-server') continue;
    const kind = sent.isRequest ? 'request' : 'response';
    if (!namesPrivateMedia(sent)) continue;
    if (comparison.findings.some(({ fault }) => fault === 'SDP-C' || fault === 'SDP-M')) edited[kind] = i;
    else if (namesPrivateMedia(received)) left[kind] = i;
  }
  if (edited.request >= 0 && left.response >= 0 && edited.response < 0)
    add(
      left.response,
      'SDP-200ONLY',
      'SDP',
      'The SDP of the client’s requests is edited, and that of its responses is not.',
    );
  if (edited.response >= 0 && left.request >= 0 && edited.request < 0)
    add(
      left.request,
      'SDP-200ONLY',
      'SDP',
      'The SDP of the client’s responses is edited, and that of its requests is not.',
    );
}

function namesPrivateMedia(layout: Layout): boolean {
  return mediaOf(sdpLines(layout.bytes, layout.body)).media.some(({ connection }) => {
    const address = addressOf(connection);
    return address !== undefined && isPrivate(address);
  });
}

/** The same port of the client, in the same call, under two external ones. */
function findMovedMedia(views: readonly View[], add: Add): void {
  const seen = new Map<string, string>();
  for (const [i, { sent, received, direction }] of views.entries()) {
    if (direction !== 'to-server') continue;
    const before = mediaOf(sdpLines(sent.bytes, sent.body)).media;
    const after = mediaOf(sdpLines(received.bytes, received.body)).media;
    if (before.length !== after.length) continue;
    for (const [index, one] of before.entries()) {
      const old = mediaLine(one.line?.text ?? '');
      const fresh = mediaLine(after[index]?.line?.text ?? '');
      if (old === undefined || fresh === undefined || old.port === '0' || fresh.port === '0') continue;
      const inside = `${addressOf(one.connection) ?? ''}:${old.port}`;
      const outside = `${addressOf(after[index]?.connection) ?? ''}:${fresh.port}`;
      const key = `${text(sent, 'call-id')} ${inside}`;
      const known = seen.get(key);
      if (known !== undefined && known !== outside && !inside.startsWith('0.0.0.0'))
        add(i, 'SDP-REINVITE', 'SDP', `In this call ${inside} was ${known} before, and is ${outside} now.`);
      seen.set(key, outside);
    }
  }
}

function text(layout: Layout, name: string): string {
  const field = fieldNamed(layout, name);
  return field === undefined ? '' : valueText(layout, field);
}
