/**
 * What a server's answer says about the request that reached it, where the server is somebody else's.
 *
 * Facts: a response copies the Via values in order, From, To (with a tag of the server's), Call-ID and CSeq of the request
 * (RFC 3261 §8.2.6.2). Whoever receives a request writes `received` into its topmost Via where the sent-by does not name the
 * address that it came from (§18.2.1), and both `received` and `rport` where `rport` asks for it (RFC 3581 §4).
 *
 * So a difference is an edit, by a box on the way or by the server itself; and a private sent-by without a public
 * `received` is a sign that the server was shown another one. An edit that is undone on the way back cannot be seen here.
 * Servers write names and white space anew, so only what identifies is compared: addresses, ports, branch, tags, numbers.
 */
import { type Address, type Endpoint, formatEndpoint, isPrivate } from '../net/address.ts';
import type { Span } from '../net/span.ts';
import { scanNameAddr } from '../sip/name-addr.ts';
import { textOf } from '../sip/octets.ts';
import { scanSipUri } from '../sip/uri.ts';
import { receivedAddress, scanVia, type Via } from '../sip/via.ts';
import type { FaultId } from './faults.ts';
import { type Field, fieldNamed, type Layout, layoutOf, looksLikeSip, valueText } from './layout.ts';
import { printable } from './octet-text.ts';
import { splitValues } from './parts.ts';

/** Something that an answer shows. The spans are in the request that was sent and in the answer. */
export interface EchoSign {
  readonly fault: FaultId;
  /** An edit that an ALG without fault makes as well. */
  readonly consistent: boolean;
  readonly line: string;
  readonly explanation: string;
  readonly sent: Span;
  readonly received: Span;
}

export interface EchoScene {
  /** The socket that sent the request, as the machine knows it. */
  readonly inside: Endpoint;
  readonly server: Endpoint;
  /** Stands in branch, tag, user part and Call-ID of the request. */
  readonly id: string;
}

export interface Echo {
  readonly status: number;
  /** `483 Too Many Hops`, safe to print. */
  readonly statusLine: string;
  /** Server or User-Agent. */
  readonly banner: string | undefined;
  /** Where the server says that the request came from. */
  readonly mapped: { readonly address: Address; readonly port: number | undefined } | undefined;
  readonly signs: readonly EchoSign[];
  /** Whether the answer quotes the request beyond what every answer does. */
  readonly quotes: boolean;
  /** Warning header fields, safe to print: some servers tell in them what they saw. */
  readonly warnings: readonly string[];
}

/** A hostile server may send any number of anything. */
const MOST_SIGNS = 32;
const MOST_VALUES = 16;
const MOST_WARNINGS = 4;
const LONGEST_TEXT = 200;

/** Undefined where the answer is no SIP response at all. Linear; never throws. */
export function readEcho(sent: Uint8Array, received: Uint8Array, scene: EchoScene): Echo | undefined {
  const request = layoutOf(sent);
  const answer = layoutOf(received);
  if (answer.isRequest || answer.status < 100 || answer.status > 699) return undefined;
  const banner = fieldNamed(answer, 'server') ?? fieldNamed(answer, 'user-agent');
  const top = viasOf(answer)[0];
  const mapped = top?.via === undefined ? undefined : mappingIn(answer, top.via);
  const quote = quoted(answer, scene.id);
  const signs = [
    ...viaSigns(request, answer, scene),
    ...dialogSigns(request, answer, scene),
    ...(quote === undefined ? [] : quoteSigns(request, quote, scene, mapped)),
  ];
  return {
    status: answer.status,
    statusLine: shown(textOf(received, answer.startLine.text.start, answer.startLine.text.end).slice(8)),
    banner: banner === undefined ? undefined : shown(valueText(answer, banner)),
    mapped,
    signs: signs.slice(0, MOST_SIGNS),
    quotes: quote !== undefined,
    warnings: answer.fields
      .filter(({ name }) => name === 'warning')
      .slice(0, MOST_WARNINGS)
      .map((field) => shown(valueText(answer, field))),
  };
}

