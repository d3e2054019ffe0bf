/**
 * What the gateway does with every message of RFC 4475 and RFC 5118.
 *
 * `pass`: not understood, or nothing in it for a NAT; it leaves as it came, whoever is inside. `translate`: understood, and
 * where one of its addresses is a phone's, exactly the named rules edit, and no other octet changes.
 */
import type { RuleId } from '../../src/core/alg/rules.ts';

export interface Inside {
  /** `phone`: the message comes from this address. `mapping`: it goes to a phone that has this external address. */
  readonly as: 'phone' | 'mapping';
  readonly address: string;
  readonly port?: number;
  readonly rules: readonly RuleId[];
  /** With origin = translate, o= changes as well. */
  readonly origin?: true;
}

export interface Row {
  readonly rfc: 4475 | 5118;
  readonly file: string;
  /** Empty: in the archive of the RFC, or made from one of its messages, but not described in it. */
  readonly section: string;
  readonly expect: 'translate' | 'pass';
  readonly why: string;
  readonly inside?: readonly Inside[];
}

const SDP: readonly RuleId[] = ['content-length', 'sdp.connection', 'sdp.media-port'];

const via = (address: string, port?: number): Inside => ({
  as: 'phone',
  address,
  rules: ['via.sent-by'],
  ...(port === undefined ? {} : { port }),
});
const contact = (address: string): Inside => ({ as: 'phone', address, rules: ['contact.host-port'] });
const both = (address: string): Inside => ({
  as: 'phone',
  address,
  rules: ['via.sent-by', 'contact.host-port'],
});
const session = (address: string): Inside => ({ as: 'phone', address, rules: SDP, origin: true });
const restored = (address: string): Inside => ({ as: 'mapping', address, rules: ['via.sent-by.restore'] });
const asked = (address: string, port?: number): Inside => ({
  as: 'mapping',
  address,
  rules: ['request-uri.host-port'],
  ...(port === undefined ? {} : { port }),
});

type Short = readonly [
  file: string,
  section: string,
  expect: 'translate' | 'pass',
  why: string,
  inside?: readonly Inside[],
];

const rfc4475: readonly Short[] = [
  [
    'wsinv',
    '3.1.1.1',
    'translate',
    'folds and white space are legal, and stay around what changes',
    [
      via('192.0.2.2'),
      { as: 'phone', address: '192.0.2.4', rules: SDP },
      { as: 'phone', address: '192.0.2.3', rules: [], origin: true },
    ],
  ],
  ['intmeth', '3.1.1.2', 'translate', 'any token is a method; no address in it is a literal'],
  ['esc01', '3.1.1.3', 'translate', 'escapes are compared and written as they stand', [session('192.0.2.1')]],
  ['escnull', '3.1.1.4', 'translate', 'an escaped NUL is three characters'],
  ['esc02', '3.1.1.5', 'translate', 'a method and a header name are no URI: % is a character in them'],
  ['lwsdisp', '3.1.1.6', 'translate', 'white space before < may be absent'],
  ['longreq', '3.1.1.7', 'translate', 'long values cost time, not correctness', [session('192.0.2.1')]],
  ['dblreq', '3.1.1.8', 'translate', 'what follows the body is no part of the message', [via('192.0.2.125')]],
  ['semiuri', '3.1.1.9', 'translate', 'the userinfo ends at @, and ; may stand in it', [via('192.0.2.1')]],
  ['transports', '3.1.1.10', 'translate', 'Vias below the topmost are never read'],
  [
    'mpart01',
    '3.1.1.11',
    'translate',
    'the Identity of RFC 4474 covers Contact and body, so only the Via changes',
    [via('127.0.0.1', 5070)],
  ],
  [
    'unreason',
    '3.1.1.12',
    'translate',
    'a reason phrase is any UTF-8',
    [session('192.0.2.198'), restored('192.0.2.198')],
  ],
  ['noreason', '3.1.1.13', 'translate', 'an empty reason phrase keeps its space', [restored('192.0.2.105')]],
  ['badinv01', '3.1.2.1', 'pass', 'separators that separate nothing: Via and Contact are not understood'],
  ['clerr', '3.1.2.2', 'pass', 'Content-Length is more than arrived'],
  ['ncl', '3.1.2.3', 'pass', 'Content-Length is negative'],
  ['scalar02', '3.1.2.4', 'pass', 'CSeq and Max-Forwards are out of range'],
  ['scalarlg', '3.1.2.5', 'pass', 'CSeq is out of range'],
  ['quotbal', '3.1.2.6', 'pass', 'a quoted string does not end'],
  ['ltgtruri', '3.1.2.7', 'pass', 'the Request-URI is in angle brackets'],
  ['lwsruri', '3.1.2.8', 'pass', 'white space inside the Request-URI'],
  ['lwsstart', '3.1.2.9', 'pass', 'more than one space in the start line'],
  ['trws', '3.1.2.10', 'pass', 'a space behind the version'],
  ['escruri', '3.1.2.11', 'pass', 'a Request-URI may hold no header fields'],
  [
    'baddate',
    '3.1.2.12',
    'translate',
    'a Date is none of a NAT’s business, so a bad one hinders nothing',
    [session('192.0.2.5')],
  ],
  ['regbadct', '3.1.2.13', 'pass', 'a Contact with "?" needs brackets'],
  ['badaspec', '3.1.2.14', 'pass', 'spaces inside the brackets of To'],
  ['baddn', '3.1.2.15', 'pass', 'a display name that needs quotes; no empty line ends the header'],
  ['badvers', '3.1.2.16', 'pass', 'SIP/7.0 is not known'],
  ['mismatch01', '3.1.2.17', 'pass', 'CSeq names another method'],
  ['mismatch02', '3.1.2.18', 'pass', 'CSeq names another method'],
  ['bigcode', '3.1.2.19', 'pass', 'a status code has three digits'],
  ['badbranch', '3.2.1', 'translate', 'an empty branch is a branch', [via('192.0.2.1')]],
  ['insuf', '3.3.1', 'pass', 'Call-ID, From and To are missing'],
  ['unkscm', '3.3.2', 'translate', 'an unknown scheme is opaque'],
  ['novelsc', '3.3.3', 'translate', 'an unknown scheme is opaque, also where an address is in it'],
  ['unksm2', '3.3.4', 'translate', 'unknown schemes in To, From and Contact are opaque', [via('192.0.2.21')]],
  ['bext01', '3.3.5', 'translate', 'options are for the two ends'],
  ['invut', '3.3.6', 'translate', 'a body of unknown type is opaque'],
  ['regaut01', '3.3.7', 'translate', 'credentials are never read but for their qop', [via('192.0.2.253')]],
  ['multi01', '3.3.8', 'pass', 'From, To, Call-ID, CSeq and Max-Forwards stand twice'],
  ['mcl01', '3.3.9', 'pass', 'Content-Length stands twice'],
  [
    'bcast',
    '3.3.10',
    'translate',
    'nothing is ever sent to what a Via says but by the transaction',
    [session('192.0.2.198'), restored('192.0.2.198')],
  ],
  ['zeromf', '3.3.11', 'translate', 'Max-Forwards is not counted'],
  ['cparam01', '3.3.12', 'translate', 'without brackets, parameters belong to the header field'],
  ['cparam02', '3.3.13', 'translate', 'in brackets, parameters belong to the URI'],
  ['regescrt', '3.3.14', 'translate', 'escaped header fields of a Contact stay'],
  [
    'sdp01',
    '3.3.15',
    'translate',
    'Accept is none of a NAT’s business; Via and c= are two hosts',
    [via('192.0.2.15'), session('192.0.2.5')],
  ],
  [
    'inv2543',
    '3.4.1',
    'translate',
    'RFC 2543: no branch, no tag, no Content-Length, and none is added',
    [{ as: 'phone', address: '192.0.2.5', rules: ['sdp.connection', 'sdp.media-port'], origin: true }],
  ],
  ['extra/test', '', 'pass', 'no version in the start line'],
  ['extra/baddn.blankline', '', 'pass', 'a display name that needs quotes'],
  ['extra/badcseq', '', 'pass', 'CSeq is not a number'],
];

