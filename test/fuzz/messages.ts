/** SIP messages to begin with: seeds, a generator along the grammar, and the words of it. */
import type { Random } from './random.ts';

export const PHONE = '192.168.1.50';
export const PHONES = [`${PHONE}:5060`, '192.168.1.51:5060', `${PHONE}:40000`];
export const PROVIDER = '198.51.100.5:5060';
export const EXTERNAL = '203.0.113.1';

/** Lines with CRLF, and Content-Length where there is a body. */
export function message(head: readonly string[], body?: string): string {
  if (body === undefined) return `${head.join('\r\n')}\r\n\r\n`;
  return `${[...head, `Content-Length: ${body.length}`].join('\r\n')}\r\n\r\n${body}`;
}

export function description(address: string, port: number, extra: readonly string[] = []): string {
  return `${[
    'v=0',
    `o=- 7 7 IN IP4 ${address}`,
    's=-',
    `c=IN IP4 ${address}`,
    't=0 0',
    `m=audio ${port} RTP/AVP 0 8`,
    ...extra,
  ].join('\r\n')}\r\n`;
}

const head = [
  'INVITE sip:bob@example.net SIP/2.0',
  `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKa;rport`,
  'Via: SIP/2.0/UDP 10.0.0.7;branch=z9hG4bKb;received=10.0.0.8, SIP/2.0/TCP inner.example;branch=z9hG4bKc',
  'Max-Forwards: 70',
  'From: "A, B" <sip:alice@example.net>;tag=a1',
  'To: <sip:bob@example.net>',
  'Call-ID: 1@192.168.1.50',
  'CSeq: 1 INVITE',
  `Contact: <sip:alice@${PHONE}:5060;ob>;+sip.instance="<urn:x>", <sip:alice@${PHONE}>`,
];

const parts = [
  '--b',
  'Content-Type: application/sdp',
  '',
  description(PHONE, 4000, ['a=rtcp:4001', 'a=sendrecv']),
  '--b',
  'Content-Type: multipart/mixed;boundary="i n"',
  '',
  '--i n',
  'Content-Type: application/sdp',
  '',
  description(PHONE, 4002),
  '--i n--',
  '--b--',
  '',
].join('\r\n');

export const messageSeeds: readonly string[] = [
  message([...head, 'Content-Type: application/sdp'], description(PHONE, 4000, ['a=rtcp:4001'])),
  message([...head, 'Content-Type: multipart/mixed; boundary=b'], parts),
  message([...head.slice(0, -1), `Contact: sip:alice@${PHONE}:40000;expires=60`], ''),
  message(
    [
      'SIP/2.0 200 OK',
      `v: SIP/2.0/UDP ${EXTERNAL}:5060;branch=z9hG4bKa;received=${EXTERNAL};rport=5060`,
      'f: <sip:alice@example.net>;tag=a1',
      't: sip:alice@example.net;tag=b1',
      'i: 1@192.168.1.50',
      'CSeq: 2 REGISTER',
      `m: <sip:alice@${EXTERNAL}:5060>;expires=60;q=0.5, <sip:bob@192.0.2.9>`,
      'Expires: 3600',
      'l: 0',
    ],
    undefined,
  ),
  message(
    [
      `INVITE sip:alice@${EXTERNAL}:5060;x=1 SIP/2.0`,
      'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKin',
      'Record-Route: <sip:198.51.100.5;lr>',
      'From: <sip:bob@example.net>;tag=b1',
      'To: <sip:alice@example.net>',
      'Call-ID: in@example.net',
      'CSeq: 1 INVITE',
      'Contact: <sip:bob@198.51.100.5:5060>',
      'Content-Type: application/sdp',
    ],
    description('198.51.100.9', 6000),
  ),
  message(
    [
      'REFER sip:bob@example.net SIP/2.0',
      `Via: SIP / 2.0 / UDP\r\n\t${PHONE} : 5060 ;\r\n branch=z9hG4bKr;rport`,
      `Route: <sip:${EXTERNAL}:5060;lr>,<sip:198.51.100.5;lr>`,
      'From: <sip:alice@example.net>;tag=a1',
      'To: <sip:bob@example.net>;tag=b1',
      'Call-ID: 1@192.168.1.50',
      'CSeq: 3 REFER',
      `Refer-To: <sip:carol@${PHONE}:5060?Replaces=1%3Bto-tag%3D2>`,
      'Authorization: Digest username="alice", qop=auth-int, response="0"',
      'Identity: "c2ln"',
      'Subject: 1\r\n 2\r\n\t3',
    ],
    '',
  ),
];