/** What the 200 to a REGISTER says of the Contact that was registered; undefined where it does not name it. */
export function storedContact(
  sent: Uint8Array,
  received: Uint8Array,
  scene: EchoScene,
): EchoSign[] | undefined {
  const request = layoutOf(sent);
  const answer = layoutOf(received);
  const own = fieldNamed(request, 'contact');
  if (own === undefined) return undefined;
  for (const span of valuesOf(answer, 'contact')) {
    if (!textOf(received, span.start, span.end).includes(scene.id)) continue;
    const host = hostPortText(received, span);
    if (host === hostPortText(sent, own.value)) return [];
    return [
      {
        fault: 'ADDR-CONTACT',
        consistent: true,
        line: 'Contact',
        explanation: `The registrar has stored ${shown(host ?? 'a Contact that cannot be read')} for the phone, which has registered ${formatEndpoint(scene.inside)}. A box on the way or the provider has put that in.`,
        sent: own.value,
        received: span,
      },
    ];
  }
  return undefined;
}

interface PlacedVia {
  readonly span: Span;
  /** Undefined where it cannot be read. */
  readonly via: Via | undefined;
}

function viaSigns(request: Layout, answer: Layout, scene: EchoScene): EchoSign[] {
  const sent = viasOf(request);
  const received = viasOf(answer);
  const [ownVia] = sent;
  const [top] = received;
  if (ownVia?.via === undefined) return [];
  if (top?.via === undefined)
    return [
      sign('HDR-DROP', 'Via', ownVia.span, top?.span ?? answer.startLine.text, {
        explanation:
          'The answer comes without a Via that can be read, although a server copies what it was sent.',
      }),
    ];
  const signs: EchoSign[] = [];
  if (received.length !== sent.length)
    signs.push(
      sign(received.length > sent.length ? 'HDR-ADD' : 'HDR-DROP', 'Via', ownVia.span, top.span, {
        explanation: `The request had ${sent.length} Via, and the answer has ${received.length}: an answer comes back with those that the request left with.`,
      }),
    );
  signs.push(...topViaSigns(request, answer, ownVia.span, top.span, scene));
  for (const [i, { span, via }] of sent.entries()) {
    const echoed = received[i];
    if (i === 0 || via === undefined || echoed === undefined) continue;
    if (sentBy(request, via) === (echoed.via === undefined ? '' : sentBy(answer, echoed.via))) continue;
    signs.push(
      sign('ADDR-INNERVIA', `Via ${i + 1}`, span, echoed.span, {
        explanation:
          'A Via below the topmost is nobody’s business but its own sender’s, and it came back altered.',
      }),
    );
  }
  return signs;
}

function topViaSigns(
  request: Layout,
  answer: Layout,
  sent: Span,
  received: Span,
  scene: EchoScene,
): EchoSign[] {
  const own = scanVia(request.bytes, sent.start, sent.end)!;
  const top = scanVia(answer.bytes, received.start, received.end)!;
  const signs: EchoSign[] = [];
  const isOwn = sentBy(request, own) === sentBy(answer, top);
  if (!isOwn)
    signs.push(
      sign('ADDR-VIA', 'Via', sent, received, {
        explanation: `The Via came back as ${shown(sentBy(answer, top))}, and the phone had written ${shown(sentBy(request, own))}: phones throw such an answer away.`,
      }),
    );
  if (textIn(request, own.branch) !== textIn(answer, top.branch))
    signs.push(
      sign('HDR-BRANCH', 'Via', sent, received, {
        explanation: 'The branch came back altered: the phone cannot tell which request it answers.',
      }),
    );
  // Between two private addresses there may be no NAT at all, so that nothing follows from what the server adds.
  if (!isOwn || !isPrivate(scene.inside.address) || isPrivate(scene.server.address)) return signs;
  const seen = receivedAddress(answer.bytes, top);
  if (seen === undefined && top.rport !== undefined && top.rport.end > top.rport.start) return signs;
  if (seen === undefined)
    signs.push(
      sign('ADDR-VIA', 'Via', sent, received, {
        consistent: true,
        explanation: `The Via names ${scene.inside.address}, which the server cannot have seen as the sender, and the server has not added \`received\`, as RFC 3261 §18.2.1 asks for then. Probably something on the way showed it a public address there and put the old one back into the answer.`,
      }),
    );
  else if (seen === scene.inside.address)
    signs.push(
      sign('ADDR-REVERSE', 'Via', sent, received, {
        consistent: true,
        explanation: `\`received\` says ${seen}, which the server, at a public address, cannot have seen as the sender, unless its operator routes private addresses. Probably something on the way has translated it.`,
      }),
    );
  return signs;
}