const rfc5118: readonly Short[] = [
  [
    'ipv6-good',
    '4.1',
    'translate',
    'an IPv6 reference is in brackets',
    [via('2001:db8::9:1'), contact('2001:db8::1'), asked('2001:db8::10')],
  ],
  ['ipv6-bad', '4.2', 'pass', 'without brackets, host and port cannot be told apart'],
  [
    'port-ambiguous',
    '4.3',
    'translate',
    '5070 is the last group of the address',
    [via('2001:db8::9:1'), contact('2001:db8::1'), asked('2001:db8::10:5070')],
  ],
  [
    'port-unambiguous',
    '4.4',
    'translate',
    '5070 behind the brackets is the port',
    [via('2001:db8::9:1'), contact('2001:db8::1'), asked('2001:db8::10', 5070)],
  ],
  [
    'via-received-param-with-delim',
    '4.5',
    'translate',
    'received with brackets is accepted',
    [via('2001:db8::9:1'), asked('2001:db8::10')],
  ],
  [
    'via-received-param-no-delim',
    '4.5',
    'translate',
    'received without brackets ends at the semicolon',
    [both('2001:db8::9:1'), asked('2001:db8::10')],
  ],
  ['ipv6-in-sdp', '4.6', 'pass', 'as printed, Content-Length is more than arrived'],
  [
    'ipv6-in-sdp.clfixed',
    '4.6',
    'translate',
    'IN IP6 has no brackets',
    [
      {
        as: 'phone',
        address: '2001:db8::20',
        rules: ['via.sent-by', 'contact.host-port', ...SDP],
        origin: true,
      },
      asked('2001:db8::10'),
    ],
  ],
  [
    'mult-ip-in-header',
    '4.7',
    'translate',
    'the topmost Via is IPv6, and those below are never read',
    [via('2001:db8::9:1', 6050)],
  ],
  ...['mult-ip-in-sdp', 'mult-ip-in-sdp.clfixed'].map(
    (file): Short => [
      file,
      '4.8',
      'translate',
      'each c= is judged by itself, IPv4 and IPv6',
      [
        { as: 'phone', address: '192.0.2.1', rules: SDP },
        { as: 'phone', address: '2001:db8::1', rules: SDP },
        both('2001:db8::9:1'),
        asked('2001:db8::10'),
      ],
    ],
  ),
  ...['ipv4-mapped-ipv6', 'ipv4-mapped-ipv6.clfixed'].map(
    (file): Short => [file, '4.9', 'translate', 'an IPv4-mapped literal is not the IPv4 address'],
  ),
  ['ipv6-bug-abnf-3-colons', '4.10', 'translate', 'three colons are no address, and hinder nothing'],
  ['ipv6-correct-abnf-2-colons', '4.10', 'translate', 'an address that ends in IPv4 is IPv6'],
];

export const table: readonly Row[] = [
  ...rfc4475.map((row) => rowOf(4475, row)),
  ...rfc5118.map((row) => rowOf(5118, row)),
];

function rowOf(rfc: Row['rfc'], [file, section, expect, why, inside]: Short): Row {
  return { rfc, file, section, expect, why, ...(inside === undefined ? {} : { inside }) };
}
