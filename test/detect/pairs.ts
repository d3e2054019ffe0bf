/** Messages before and after some box, one pair or more for each fault that bytes can show. */
import type { Direction } from '../../src/core/detect/comparison.ts';
import type { FaultId } from '../../src/core/detect/faults.ts';

export interface Pair {
  readonly fault: FaultId;
  readonly what: string;
  readonly sent: string;
  readonly received: string;
  readonly direction: Direction;
}

const PHONE = '192.168.1.50';
const PUBLIC = '203.0.113.7';

/** Lines joined with CRLF, and the true Content-Length. */
export function message(head: readonly string[], body: readonly string[] = []): string {
  const text = body.map((line) => `${line}\r\n`).join('');
  return `${[...head, `Content-Length: ${text.length}`].join('\r\n')}\r\n\r\n${text}`;
}

export const register: string = message([
  'REGISTER sip:example.net SIP/2.0',
  `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKr1;rport`,
  'Max-Forwards: 70',
  'From: "Alice; the <first>" <sip:alice@example.net>;tag=f1',
  'To: <sip:alice@example.net>',
  `Call-ID: r1@${PHONE}`,
  'CSeq: 1 REGISTER',
  `Contact: <sip:alice@${PHONE}:5060;ob>;expires=300`,
  'Expires: 300',
  'Supported: path, outbound',
  'User-Agent: phone',
]);

const description = [
  'v=0',
  `o=- 1 1 IN IP4 ${PHONE}`,
  's=call',
  `c=IN IP4 ${PHONE}`,
  't=0 0',
  'm=audio 4000 RTP/AVP 0 8',
  'a=rtpmap:0 PCMU/8000',
  'a=rtcp:4001',
  'a=sendrecv',
  'm=video 4002 RTP/AVP 99',
  'a=rtpmap:99 H264/90000',
];

const inviteHead = [
  'INVITE sip:bob@example.net SIP/2.0',
  `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKi1;rport`,
  'Via: SIP/2.0/UDP 10.9.9.9:5070;branch=z9hG4bKinner',
  'Max-Forwards: 70',
  'Route: <sip:proxy.example.net;lr>',
  `From: <sip:alice@${PHONE}>;tag=f1`,
  'To: <sip:bob@example.net>',
  `Call-ID: i1@${PHONE}`,
  'CSeq: 2 INVITE',
  `Contact: <sip:alice@${PHONE}:5060>`,
  `X-Canary: at ${PHONE}`,
  'X-Decoy: 10.66.77.88',
  'Session-Expires: 1800',
  `Authorization: Digest username="alice",realm="example.net",nonce="n",uri="sip:${PHONE}",response="r"`,
  'Content-Type: application/sdp',
];

export const invite: string = message(inviteHead, description);

/** What a correct ALG makes of it: Via, Contact, connection data and ports, and the length that follows. */
export function translated(text: string): string {
  return withLength(
    text
      .replace(`UDP ${PHONE}:5060;`, `UDP ${PUBLIC}:61002;`)
      .replace(`<sip:alice@${PHONE}:5060`, `<sip:alice@${PUBLIC}:61002`)
      .replace(`c=IN IP4 ${PHONE}`, `c=IN IP4 ${PUBLIC}`)
      .replace('m=audio 4000 ', 'm=audio 30000 ')
      .replace('a=rtcp:4001', 'a=rtcp:30001')
      .replace('m=video 4002 ', 'm=video 30002 '),
  );
}

/** With Content-Length made true. */
export function withLength(text: string): string {
  const length = text.length - text.indexOf('\r\n\r\n') - 4;
  return text.replace(/^Content-Length: \d+/m, `Content-Length: ${length}`);
}

/** A response to the INVITE, as the server sends it: the Via of the phone as the server saw it. */
const ok = message(
  [
    'SIP/2.0 200 OK',
    `Via: SIP/2.0/UDP ${PUBLIC}:61002;branch=z9hG4bKi1;rport=61002;received=${PUBLIC}`,
    'Record-Route: <sip:198.51.100.5;lr>',
    `From: <sip:alice@${PHONE}>;tag=f1`,
    'To: <sip:bob@example.net>;tag=t1',
    `Call-ID: i1@${PHONE}`,
    'CSeq: 2 INVITE',
    'Contact: <sip:bob@198.51.100.77:5060>',
    'Content-Type: application/sdp',
  ],
  ['v=0', 'o=- 1 1 IN IP4 198.51.100.9', 's=-', 'c=IN IP4 198.51.100.9', 't=0 0', 'm=audio 9000 RTP/AVP 0'],
);