function dialogSigns(request: Layout, answer: Layout, scene: EchoScene): EchoSign[] {
  const signs: EchoSign[] = [];
  const both = (name: string): [Field, Field] | undefined => {
    const own = fieldNamed(request, name);
    const echoed = fieldNamed(answer, name);
    return own === undefined || echoed === undefined ? undefined : [own, echoed];
  };
  for (const [name, line] of copiedFields)
    if (fieldNamed(request, name) !== undefined && fieldNamed(answer, name) === undefined)
      signs.push(
        sign('HDR-DROP', line, fieldNamed(request, name)!.line, answer.startLine.text, {
          explanation: `The answer has no ${line}, which every answer copies from the request.`,
        }),
      );
  for (const [name, line] of copiedFields.slice(0, 2)) {
    const pair = both(name);
    if (pair === undefined) continue;
    const [own, echoed] = pair;
    const uri = addrSpec(request, own.value);
    const seen = addrSpec(answer, echoed.value);
    if (uri !== seen)
      signs.push(
        sign('ADDR-FROMTO', line, own.value, echoed.value, {
          explanation: `${line} left as ${shown(uri ?? '')} and came back as ${shown(seen ?? 'something that cannot be read')}.`,
        }),
      );
    if (line === 'From' && !valueText(answer, echoed).includes(`tag=${scene.id}`))
      signs.push(
        sign('HDR-BRANCH', 'From', own.value, echoed.value, {
          explanation: 'The tag of From came back altered.',
        }),
      );
  }
  const callId = both('call-id');
  if (callId !== undefined && valueText(request, callId[0]) !== valueText(answer, callId[1]))
    signs.push(
      sign('ADDR-CALLID', 'Call-ID', callId[0].value, callId[1].value, {
        explanation: 'The Call-ID came back altered: the phone cannot tell which request it answers.',
      }),
    );
  const cseq = both('cseq');
  if (cseq !== undefined && words(valueText(request, cseq[0])) !== words(valueText(answer, cseq[1])))
    signs.push(
      sign('HDR-BRANCH', 'CSeq', cseq[0].value, cseq[1].value, {
        explanation: 'CSeq came back altered.',
      }),
    );
  return signs;
}

/** The request as it stands in the body of the answer (message/sipfrag, message/sip, plain text); its spans are the answer's. */
function quoted(answer: Layout, id: string): Layout | undefined {
  const { bytes, body } = answer;
  const text = textOf(bytes, body.start, body.end);
  const at = text.indexOf(id);
  if (at < 0) return undefined;
  const begin = text.search(/^\w+ sips?:\S+ SIP\/2\.0\r?$/m);
  if (begin < 0) return undefined;
  // The octets in front are blanked, so that the layout's spans are those of the whole answer.
  const blanked = bytes.slice(0, body.end);
  blanked.fill(0x0a, 0, body.start + begin);
  return looksLikeSip(blanked.subarray(body.start + begin)) ? layoutOf(blanked) : undefined;
}

