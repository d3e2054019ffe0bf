/**
 * Hides in the octets of a message what the log hides in its texts (redaction.ts), and what people write and say: each hidden
 * octet becomes an `x`. Nothing changes its length, so that lengths in the message, places of edits, and packets in a capture
 * are what they were.
 *
 * Hidden: users, display names and telephone numbers; credentials and keys; bodies, but for a session description, of which
 * names, texts and keys are hidden, and addresses, ports and codecs stay: they are what an ALG is about.
 */
import { classify } from '../core/alg/classify.ts';
import type { AlgEvent, ExplainedEdit } from '../core/alg/event.ts';
import type { Span } from '../core/net/span.ts';
import { scanMessage } from '../core/sip/message.ts';
import { scanMediaType, sdpParts } from '../core/sip/multipart.ts';
import { octetsOf, textOf } from '../core/sip/octets.ts';
import type { Exchange, SentMessage } from './exchange.ts';
import { redact } from './redaction.ts';

/**
 * In each the first group stays and the second is hidden. Repetitions that can be followed by a failure are bounded, so that no
 * message takes longer than its length.
 */
const HEADER: readonly RegExp[] = [
  /(\bsips?:)([^@\s<>"]{0,1024})(?=@)/gi,
  /(\btel:)([^\s;<>"]+)/gi,
  /(")((?:[^"\\]|\\.){0,256})(?="[ \t]{0,16}<(?:sips?|tel):)/gi,
  /(^(?:from|f|to|t|contact|m|p-asserted-identity|p-preferred-identity|remote-party-id|diversion|history-info|refer-to|r|referred-by|b)[ \t]*:)([^<"\r\n:]+)(?=<)/gim,
  /(\b(?:username|response|cnonce|nonce|opaque|realm|nextnonce|rspauth|auts|ik|ck)[ \t]*=[ \t]*")((?:[^"\\\r\n]|\\.)*)/gi,
  /(\b(?:username|response|cnonce|nonce|opaque|realm|nextnonce|rspauth|auts|ik|ck)[ \t]*=[ \t]*)([^\s,;"]+)/gi,
  // Schemes other than Digest have no parameters by whose names they could be told, and their values may be folded.
  /(^(?:proxy-)?authorization[ \t]*:[ \t]*(?:\r?\n[ \t]+)?(?!digest[ \t])[^\s]+[ \t]+)((?:[^\r\n]|\r?\n[ \t])+)/gim,
  /(^(?:identity|y|subject|s)[ \t]*:)([^\r\n]+)/gim,
];
const DESCRIPTION: readonly RegExp[] = [
  /(^o=)([^\s]+)/gim,
  /(^[siuepk]=)([^\r\n]+)/gim,
  /(\binline:)([^\s|]+)/gi,
  /(^a=(?:ice-pwd|key-mgmt|identity|tls-id)[ \t]*:[ \t]*)([^\r\n]+)/gim,
  /(^a=fingerprint:[^\s]+ )([^\r\n]+)/gim,
];
/** Of a body in several parts: what says where each begins and what it is. */
const PART_LINE = /^(?:--|content-[a-z-]+[ \t]*:)/i;

/** A copy of the same length. */
export function maskMessage(bytes: Uint8Array): Uint8Array {
  const kind = classify(bytes);
  if (kind === 'keepalive' || kind === 'stun') return bytes;
  if (kind === 'other') return octetsOf(hidden(textOf(bytes, 0, bytes.length)));
  const { header, descriptions } = partsOf(bytes);
  const text = textOf(bytes, 0, header);
  // What is no SIP beyond doubt is nobody's to read.
  if (!/^[^\r\n]*SIP\/2\.0/m.test(text)) return octetsOf(hidden(textOf(bytes, 0, bytes.length)));
  let masked = masking(text, HEADER);
  let at = header;
  const isMultipart = /^(?:content-type|c)[ \t]*:[ \t]*multipart\//im.test(text);
  const between = (end: number): void => {
    const part = textOf(bytes, at, end);
    masked += isMultipart
      ? part
          .split('\n')
          .map((line) => (PART_LINE.test(line) ? line : hidden(line)))
          .join('\n')
      : hidden(part);
    at = end;
  };
  for (const { start, end } of descriptions) {
    between(start);
    masked += masking(textOf(bytes, start, end), DESCRIPTION);
    at = end;
  }
  between(bytes.length);
  return octetsOf(masked);
}

/** The exchange with everything hidden in it, and the edits where they were. */
export function maskExchange(exchange: Exchange): Exchange {
  const { id, atMs, handledMs, flow, verdict, callId, events } = exchange;
  const received = exchange.received === undefined ? undefined : maskMessage(exchange.received);
  const sent: SentMessage[] = exchange.sent.map(({ flow: to, bytes }) => ({
    flow: to,
    bytes: maskMessage(bytes),
  }));
  const [left] = sent;
  return {
    id,
    atMs,
    handledMs,
    flow,
    received,
    sent,
    verdict,
    callId,
    events: events.map((event): AlgEvent => {
      if (event.kind !== 'message.translated' || received === undefined || left === undefined)
        return redact(event);
      return {
        ...event,
        summary: redact(event.summary),
        edits: maskEdits(event.edits, received, left.bytes),
      };
    }),
  };
}

function maskEdits(
  edits: readonly ExplainedEdit[],
  received: Uint8Array,
  sent: Uint8Array,
): readonly ExplainedEdit[] {
  let growth = 0;
  return edits.map((edit) => {
    const { offset, length, after } = edit;
    const at = offset + growth;
    growth += after.length - length;
    return {
      ...edit,
      before: textOf(received, offset, offset + length),
      after: textOf(sent, at, at + after.length),
    };
  });
}

/** Where the header ends, and where descriptions are; a message that cannot be scanned is divided at its first empty line. */
function partsOf(bytes: Uint8Array): { readonly header: number; readonly descriptions: readonly Span[] } {
  const scan = scanMessage(bytes);
  if (scan.ok) {
    const { body, fields } = scan.message;
    const value = fields.find(({ name }) => name === 'content-type');
    const type = value === undefined ? undefined : scanMediaType(bytes, value);
    // Of what is encoded, the octets are not the description's.
    if (fields.some(({ name }) => name === 'content-encoding'))
      return { header: body.start, descriptions: [] };
    return { header: body.start, descriptions: type === undefined ? [] : sdpParts(bytes, type, body) };
  }
  const text = textOf(bytes, 0, bytes.length);
  const found = /\r?\n\r?\n/.exec(text);
  const header = found === null ? bytes.length : found.index + found[0].length;
  const isDescription = /^(?:content-type|c)[ \t]*:[ \t]*application\/sdp/im.test(text.slice(0, header));
  return { header, descriptions: isDescription ? [{ start: header, end: bytes.length }] : [] };
}

function masking(text: string, patterns: readonly RegExp[]): string {
  return patterns.reduce(
    (masked, pattern) =>
      masked.replace(pattern, (_, kept: string, secret: string) => kept + hidden(secret, /[^\s]/g)),
    text,
  );
}

/** Line ends stay, so that lines stay lines. */
function hidden(text: string, octets = /[^\r\n]/g): string {
  return text.replace(octets, 'x');
}