const incoming = message([
  `OPTIONS sip:alice@${PUBLIC}:61002 SIP/2.0`,
  'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKo1',
  'From: <sip:ping@example.net>;tag=s1',
  `To: <sip:alice@${PUBLIC}:61002>`,
  'Call-ID: o1@example.net',
  'CSeq: 1 OPTIONS',
]);

const secure = message(inviteHead, [
  ...description.slice(0, 5),
  'm=audio 4000 RTP/SAVP 0',
  'a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz',
]);
const ice = message(inviteHead, [
  ...description.slice(0, 6),
  'a=ice-ufrag:F7gI',
  'a=ice-pwd:x9cml/YzichV2+XlhiMu8g',
  `a=candidate:1 1 UDP 2130706431 ${PHONE} 4000 typ host`,
]);
const fax = message(inviteHead, [
  ...description.slice(0, 5),
  'm=image 4004 udptl t38',
  'a=T38FaxVersion:0',
  'a=T38FaxMaxBuffer:2000',
]);
const held = withLength(
  invite.replace(`c=IN IP4 ${PHONE}`, 'c=IN IP4 0.0.0.0').replace('sendrecv', 'sendonly'),
);
const stun = withLength(
  invite
    .replace(`<sip:alice@${PHONE}:5060>`, `<sip:alice@${PUBLIC}:61002>`)
    .replace(`c=IN IP4 ${PHONE}`, `c=IN IP4 ${PUBLIC}`),
);

function withBody(method: string, headers: readonly string[], body: readonly string[]): string {
  return message(
    [
      `${method} sip:bob@example.net SIP/2.0`,
      `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKb1;rport`,
      'From: <sip:alice@example.net>;tag=f1',
      'To: <sip:bob@example.net>;tag=t1',
      'Call-ID: b1@example.net',
      `CSeq: 3 ${method}`,
      ...headers,
    ],
    body,
  );
}

const lamps = withBody(
  'NOTIFY',
  ['Event: dialog', 'Subscription-State: active', 'Content-Type: application/dialog-info+xml'],
  ['<?xml version="1.0"?>', `<dialog-info entity="sip:alice@${PHONE}"/>`],
);
const chat = withBody('MESSAGE', ['Content-Type: text/plain'], [`my address is ${PHONE}`]);
const signed = withBody('MESSAGE', ['Content-Type: application/pkcs7-mime'], [`0123 ${PHONE}`]);
const transfer = withBody(
  'REFER',
  ['Refer-To: <sip:carol@example.net?Replaces=i1%40192.168.1.50%3Bto-tag%3Dx>'],
  [],
);
const boundary = [
  '--b',
  'Content-Type: application/sdp',
  '',
  ...description.slice(0, 6),
  '--b',
  'Content-Type: application/pidf+xml',
  '',
  '<presence/>',
  '--b--',
];
const multipart = withBody('INVITE', ['Content-Type: multipart/mixed;boundary=b'], boundary);

const out = (fault: FaultId, what: string, sent: string, received: string): Pair => ({
  fault,
  what,
  sent,
  received,
  direction: 'to-server',
});
const back = (fault: FaultId, what: string, sent: string, received: string): Pair => ({
  fault,
  what,
  sent,
  received,
  direction: 'to-client',
});
const line = (text: string, start: string): string =>
  new RegExp(`^${start.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}.*\\r\\n`, 'm').exec(text)![0];
const without = (text: string, start: string): string => text.replace(line(text, start), '');
const doubled = (text: string, start: string): string => text.replace(line(text, start), '$&$&');