/** The only place where an edit shows that is undone on the way back. */
function quoteSigns(request: Layout, quote: Layout, scene: EchoScene, mapped: Echo['mapped']): EchoSign[] {
  const signs: EchoSign[] = [];
  const own = viasOf(request)[0];
  // Proxies of the provider may stand above it.
  const seen = viasOf(quote).find(({ span }) => textOf(quote.bytes, span.start, span.end).includes(scene.id));
  // What the answer says of the source may itself have been translated; what the quote says has not.
  const outside = [seen?.via?.sentBy.address, mapped?.address].find(
    (address) => address !== undefined && !isPrivate(address),
  );
  const isMapped = (text: string | undefined): boolean =>
    outside !== undefined && text?.includes(outside) === true;
  const add = (
    fault: FaultId,
    line: string,
    sent: Span,
    received: Span,
    own: string,
    seen: string | undefined,
  ) => {
    if (own === seen) return;
    signs.push(
      sign(fault, line, sent, received, {
        consistent: isMapped(seen),
        explanation: `The server quotes the request: ${line} arrived as ${shown(seen ?? 'something that cannot be read')}, and had been sent as ${shown(own)}.`,
      }),
    );
  };
  if (own?.via !== undefined && seen?.via !== undefined)
    add('ADDR-VIA', 'Via', own.span, seen.span, sentBy(request, own.via), sentBy(quote, seen.via));
  for (const [line, fault] of [
    ['Contact', 'ADDR-CONTACT'],
    ['From', 'ADDR-FROMTO'],
  ] as const) {
    const sent = fieldNamed(request, line.toLowerCase());
    const echoed = fieldNamed(quote, line.toLowerCase());
    if (sent === undefined || echoed === undefined) continue;
    const text = hostPortText(request.bytes, sent.value);
    if (text !== undefined)
      add(fault, line, sent.value, echoed.value, text, hostPortText(quote.bytes, echoed.value));
  }
  const callId = fieldNamed(request, 'call-id');
  const echoedId = fieldNamed(quote, 'call-id');
  if (callId !== undefined && echoedId !== undefined)
    add(
      'ADDR-CALLID',
      'Call-ID',
      callId.value,
      echoedId.value,
      valueText(request, callId),
      valueText(quote, echoedId),
    );
  return signs;
}

/** What every response copies from its request, the addresses first. */
const copiedFields = ['From', 'To', 'Call-ID', 'CSeq'].map((line) => [line.toLowerCase(), line] as const);

function sign(
  fault: FaultId,
  line: string,
  sent: Span,
  received: Span,
  { explanation, consistent = false }: { explanation: string; consistent?: boolean },
): EchoSign {
  return { fault, consistent, line, explanation, sent, received };
}

function viasOf(layout: Layout): PlacedVia[] {
  return valuesOf(layout, 'via').map((span) => ({ span, via: scanVia(layout.bytes, span.start, span.end) }));
}

/** The values of a list field in order, over all of its lines. */
function valuesOf(layout: Layout, name: string): Span[] {
  const spans: Span[] = [];
  for (const field of layout.fields) {
    if (field.name !== name) continue;
    for (const { start, end } of splitValues(valueText(layout, field))) {
      if (spans.length >= MOST_VALUES) return spans;
      spans.push({ start: field.value.start + start, end: field.value.start + end });
    }
  }
  return spans;
}

function mappingIn({ bytes }: Layout, via: Via): Echo['mapped'] {
  const address = receivedAddress(bytes, via);
  if (address === undefined) return undefined;
  const port = via.rport === undefined ? 0 : Number(textOf(bytes, via.rport.start, via.rport.end));
  return { address, port: Number.isInteger(port) && port > 0 && port < 65_536 ? port : undefined };
}

function sentBy(layout: Layout, { sentBy: { span } }: Via): string {
  return textOf(layout.bytes, span.start, span.end).replaceAll(/\s/g, '').toLowerCase();
}

function textIn(layout: Layout, span: Span | undefined): string {
  return span === undefined ? '' : textOf(layout.bytes, span.start, span.end);
}

function addrSpec({ bytes }: Layout, value: Span): string | undefined {
  const one = scanNameAddr(bytes, value.start, value.end);
  return one === undefined ? undefined : textOf(bytes, one.uri.start, one.uri.end);
}

/** `192.0.2.1:5060` of the first URI in a value, as written. */
function hostPortText(bytes: Uint8Array, value: Span): string | undefined {
  const one = scanNameAddr(bytes, value.start, value.end);
  const uri = one === undefined ? undefined : scanSipUri(bytes, one.uri.start, one.uri.end);
  return uri === undefined ? undefined : textOf(bytes, uri.span.start, uri.span.end);
}

function words(text: string): string {
  return text.trim().split(/\s+/).join(' ');
}

function shown(text: string): string {
  return printable(text.trim().slice(0, LONGEST_TEXT));
}
