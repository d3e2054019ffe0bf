/**
 * Families of inputs that are made to be dear, each of any length: what a reader looks for and does not find, what it finds
 * far too often, what makes it go back to where it was.
 */
import { description, EXTERNAL, message, PHONE, PROVIDER } from './messages.ts';

export interface Family {
  readonly name: string;
  /** About `size` octets. */
  readonly make: (size: number) => string;
}

const VIA = `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKa;rport`;
const REST = ['From: <sip:a@x>;tag=a1', 'To: <sip:b@x>', 'Call-ID: 1', 'CSeq: 1 INVITE'];

/** A piece as often as it goes into the size; `of` makes each with its number. */
function repeated(size: number, of: (index: number) => string, between = ''): string {
  const pieces: string[] = [];
  for (let length = 0; length < size; ) {
    const piece = of(pieces.length);
    pieces.push(piece);
    length += piece.length + between.length;
  }
  return pieces.join(between);
}

/** A field in an INVITE of the phone; `contact` in the place of its Contact. */
function field(name: string, make: (size: number) => string): Family {
  return {
    name,
    make: (size) => message(['INVITE sip:b@x SIP/2.0', VIA, ...REST, make(size - 200), 'Content-Length: 0']),
  };
}

function run(name: string, prefix: string, unit: string, suffix = ''): Family {
  return field(name, (size) => prefix + unit.repeat(Math.max(1, Math.floor(size / unit.length))) + suffix);
}

function start(name: string, make: (size: number) => string): Family {
  return { name, make: (size) => message([make(size - 200), VIA, ...REST, 'Content-Length: 0']) };
}

function body(name: string, type: string, make: (size: number) => string): Family {
  return {
    name,
    make: (size) =>
      message(['INVITE sip:b@x SIP/2.0', VIA, ...REST, `Content-Type: ${type}`], make(size - 250)),
  };
}

const sdp = (name: string, make: (size: number) => string): Family =>
  body(name, 'application/sdp', (size) => description(PHONE, 4000) + make(size));

const response = (name: string, make: (size: number) => string): Family => ({
  name,
  make: (size) =>
    message([
      'SIP/2.0 200 OK',
      `Via: SIP/2.0/UDP ${EXTERNAL}:5060;branch=z9hG4bKa;received=${EXTERNAL};rport=5060`,
      ...REST.slice(0, 3),
      'CSeq: 1 REGISTER',
      make(size - 250),
      'Content-Length: 0',
    ]),
});

const nested = (size: number): string => {
  const levels = Math.max(1, Math.floor(size / 80));
  let text = '';
  for (let i = 0; i < levels; i++)
    text += `--b\r\nContent-Type: multipart/mixed;boundary=b${i}\r\n\r\n--b${i}\r\n\r\n`;
  return text;
};

/** As many media descriptions beside the first as the engine looks at. */
const fifteen = (of: (index: number) => string): string =>
  Array.from({ length: 15 }, (_, i) => of(i)).join('\r\n');

const SDP_PART = `--b\r\nContent-Type: application/sdp\r\n\r\n${description(PHONE, 4000)}\r\n`;