export const pairs: readonly Pair[] = [
  out('ADDR-VIA', 'another address', register, register.replace(`UDP ${PHONE}`, 'UDP 203.0.113.99')),
  out(
    'ADDR-VIA',
    'beside a private Contact',
    register,
    register.replace(`UDP ${PHONE}:5060`, `UDP ${PUBLIC}:61002`),
  ),
  out('ADDR-CONTACT', 'another user', register, register.replace('sip:alice@192', 'sip:a@192')),
  out(
    'ADDR-CONTACT-STALE',
    'another port',
    register,
    translated(register).replace(`alice@${PUBLIC}:61002`, `alice@${PUBLIC}:61003`),
  ),
  out(
    'ADDR-CONTACT-STALE',
    'another address',
    register,
    translated(register).replace(`alice@${PUBLIC}`, 'alice@203.0.113.8'),
  ),
  back(
    'ADDR-CONTACT-200',
    'the server’s Contact',
    ok,
    ok.replace('bob@198.51.100.77:5060', 'bob@198.51.100.5:5060'),
  ),
  back(
    'ADDR-RURI',
    'not the phone',
    incoming,
    incoming.replace(`OPTIONS sip:alice@${PUBLIC}:61002`, 'OPTIONS sip:alice@192.168.1.99:5060'),
  ),
  out(
    'ADDR-RURI',
    'on the way out',
    invite,
    invite.replace('INVITE sip:bob@example.net', 'INVITE sip:bob@203.0.113.7'),
  ),
  out(
    'ADDR-FROMTO',
    'the host of From',
    invite,
    invite.replace(`From: <sip:alice@${PHONE}>`, `From: <sip:alice@${PUBLIC}>`),
  ),
  out(
    'ADDR-CALLID',
    'the address in it',
    invite,
    invite.replace(`Call-ID: i1@${PHONE}`, `Call-ID: i1@${PUBLIC}`),
  ),
  out(
    'ADDR-GLOBAL',
    'a private header field',
    invite,
    invite.replace(`X-Canary: at ${PHONE}`, `X-Canary: at ${PUBLIC}`),
  ),
  out('ADDR-GLOBAL', 'everywhere', invite, withLength(invite.replaceAll(PHONE, PUBLIC))),
  out('ADDR-OTHER', 'a decoy', invite, invite.replace('10.66.77.88', PUBLIC)),
  out('ADDR-INNERVIA', 'the second Via', invite, invite.replace('10.9.9.9:5070', `${PUBLIC}:61002`)),
  back('ADDR-ROUTE', 'Record-Route', ok, ok.replace('<sip:198.51.100.5;lr>', '<sip:192.168.1.1;lr>')),
  out('ADDR-ROUTE', 'Route is lost', invite, without(invite, 'Route')),
  out(
    'ADDR-AUTH',
    'the uri of a digest',
    invite,
    invite.replace(`uri="sip:${PHONE}"`, `uri="sip:${PUBLIC}"`),
  ),
  out(
    'ADDR-REFER',
    'the Call-ID in Replaces',
    transfer,
    transfer.replace('i1%40192.168.1.50', 'i1%40203.0.113.7'),
  ),
  back('ADDR-REVERSE', 'received alone', ok, ok.replace(`received=${PUBLIC}`, `received=${PHONE}`)),
  out('STUN-CLASH', 'a public Contact', stun, stun.replace(`alice@${PUBLIC}:61002`, `alice@${PUBLIC}:61009`)),
  out('SYN-SEMI', 'lost in the Via', register, register.replace(';rport', 'rport')),
  out(
    'SYN-SEMI',
    'lost behind the port',
    register,
    translated(register).replace('61002;branch', '61002branch'),
  ),
  out('SYN-SEMI', 'doubled in the Contact', register, register.replace(';expires=300', ';;expires=300')),
  out('SYN-BRACKET', 'lost in the Contact', register, translated(register).replace(`61002;ob>`, '61002;ob')),
  out(
    'SYN-BRACKET',
    'quotes lost in From',
    register,
    register.replace('"Alice; the <first>"', 'Alice; the <first>'),
  ),
  out(
    'SYN-PORTRANGE',
    'above 65535 in the Contact',
    register,
    register.replace(`alice@${PHONE}:5060`, `alice@${PUBLIC}:70000`),
  ),
  out('SYN-PORTRANGE', 'empty in the Via', register, register.replace(`UDP ${PHONE}:5060`, `UDP ${PUBLIC}:`)),
  out(
    'SYN-PORTRANGE',
    'negative in the SDP',
    invite,
    withLength(invite.replace('m=audio 4000', 'm=audio -1')),
  ),
  out(
    'SYN-PORTADD',
    'to the server',
    invite,
    invite.replace('INVITE sip:bob@example.net ', 'INVITE sip:bob@example.net:5060 '),
  ),
  out('SYN-PORTDROP', 'of the Contact', register, register.replace(`alice@${PHONE}:5060`, `alice@${PUBLIC}`)),
  out(
    'SYN-CRLF',
    'one line ends in LF',
    register,
    register.replace('Max-Forwards: 70\r\n', 'Max-Forwards: 70\n'),
  ),
  out('SYN-CRLF', 'all lines end in LF', invite, invite.replaceAll('\r\n', '\n')),
  out('SYN-CRLF', 'octets behind the body', invite, `${invite}\0\0`),
  out('SYN-CRLF', 'the empty line is lost', register, register.replace(/\r\n\r\n$/, '\r\n')),
  out('SYN-NUL', 'in the Contact', register, register.replace('alice@192', 'al\0ce@192')),
  out('SYN-NUL', 'in a private field', invite, invite.replace('X-Canary: at', 'X-Canary: \x01\x02')),
  out('SYN-CASE', 'capitals', register, register.replace('Max-Forwards', 'max-forwards')),
  out('SYN-CASE', 'the compact name', register, register.replace('Call-ID:', 'i:')),
  out(
    'SYN-ORDER',
    'moved',
    register,
    without(register, 'Max').replace('Expires: 300\r\n', 'Expires: 300\r\nMax-Forwards: 70\r\n'),
  ),
  out('SYN-ORDER', 'spaces', register, register.replace('Content-Length: 0', 'Content-Length:   0')),
  out(
    'SYN-ORDER',
    'folded',
    register,
    register.replace('Supported: path, outbound', 'Supported: path,\r\n outbound'),
  ),
  out('HDR-DUP', 'To', register, doubled(register, 'To')),
  out(
    'HDR-DUP',
    'Contact, private and public',
    register,
    register.replace('Expires:', `Contact: <sip:alice@${PUBLIC}:61002;ob>;expires=300\r\nExpires:`),
  ),
  out('HDR-DROP', 'Supported', register, without(register, 'Supported')),
  out('HDR-ADD', 'Warning', register, register.replace('CSeq', 'Warning: 399 box "hello"\r\nCSeq')),
  out('HDR-RPORT-STRIP', 'of the Via', register, register.replace(';rport', '')),
  out('HDR-RECEIVED-FAKE', 'by the box', register, register.replace(';rport', `;rport;received=${PUBLIC}`)),
  out('HDR-RECEIVED-FAKE', 'rport filled in', register, register.replace(';rport', ';rport=61002')),
  out('HDR-BRANCH', 'branch', register, register.replace('z9hG4bKr1', 'z9hG4bKxx')),
  out('HDR-BRANCH', 'tag', register, register.replace('tag=f1', 'tag=f2')),
  out('HDR-BRANCH', 'CSeq', register, register.replace('CSeq: 1 ', 'CSeq: 2 ')),
  out('HDR-MAXFWD', 'counted', register, register.replace('Max-Forwards: 70', 'Max-Forwards: 69')),
  out('HDR-EXPIRES', 'Expires', register, register.replace('\r\nExpires: 300', '\r\nExpires: 3600')),
  out('HDR-EXPIRES', 'of the Contact', register, register.replace(';expires=300', ';expires=60')),
  out('HDR-EXPIRES', 'Session-Expires is lost', invite, without(invite, 'Session-Expires')),
  out(
    'LEN-WRONG',
    'not counted again',
    invite,
    invite.replace(`c=IN IP4 ${PHONE}`, 'c=IN IP4 203.0.113.117'),
  ),
  out('LEN-WRONG', 'shorter than before', invite, invite.replace(`c=IN IP4 ${PHONE}`, `c=IN IP4 ${PUBLIC}`)),
  out(
    'LEN-WRONG',
    'changed for nothing',
    invite,
    invite.replace(/Content-Length: \d+/, 'Content-Length: 999'),
  ),
  out(
    'LEN-MULTIPART',
    'counted from v=',
    multipart,
    (() => {
      const edited = multipart.replace(`c=IN IP4 ${PHONE}`, `c=IN IP4 ${PUBLIC}`);
      return edited.replace(
        /Content-Length: \d+/,
        `Content-Length: ${edited.length - edited.indexOf('v=0')}`,
      );
    })(),
  ),
  out('LEN-MISSING', 'taken out', invite, without(invite, 'Content-Length')),
  out('LEN-MISSING', 'put in', without(register, 'Content-Length'), register),
  out('TRUNC', 'in the body', invite, invite.slice(0, -40)),
  out('TRUNC', 'in the header', invite, invite.slice(0, 400)),
  out('TRUNC', 'behind a line of the body', invite, invite.slice(0, invite.indexOf('m=video'))),
  out(
    'SDP-C',
    'not the mapping',
    invite,
    translated(invite).replace(`c=IN IP4 ${PUBLIC}`, 'c=IN IP4 203.0.113.9'),
  ),
  out('SDP-M', 'one port for two', invite, translated(invite).replace('m=video 30002', 'm=video 30000')),
  out('SDP-M', 'refused', invite, withLength(invite.replace('m=audio 4000', 'm=audio 0'))),
  out('SDP-PART', 'only the port', invite, withLength(invite.replace('m=audio 4000', 'm=audio 30000'))),
  out('SDP-PART', 'RTCP left', invite, withLength(translated(invite).replace('a=rtcp:30001', 'a=rtcp:4001'))),
  out(
    'SDP-SECOND-M',
    'refused',
    invite,
    withLength(translated(invite).replace('m=video 30002', 'm=video 0')),
  ),
  out('SDP-SECOND-M', 'lost', invite, withLength(without(without(invite, 'm=video'), 'a=rtpmap:99'))),
  out('SDP-HOLD', '0.0.0.0', held, withLength(held.replace('0.0.0.0', PUBLIC))),
  out('SDP-HOLD', 'the direction', held, withLength(held.replace('sendonly', 'sendrecv'))),
  out('SDP-ICE-STRIP', 'a candidate', ice, withLength(without(ice, 'a=candidate'))),
  out('SDP-ICE-STRIP', 'the password', ice, ice.replace('x9cml', 'xxxxx')),
  out('SDP-CRYPTO-STRIP', 'the key', secure, withLength(without(secure, 'a=crypto'))),
  out('SDP-CRYPTO-STRIP', 'the profile', secure, withLength(secure.replace('RTP/SAVP', 'RTP/AVP'))),
  out('SDP-ATTR-CUT', 'a codec', invite, withLength(invite.replace('RTP/AVP 0 8', 'RTP/AVP 0'))),
  out('SDP-ATTR-CUT', 'an attribute', invite, withLength(without(invite, 'a=rtpmap:0'))),
  out('BODY-BLF', 'an entity', lamps, withLength(lamps.replace(`alice@${PHONE}`, `alice@${PUBLIC}`))),
  out('BODY-T38', 'an attribute', fax, withLength(without(fax, 'a=T38FaxMaxBuffer'))),
  out('BODY-MSG', 'a text', chat, withLength(chat.replace(`is ${PHONE}`, `is ${PUBLIC}`))),
  out(
    'BODY-GZIP-PGP',
    'a signed body',
    signed,
    withLength(signed.replace(`0123 ${PHONE}`, `0123 ${PUBLIC}`)),
  ),
  out(
    'PROXY-B2B',
    'a proxy',
    register,
    register
      .replace('Via:', `Via: SIP/2.0/UDP ${PUBLIC}:5060;branch=z9hG4bKproxy\r\nVia:`)
      .replace('Max-Forwards: 70', 'Max-Forwards: 69'),
  ),
  back(
    'PROXY-B2B',
    'its Via is taken out of a response',
    ok.replace('Via:', `Via: SIP/2.0/UDP ${PUBLIC}:5060;branch=z9hG4bKproxy\r\nVia:`),
    ok,
  ),
  out(
    'ADDR-V6',
    'without any NAT',
    register.replaceAll(PHONE, '[2001:db8::50]'),
    register.replaceAll(PHONE, '[2001:db8::50]').replace('UDP [2001:db8::50]', 'UDP [2001:db8::99]'),
  ),
  out('X-UNKNOWN', 'the method', register, register.replace('REGISTER sip:', 'REGISTRY sip:')),
  out('X-UNKNOWN', 'User-Agent', register, register.replace('User-Agent: phone', 'User-Agent: fone')),
];

/** Faults that bytes show, but only those of several messages: conversation.test.ts has them. */
export const shownBySeveral: readonly FaultId[] = ['ADDR-ASYM', 'SDP-200ONLY', 'SDP-REINVITE'];