export const messageTokens: readonly string[] = [
  ...[
    'SIP/2.0',
    'sip:',
    'sips:',
    'tel:',
    'INVITE ',
    'REGISTER ',
    'ACK ',
    'BYE ',
    'UPDATE ',
    'SIP/2.0 200 OK',
  ],
  ...[
    'Via: ',
    'v:',
    'Contact: ',
    'm: ',
    'Contact: *',
    'From:',
    'To:',
    'Call-ID:',
    'CSeq: 1 INVITE',
    'l: ',
    'c: ',
  ],
  ...[
    'Route: <sip:203.0.113.1;lr>',
    'Refer-To: ',
    'Identity: ',
    'Content-Encoding: gzip',
    'Max-Forwards: 70',
  ],
  ...[
    'Content-Length: 0',
    'Content-Type: application/sdp',
    'Content-Type: multipart/mixed;boundary=b',
    '--b',
    '--b--',
  ],
  ...[
    ';rport',
    ';rport=5060',
    ';received=203.0.113.1',
    ';branch=z9hG4bK',
    ';branch=z9hG4bK-sipalg-',
    ';maddr=1.2.3.4',
  ],
  ...[';transport=tcp', ';transport=udp', ';tag=a1', ';expires=0', ';expires=60', ';lr', ';q=0.5'],
  ...[
    '192.168.1.50',
    '192.168.1.50:5060',
    '203.0.113.1',
    '203.0.113.1:5060',
    '198.51.100.5',
    '[2001:db8::1]',
    '0.0.0.0',
  ],
  ...[
    '\r\n',
    '\r\n\r\n',
    '\r\n ',
    '\n',
    '<',
    '>',
    '"',
    '\\"',
    '@',
    ';',
    ',',
    '?',
    '=',
    '%40',
    '*',
    '\0',
    '\xff',
  ],
  ...[
    'c=IN IP4 192.168.1.50',
    'm=audio 4000 RTP/AVP 0',
    'm=audio 0 RTP/AVP 0',
    'a=rtcp:4001',
    'a=rtcp:5000 IN IP4 ',
  ],
  ...[
    'a=ice-ufrag:x',
    'a=candidate:1 1 UDP 1 192.168.1.50 4000 typ host',
    'a=rtcp-mux',
    'm=image 4010 udptl t38',
  ],
];

/** A request or response that is valid but for what chance puts in. */
export function generateMessage(random: Random): string {
  const isRequest = random.once(2);
  const method = random.pick([
    'INVITE',
    'REGISTER',
    'ACK',
    'BYE',
    'UPDATE',
    'PRACK',
    'OPTIONS',
    'REFER',
    'X',
  ]);
  const start = isRequest
    ? `${method} ${generateUri(random)} SIP/2.0`
    : `SIP/2.0 ${random.pick([100, 180, 183, 200, 302, 401, 481, 485, 699])} ${random.pick(['OK', '', 'a b'])}`;
  const name = (long: string, short: string): string => (random.once(4) ? short : long);
  const fields = [
    `${name('Via', 'v')}: ${generateVia(random)}`,
    `${name('From', 'f')}: ${generateNameAddr(random)};tag=a${random.below(3)}`,
    `${name('To', 't')}: ${generateNameAddr(random)}${random.once(2) ? ';tag=b1' : ''}`,
    `${name('Call-ID', 'i')}: c${random.below(3)}@x`,
    `CSeq: ${1 + random.below(3)} ${method}`,
    'Max-Forwards: 70',
  ];
  for (let n = random.below(4); n > 0; n--)
    fields.push(`${name('Contact', 'm')}: ${list(random, 3, () => generateNameAddr(random))}`);
  if (random.once(3)) fields.push(`Via: ${list(random, 3, () => generateVia(random))}`);
  if (random.once(4)) fields.push(`Refer-To: ${generateNameAddr(random)}`);
  if (random.once(4)) fields.push(`Route: ${list(random, 3, () => generateNameAddr(random))}`);
  if (random.once(4)) fields.push(`Record-Route: ${list(random, 3, () => generateNameAddr(random))}`);
  if (random.once(6)) fields.push('Authorization: Digest qop=auth, nc=1');
  if (random.once(12)) fields.push('Identity: "x"');
  if (random.once(4)) fields.push(`Expires: ${random.pick(['0', '60', '99999999999', 'x'])}`);
  if (random.once(3)) fields.sort(() => random.below(3) - 1);
  const kind = random.below(4);
  if (kind === 0) return message([start, ...fields], random.once(2) ? '' : undefined);
  if (kind === 1) return message([start, ...fields, 'Content-Type: multipart/mixed;boundary=b'], parts);
  const body = generateDescription(random);
  return message([start, ...fields, `${name('Content-Type', 'c')}: application/sdp`], body);
}