/** A message of the phone. */
export const outbound: readonly Family[] = [
  { name: 'nothing but noise', make: (size) => '\xff'.repeat(size) },
  { name: 'a token without end', make: (size) => 'A'.repeat(size) },
  { name: 'empty lines first', make: (size) => `${'\r\n'.repeat(size / 2)}INVITE` },
  { name: 'line feeds alone', make: (size) => `INVITE sip:b@x SIP/2.0\r\nA: ${'\n'.repeat(size)}` },
  { name: 'carriage returns alone', make: (size) => `INVITE sip:b@x SIP/2.0\r\nA: ${'\r'.repeat(size)}` },
  {
    name: 'a header that does not end',
    make: (size) => `INVITE sip:b@x SIP/2.0\r\n${'A: b\r\n'.repeat(size / 6)}`,
  },
  {
    name: 'a fold that does not end',
    make: (size) => `INVITE sip:b@x SIP/2.0\r\nA: b${'\r\n '.repeat(size / 3)}`,
  },
  start('a long Request-URI', (size) => `INVITE sip:b@x${';a=b'.repeat(size / 4)} SIP/2.0`),
  start('at signs in the Request-URI', (size) => `INVITE sip:${'@'.repeat(size)} SIP/2.0`),
  start('question marks in the Request-URI', (size) => `INVITE sip:${'?'.repeat(size)}@x SIP/2.0`),
  start('brackets in the Request-URI', (size) => `INVITE sip:${'['.repeat(size)} SIP/2.0`),
  start('maddr many times', (size) => `INVITE sip:b@x${';maddr='.repeat(size / 7)} SIP/2.0`),
  field('many Via fields', (size) => repeated(size, () => VIA, '\r\n')),
  {
    name: 'many Vias in one field',
    make: (size) =>
      message([
        'INVITE sip:b@x SIP/2.0',
        repeated(size - 200, (i) => (i === 0 ? VIA : 'SIP/2.0/UDP a'), ','),
        ...REST,
      ]),
  },
  {
    name: 'many Via parameters',
    make: (size) => message(['INVITE sip:b@x SIP/2.0', VIA + ';a=b:c'.repeat(size / 6), ...REST]),
  },
  {
    name: 'white space in Via',
    make: (size) =>
      message([
        'INVITE sip:b@x SIP/2.0',
        `Via: SIP/2.0/UDP ${PHONE}${'\r\n '.repeat(size / 3)}: 5060`,
        ...REST,
      ]),
  },
  field('many short fields', (size) => repeated(size, () => 'a:', '\r\n')),
  field('many long names', (size) => repeated(size, () => `${'a'.repeat(64)}:b`, '\r\n')),
  field('many known fields', (size) => repeated(size, () => 'Expires: 1', '\r\n')),
  field('many Contact fields', (size) => repeated(size, () => `Contact: <sip:a@${PHONE}:5060>`, '\r\n')),
  field(
    'many Contacts in one field',
    (size) => `Contact: ${repeated(size, () => `<sip:a@${PHONE}:5060>`, ',')}`,
  ),
  field(
    'Contacts with many ports',
    (size) => `Contact: ${repeated(size, (i) => `<sip:a@${PHONE}:${1024 + (i % 60_000)}>`, ',')}`,
  ),
  field(
    'Contacts with many users',
    (size) => `Contact: ${repeated(size, (i) => `<sip:${i}@${PHONE}>`, ',')}`,
  ),
  run('a quote that does not end', 'Contact: ', '"'),
  run('a quoted string that does not end', 'Contact: "', 'a'),
  run('backslashes in quotes', 'Contact: "', '\\', '" <sip:a@x>'),
  run('display names without an address', 'Contact: ', 'a '),
  run('angle brackets', 'Contact: ', '<'),
  run('closing brackets', 'Contact: <sip:a@x', '>'),
  run('semicolons', 'Contact: <sip:a@x>', ';'),
  run('parameters', 'Contact: <sip:a@x>', ';a=b'),
  run('parameters that open brackets', 'Contact: <sip:a@x>', ';a=['),
  run('parameters that open quotes', 'Contact: <sip:a@x>', ';a="'),
  run('commas', 'Contact: ', ','),
  run('equals signs', 'Contact: <sip:a@x>;a', '='),
  run('colons', 'Contact: sip', ':'),
  run('URI parameters', `Contact: <sip:a@${PHONE}`, ';a=b', '>'),
  run('URI parameters without values', `Contact: <sip:a@${PHONE}`, ';', '>'),
  run('transport at the end', `Contact: <sip:a@${PHONE}`, ';transpor', ';transport=udp>'),
  run('folds', 'Subject: a', '\r\n '),
  run('white space', 'Subject: a', ' \t'),
  run('white space behind', 'Contact: <sip:a@x>', ' '),
  run('digits', 'Max-Forwards: ', '0'),
  run('nothing at all', 'Subject: ', '\0'),
  run('a long From', 'X: <sip:a@x>', ';tag=a'),
  field(
    'Refer-To with many values',
    (size) => `Refer-To: ${repeated(size, () => `<sip:a@${PHONE}:5060>`, ',')}`,
  ),
  field('many Refer-To fields', (size) => repeated(size, () => `Refer-To: <sip:a@${PHONE}>`, '\r\n')),
  field('Route with many values', (size) => `Route: ${repeated(size, () => '<sip:192.168.1.1;lr>', ',')}`),
  field('many Route fields', (size) => repeated(size, () => 'Route: <sip:192.168.1.1;lr>', '\r\n')),
  field(
    'Record-Route with many values',
    (size) => `Record-Route: ${repeated(size, () => `<sip:${PHONE};lr>`, ',')}`,
  ),
  field('credentials', (size) => `Authorization: Digest ${repeated(size, () => 'qop = "', ' ')}`),
  field('credentials with white space', (size) => `Authorization: Digest qop${' '.repeat(size)}=`),
  field('many credentials', (size) => repeated(size, () => 'Authorization: qop', '\r\n')),
  field('two long tags', (size) => `Identity: ${'a'.repeat(size)};info`),
  sdp('attributes', (size) => repeated(size, () => 'a=x', '\r\n')),
  sdp('media of the phone', (size) =>
    repeated(size, (i) => `m=audio ${4002 + 2 * (i % 30_000)} RTP/AVP 0`, '\r\n'),
  ),
  sdp('media with all their ports', (size) =>
    repeated(size, (i) => `m=audio ${(4002 + 600 * i) % 60_000}/255 RTP/AVP 0`, '\r\n'),
  ),
  sdp('media with rtcp elsewhere', (size) =>
    repeated(size, (i) => `m=audio ${4002 + 2 * (i % 30_000)} RTP/AVP 0\r\na=rtcp:${5 + i}`, '\r\n'),
  ),
  sdp('refused media', (size) => repeated(size, () => 'm=audio 0 RTP/AVP 0', '\r\n')),
  sdp(
    'connection data',
    (size) => `m=audio 4002 RTP/AVP 0\r\n${repeated(size, () => `c=IN IP4 ${PHONE}`, '\r\n')}`,
  ),
  sdp('candidates', (size) =>
    repeated(size, (i) => `a=candidate:1 1 UDP 9 ${PHONE} ${1024 + (i % 60_000)} typ host`, '\r\n'),
  ),
  sdp('media with candidates', (size) =>
    fifteen(
      (n) =>
        `m=audio 4002 RTP/AVP 0\r\n${repeated(size / 15, (i) => `a=candidate:1 1 UDP 9 ${PHONE} ${1024 + ((n * 4096 + i) % 60_000)} typ host`, '\r\n')}`,
    ),
  ),
  sdp(
    'fifteen media and attributes',
    (size) =>
      `${fifteen((n) => `m=audio ${4002 + 2 * n} RTP/AVP 0`)}\r\n${repeated(size, () => 'a=x', '\r\n')}`,
  ),
  sdp('empty lines', (size) => '\n'.repeat(size)),
  sdp('empty lines with something behind', (size) => `${'\r\n'.repeat(size / 2)}x`),
  sdp('one long line', (size) => `a=${'x '.repeat(size / 2)}`),
  sdp('a connection of spaces', (size) => `c=IN IP4 ${PHONE}${' '.repeat(size)}`),
  sdp('an origin of spaces', (size) => `o=${'x '.repeat(size / 2)}`),
  body('lines that nearly are boundaries', `multipart/mixed;boundary=${'b'.repeat(69)}`, (size) =>
    repeated(size, () => `--${'b'.repeat(68)}`, '\r\n'),
  ),
  body('boundaries with white space', 'multipart/mixed;boundary=b', (size) =>
    repeated(size, () => `--b${' '.repeat(60)}x`, '\r\n'),
  ),
  body('many parts', 'multipart/mixed;boundary=b', (size) => repeated(size, () => SDP_PART)),
  body('parts with media', 'multipart/mixed;boundary=b', (size) =>
    repeated(
      size,
      (n) =>
        `--b\r\nContent-Type: application/sdp\r\n\r\n${description(PHONE, 2000 + 64 * n, [fifteen((i) => `m=audio ${2002 + 64 * n + 2 * i} RTP/AVP 0`)])}\r\n`,
    ),
  ),
  body('nested multiparts', 'multipart/mixed;boundary=b', nested),
  body(
    'a part that is not closed',
    'multipart/mixed;boundary=b',
    (size) => `--b\r\nContent-Type: application/sdp\r\n\r\n${'v=0\r\n'.repeat(size / 5)}`,
  ),
  body(
    'part headers without end',
    'multipart/mixed;boundary=b',
    (size) => `--b\r\n${'a: b\r\n'.repeat(size / 6)}`,
  ),
  body(
    'folded part headers',
    'multipart/mixed;boundary=b',
    (size) => `--b\r\na: b${'\r\n '.repeat(size / 3)}\r\n--b--`,
  ),
  field('media type parameters', (size) => `Content-Type: multipart/mixed${';a=b'.repeat(size / 4)}`),
];

/** A message of the provider. */
export const inbound: readonly Family[] = [
  response(
    'a registrar that lists many',
    (size) => `Contact: ${repeated(size, () => '<sip:b@192.0.2.9>;expires=60', ',')}`,
  ),
  response(
    'a registrar that lists the phone often',
    (size) => `Contact: ${repeated(size, () => `<sip:a@${EXTERNAL}:5060>;expires=60`, ',')}`,
  ),
  response(
    'a registrar that lists many users',
    (size) => `Contact: ${repeated(size, (i) => `<sip:${i}@${EXTERNAL}:5060>;expires=60`, ',')}`,
  ),
  response('many Expires fields', (size) => repeated(size, () => 'Expires: 60', '\r\n')),
  response(
    'parameters before expires',
    (size) => `Contact: <sip:a@${EXTERNAL}:5060>${';a=b'.repeat(size / 4)};expires=60`,
  ),
  ...outbound
    .filter(({ name }) => /media|candidates|parts|connection|multiparts|attributes/.test(name))
    .map(({ name, make }) => ({
      name: `from the provider: ${name}`,
      make: (size: number) =>
        make(size)
          .replaceAll(PHONE, '198.51.100.9')
          .replace('INVITE sip:b@x', `INVITE sip:a@${EXTERNAL}:5060`)
          .replace(/Via: [^;]*/, `Via: SIP/2.0/UDP ${PROVIDER}`),
    })),
];

/** Texts of a configuration. */
export const configurations: readonly Family[] = [
  { name: 'unknown keys', make: (size) => repeated(size, (i) => `k${i} = 1`, '\n') },
  { name: 'unknown tables', make: (size) => repeated(size, (i) => `[t${i}]`, '\n') },
  { name: 'phones', make: (size) => repeated(size, () => '[[phone]]\naddress = "192.168.1.7"', '\n') },
  { name: 'lists in lists', make: (size) => `internal = ${'['.repeat(size)}` },
  { name: 'a list of many', make: (size) => `internal = [${repeated(size, (i) => `"e${i}"`, ',')}]` },
  { name: 'a dotted key', make: (size) => `${repeated(size, () => 'a', '.')} = 1` },
  { name: 'one long text', make: (size) => `state-dir = "${'/a'.repeat(size / 2)}"` },
  { name: 'a text that does not end', make: (size) => `state-dir = "${'a'.repeat(size)}` },
  { name: 'comments', make: (size) => repeated(size, () => '#', '\n') },
];