export function generateVia(random: Random): string {
  const white = (): string => (random.once(5) ? random.pick([' ', '\r\n ', '\t']) : '');
  const parameters = ['rport', 'rport=5060', 'branch=z9hG4bKx', `received=${EXTERNAL}`, 'ttl=1', 'x="a,;b"'];
  let text = `SIP${white()}/${white()}2.0${white()}/${white()}${random.pick(['UDP', 'TCP', 'TLS', 'X'])} `;
  text += generateHost(random);
  if (random.once(2))
    text += `${white()}:${white()}${random.pick(['5060', '5060', '1', '65535', '0', '65536', '05060'])}`;
  for (let n = random.below(4); n > 0; n--) text += `${white()};${white()}${random.pick(parameters)}`;
  return text;
}

export function generateNameAddr(random: Random): string {
  const uri = generateUri(random);
  if (random.once(4)) return uri;
  const display = random.pick(['', 'Alice ', 'A B ', '"q" ', '"\\"<,;" ', "it's~ok "]);
  return `${display}<${uri}>${random.pick(['', '', ';x=1', ';q=0.5;expires=60', ';a="b;c"', ' ; y'])}`;
}

export function generateUri(random: Random): string {
  const scheme = random.pick(['sip:', 'sip:', 'sip:', 'SIP:', 'sips:', 'tel:', 'http://']);
  const user = random.pick(['', 'alice@', 'a%40b@', 'a;b?c/d@', 'alice:pw@', '+1-2@', '@', 'a@b@']);
  const port = random.pick(['', '', ':5060', ':40000', ':1', ':65535', ':0', ':65536', ':', ':x']);
  const rest = random.pick([
    '',
    '',
    ';ob',
    ';transport=udp',
    ';maddr=192.0.2.3',
    ';lr',
    '?Subject=x',
    ';x=1?y=2',
  ]);
  return `${scheme}${user}${generateHost(random)}${port}${rest}`;
}

export function generateHost(random: Random): string {
  return random.pick([
    PHONE,
    PHONE,
    EXTERNAL,
    EXTERNAL,
    '198.51.100.5',
    '192.168.1.51',
    'example.net',
    '[2001:db8::1]',
    '[::ffff:192.0.2.1]',
    '[v]',
    '0.0.0.0',
    '256.1.1.1',
    '1.2.3',
    'a-b_c.d',
    '',
  ]);
}

export function generateDescription(random: Random): string {
  const end = random.once(8) ? '\n' : '\r\n';
  const host = (): string =>
    random.pick([PHONE, PHONE, '192.168.1.51', '198.51.100.9', '0.0.0.0', 'host.example']);
  const lines = ['v=0', `o=- 1 1 IN IP4 ${host()}`, 's=-'];
  if (!random.once(5)) lines.push(`c=IN IP4 ${host()}`);
  lines.push('t=0 0');
  for (let n = random.below(5); n > 0; n--) {
    const port = random.pick([4000, 4002, 4001, 0, 65535, 65534, 70000, 1]);
    const count = random.pick(['', '', '', '/1', '/2', '/255', '/0']);
    const protocol = random.pick(['RTP/AVP', 'RTP/SAVPF', 'udptl', 'TCP/MSRP', 'UDP/TLS/RTP/SAVPF', 'UDP']);
    lines.push(`m=${random.pick(['audio', 'video', 'image'])} ${port}${count} ${protocol} 0`);
    if (random.once(4)) lines.push(`c=IN IP4 ${host()}`);
    if (random.once(4)) lines.push(`c=IN IP6 ${random.pick(['2001:db8::9', '::', 'x'])}`);
    if (random.once(3))
      lines.push(`a=rtcp:${random.pick(['4001', '0', '9', '65536', `4003 IN IP4 ${host()}`])}`);
    if (random.once(8)) lines.push('a=rtcp-mux');
    for (let c = random.once(5) ? 1 + random.below(3) : 0; c > 0; c--)
      lines.push(
        `a=candidate:1 1 ${random.pick(['UDP', 'udp', 'TCP'])} 9 ${host()} ${random.pick([4000, 9, 0])} typ ${random.pick(
          ['host', `srflx raddr ${PHONE} rport 4000`],
        )}`,
      );
    if (random.once(8)) lines.push('a=ice-ufrag:u');
  }
  return lines.join(end) + (random.once(8) ? '' : end);
}

function list(random: Random, most: number, make: () => string): string {
  return Array.from({ length: 1 + random.below(most) }, make).join(random.pick([', ', ',', ' ,\r\n ']));
}
