/**
 * The simulated boxes, one for each fault that a box on the way can show: what it does to messages, packets and timers, which
 * step of a check shows it, and under which name. Where a check has no probe for a fault, the row says why.
 */
import type { FaultId } from '../../../src/core/detect/faults.ts';
import { addressOctets, type Endpoint } from '../../../src/core/net/address.ts';
import { SERVER } from '../lab.ts';
import type { Behaviour, Passing } from './box.ts';
import {
  addressIn,
  body,
  bodyReplaced,
  dropped,
  type Edit,
  field,
  inbound,
  isRequest,
  methodOf,
  outbound,
  replaced,
} from './edits.ts';
import { helper } from './helper.ts';
import type { Packet } from './packet.ts';
import { cutSegments, dropSplitMessages, editWithoutNumbers, resetHandshakes } from './streams.ts';

export type Step =
  | 'phones'
  | 'burst'
  | 'names'
  | 'matrix'
  | 'call'
  | 'size'
  | 'tcp'
  | 'workaround'
  | 'carrier'
  | 'incoming'
  | 'nat'
  | 'stun'
  | 'dns'
  | 'hold'
  | 'tcp-idle'
  | 'idle';

export interface FaultyBox {
  readonly fault: FaultId;
  /** Made anew for each check: a box remembers. */
  readonly make: () => Behaviour;
  readonly step: Step;
  /** More options of the check that shows it. */
  readonly options?: readonly string[];
  /** Not with `--quick`, which leaves the method out. */
  readonly everyMethod?: boolean;
  /** The names that are right for it as well, where the check cannot tell more exactly. Default: the fault's own alone. */
  readonly names?: readonly FaultId[];
  /** What is nature and no fault is told as a fact: how its text has to read. */
  readonly fact?: RegExp;
  /** Why a check does not name it yet. */
  readonly gap?: string;
}

/** What a simulated box could show and no check looks for: the fault, and why. */
export const notProbed: readonly { readonly fault: FaultId; readonly why: string }[] = [
  { fault: 'SDP-SECOND-M', why: 'no probe offers video beside audio; bytes of both sides show it (diff)' },
  { fault: 'LEN-MULTIPART', why: 'no probe has a body of several parts; bytes of both sides show it (diff)' },
  { fault: 'BODY-GZIP-PGP', why: 'no probe has a signed body; bytes of both sides show it (diff)' },
  { fault: 'DROP-ICMP', why: 'no probe sends with DF' },
  { fault: 'MULTI-LIMIT', why: 'it takes as many phones as the box has room for' },
  { fault: 'STATE-WANIP', why: 'it takes a new address of the line during the check' },
  { fault: 'STATE-TOGGLE', why: 'it takes a change of the box during the check' },
  { fault: 'STATE-REENABLE', why: 'it takes a check some months later' },
  {
    fault: 'STATE-OFFLOAD',
    why: 'messages of one kind that are altered now and then are told under what was altered',
  },
  { fault: 'LAN-AUTOVOIP', why: 'it takes another way through the house' },
];

const box = (fault: FaultId, step: Step, message: Edit, more: Partial<FaultyBox> = {}): FaultyBox => ({
  fault,
  step,
  make: () => ({ message }),
  ...more,
});
const matrix = (fault: FaultId, message: Edit, more: Partial<FaultyBox> = {}): FaultyBox =>
  box(fault, 'matrix', message, more);
/** For methods which the quick matrix does not have. */
const whole = { everyMethod: true } as const;

const rewriting: readonly FaultyBox[] = [
  matrix(
    'ADDR-VIA',
    outbound((text, { inside, outside }) =>
      field(text, 'Via', (line) =>
        line.replace(`${inside.address}:${inside.port}`, `${outside.address}:${outside.port}`),
      ),
    ),
  ),
  matrix(
    'ADDR-CONTACT',
    outbound((text) => field(text, 'Contact', (line) => line.replace(/<sip:[^@]+@/, '<sip:phone@'))),
  ),
  matrix(
    'ADDR-CONTACT-200',
    inbound((text) => field(text, 'Contact', (line) => line.replace(/@203\.0\.113\.10/, '@203.0.113.1'))),
  ),
  matrix(
    'ADDR-CONTACT-STALE',
    outbound((text, { inside, outside }) =>
      ['Via', 'Contact'].reduce(
        (result, name) =>
          field(result, name, (line) =>
            line.replace(
              `${inside.address}:${inside.port}`,
              `${outside.address}:${outside.port + (name === 'Contact' ? 7 : 0)}`,
            ),
          ),
        text,
      ),
    ),
  ),
  matrix(
    'ADDR-RURI',
    outbound((text) => text.replace(/^([A-Z]+ sip:[^@]+@)203\.0\.113\.10:/, '$1203.0.113.99:')),
  ),
  matrix('ADDR-FROMTO', addressIn('From')),
  matrix('ADDR-CALLID', addressIn('Call-ID')),
  matrix(
    'ADDR-GLOBAL',
    outbound((text, { inside, outside }) =>
      body(text.replaceAll(inside.address, outside.address), (same) => same),
    ),
  ),
  matrix('ADDR-OTHER', replaced(/10\.66\.77\.88(?!:)/, '203.0.113.1')),
  matrix('ADDR-INNERVIA', replaced('10.66.77.88:5070', '203.0.113.1:5070')),
  matrix(
    'ADDR-ROUTE',
    inbound((text) => field(text, 'Record-Route', (line) => line.replace('203.0.113.10', '192.168.77.1'))),
  ),
  matrix('ADDR-AUTH', addressIn('Authorization')),
  box(
    'STUN-CLASH',
    'stun',
    outbound((text, { outside }) =>
      field(text, 'Contact', (line) =>
        line.replace(`@${outside.address}:${outside.port}`, `@${outside.address}:40999`),
      ),
    ),
  ),
  matrix('ADDR-REFER', addressIn('Refer-To'), whole),
  matrix(
    'ADDR-REVERSE',
    inbound((text, { inside }) =>
      field(text, 'Via', (line) => line.replace(/received=[\d.]+/, `received=${inside.address}`)),
    ),
  ),
  {
    fault: 'SRV-DEFEAT',
    step: 'idle',
    options: ['--idle', '1'],
    make: () => ({ ...helper(), nat: { lifetimes: () => [500, 500] } }),
  },
  {
    fault: 'ADDR-CTRLPORT',
    step: 'matrix',
    make: () => ({ message: addressIn('Call-ID'), everyPort: true }),
  },
  { fault: 'ADDR-ASYM', step: 'matrix', make: () => helper({ oneWay: true }) },
];

const syntax: readonly FaultyBox[] = [
  matrix('SYN-SEMI', replaced(';rport', 'rport')),
  matrix(
    'SYN-BRACKET',
    outbound((text) => field(text, 'Contact', (line) => line.replace('>', ''))),
  ),
  matrix(
    'SYN-PORTRANGE',
    outbound((text) => field(text, 'Contact', (line) => line.replace(/:\d+;transport/, ':70000;transport'))),
  ),
  matrix('SYN-PORTADD', replaced(/^(To: <sip:[^>:]+@[^>:]+)>/m, '$1:5060>')),
  matrix(
    'SYN-PORTDROP',
    outbound((text) => field(text, 'Contact', (line) => line.replace(/(@[\d.]+):\d+/, '$1'))),
  ),
  matrix('SYN-CRLF', replaced('Max-Forwards: 70\r\n', 'Max-Forwards: 70\n')),
  matrix('SYN-NUL', replaced('User-Agent: probe', 'User-Agent: pr\0be')),
  matrix('SYN-CASE', replaced('Max-Forwards:', 'max-forwards:')),
  matrix('SYN-ORDER', replaced(/(Max-Forwards:.*\r\n)(From:.*\r\n)/, '$2$1')),
  matrix('HDR-DUP', replaced(/(To:.*\r\n)/, '$1$1')),
  matrix('HDR-DROP', replaced(/Supported:.*\r\n/, '')),
  matrix('HDR-ADD', replaced('CSeq:', 'X-Router: was here\r\nCSeq:')),
  matrix('HDR-RPORT-STRIP', replaced(';rport', '')),
  matrix(
    'HDR-RECEIVED-FAKE',
    outbound((text, { outside }) =>
      isRequest(text) ? text.replace(';rport', `;rport;received=${outside.address}`) : text,
    ),
  ),
  matrix('HDR-BRANCH', replaced('branch=z9hG4bK', 'branch=z9hG4bKx')),
  matrix('HDR-MAXFWD', replaced('Max-Forwards: 70', 'Max-Forwards: 69')),
  matrix('HDR-EXPIRES', replaced(/^Expires: 300/m, 'Expires: 3600')),
  matrix(
    'LEN-WRONG',
    outbound((text, { outside, inside }) =>
      text.replaceAll(`IN IP4 ${inside.address}`, `IN IP4 ${outside.address}`),
    ),
  ),
  matrix('LEN-MISSING', replaced(/Content-Length:.*\r\n/, '')),
  box(
    'TRUNC',
    'size',
    outbound((text) => text.slice(0, 1024)),
  ),
];

const bodies: readonly FaultyBox[] = [
  matrix('SDP-C', bodyReplaced(/^c=IN IP4 .*$/m, 'c=IN IP4 203.0.113.99')),
  matrix('SDP-M', bodyReplaced(/^m=audio \d+/m, 'm=audio 0')),
  matrix('SDP-PART', bodyReplaced(/^(c=IN IP4 )192.*$/m, '$1203.0.113.1')),
  box('SDP-HOLD', 'call', bodyReplaced('a=sendonly', 'a=sendrecv')),
  { fault: 'SDP-200ONLY', step: 'matrix', make: () => helper({ requestsOnly: true }) },
  { fault: 'SDP-REINVITE', step: 'call', make: () => helper({ moves: true }) },
  matrix('SDP-ICE-STRIP', bodyReplaced(/^a=candidate.*\r\n/m, '')),
  matrix('SDP-CRYPTO-STRIP', bodyReplaced(/^a=setup.*\r\n/m, '')),
  matrix('SDP-ATTR-CUT', bodyReplaced(/^a=rtpmap:101.*\r\n/m, '')),
  matrix('BODY-BLF', bodyReplaced(/(entity="sip:[^@]+@)[\d.]+/, '$1203.0.113.1')),
  box('BODY-T38', 'call', bodyReplaced(/^a=T38FaxUdpEC.*\r\n/m, '')),
  matrix('BODY-MSG', bodyReplaced(/my address is [\d.]+,/, 'my address is 203.0.113.1,'), whole),
];

const passage: readonly FaultyBox[] = [
  matrix(
    'DROP-5060',
    dropped(() => true),
    // What is lost in both directions, and whole, may be the port as well.
  ),
  {
    fault: 'DROP-MALFORMED',
    step: 'stun',
    make: () => ({
      packet: (packet, { remote }) => (remote.port === 5060 && packet.payload[0] === 0 ? [] : [packet]),
    }),
  },
  matrix(
    'DROP-METHOD',
    dropped((text) => methodOf(text) === 'NOTIFY'),
  ),
  matrix(
    'DROP-MALFORMED',
    dropped((text) => text.includes('X-Spelt:')),
  ),
  matrix(
    'DROP-INBOUND',
    dropped((text, { direction }) => direction === 'to-client' && isRequest(text)),
  ),
  box(
    'DROP-ACKBYE',
    'call',
    dropped((text) => /^(?:ACK|BYE) /.test(text)),
  ),
  box(
    'TIME-32S',
    'call',
    dropped((text) => text.startsWith('ACK ')),
    { names: ['DROP-ACKBYE'] },
  ),
  {
    fault: 'DROP-FRAG',
    step: 'size',
    make: () => ({ packet: (packet) => (packet.payload.length > 1472 ? [] : [packet]) }),
  },
  matrix(
    'PROXY-B2B',
    outbound((text) =>
      isRequest(text)
        ? text
            .replace('Via:', 'Via: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKproxy\r\nVia:')
            .replace('Max-Forwards: 70', 'Max-Forwards: 69')
        : text,
    ),
  ),
  ...(['PROXY-ANSWER', 'PROXY-REDIRECT'] as const).map(
    (fault): FaultyBox =>
      matrix(
        fault,
        outbound((text, passing) => {
          if (!isRequest(text) || methodOf(text) !== 'REGISTER') return text;
          const lines = text.split('\r\n').filter((line) => /^(?:Via|From|To|Call-ID|CSeq):/.test(line));
          passing.answer(`SIP/2.0 200 OK\r\n${lines.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`);
          return undefined;
        }),
        { names: ['PROXY-ANSWER'] },
      ),
  ),
  {
    fault: 'DNS-ALG',
    step: 'dns',
    make: () => ({ packet: editAddressesInDns }),
  },
  { fault: 'PROXY-TCPSPLIT', step: 'tcp', make: cutSegments },
  { fault: 'TCP-SEG', step: 'tcp', make: dropSplitMessages },
  { fault: 'TCP-SEQ', step: 'tcp', make: editWithoutNumbers, names: ['TCP-SEQ', 'TCP-SEG'] },
  { fault: 'TLS-BLOCK', step: 'workaround', make: resetHandshakes },
  {
    fault: 'ADDR-V6',
    step: 'workaround',
    make: () => ({
      message: (text, { inside }) =>
        inside.address.includes(':')
          ? text.replace(`[${inside.address}]:${inside.port}`, `[2001:db8::99]:${inside.port}`)
          : text,
    }),
  },
];

/** Behind a NAT that lets in anybody, a box that lets SIP in from where the phone has sent to alone. */
const strangers = (isStranger: (remote: Endpoint) => boolean): Behaviour => ({
  nat: { openFiltering: true },
  everyPort: true,
  message: (text, { direction, remote }) =>
    direction === 'to-client' && isRequest(text) && isStranger(remote) ? undefined : text,
});

const nats: readonly FaultyBox[] = [
  { fault: 'DROP-SPI', step: 'incoming', make: () => strangers(({ port }) => port !== 5060) },
  { fault: 'DROP-STRICTREG', step: 'incoming', make: () => strangers((one) => one.address !== SERVER) },
  {
    fault: 'NAT-DOUBLE/CGN',
    step: 'carrier',
    make: () => ({ ownAddress: '100.64.0.2' }),
    fact: /external address is 100\.64\.0\.2 .* two NATs, and the second is the carrier/,
  },
  {
    fault: 'NAT-MAP-ADM/APDM',
    step: 'nat',
    make: () => ({ nat: { dependentMapping: true } }),
    fact: /another one towards each (?:address and )?port/,
  },
  {
    fault: 'NAT-PORTCHG-5060',
    step: 'stun',
    make: () => ({ nat: { keptPort: 5060 } }),
    fact: /keeps other source ports, and changes 5060/,
  },
  {
    fault: 'NAT-FILT-APDF',
    step: 'nat',
    make: () => ({}),
    fact: /only who was sent to may answer/,
  },
  {
    fault: 'NAT-HAIRPIN',
    step: 'nat',
    make: () => ({ nat: { noHairpin: true } }),
    fact: /does not come back in/,
  },
  {
    fault: 'NAT-REFRESH-IN',
    step: 'idle',
    options: ['--idle', '2'],
    make: () => ({ nat: { refreshedOutboundOnly: true, lifetimes: () => [1_300, 1_300] } }),
  },
  {
    fault: 'TIME-UDP-SHORT',
    step: 'idle',
    options: ['--idle', '1'],
    make: () => ({ nat: { lifetimes: () => [500, 500] } }),
  },
  {
    fault: 'TIME-UDP-TWOSTAGE',
    step: 'idle',
    options: ['--idle', '1'],
    make: () => ({ nat: { lifetimes: () => [500, 30_000] } }),
    fact: /lives longer than 1 s, .*; one that was never answered shorter than 1 s/,
  },
  {
    fault: 'TIME-ALG-SIGNAL',
    step: 'idle',
    options: ['--idle', '1'],
    make: () => ({ nat: { lifetimes: ({ port }) => (port === 5060 ? [500, 500] : [30_000, 120_000]) } }),
  },
  { fault: 'TIME-ALG-MEDIA', step: 'hold', options: ['--idle', '1'], make: forgetsMedia, ...whole },
  { fault: 'TIME-SESSION', step: 'hold', options: ['--idle', '1'], make: forgetsDialogs, ...whole },
  { fault: 'TIME-CALLMAX', step: 'hold', options: ['--long', '--idle', '2'], make: endsCalls, ...whole },
  {
    fault: 'TCP-IDLE',
    step: 'tcp-idle',
    options: ['--long', '--idle', '1'],
    make: forgetsConnections,
    ...whole,
  },
  { fault: 'MEDIA-PINHOLE', step: 'call', make: () => helper({ pinhole: 'none' }) },
  { fault: 'MEDIA-DIRECT', step: 'call', make: () => helper({ pinhole: 'signalling-peer' }) },
  { fault: 'MEDIA-RTCP', step: 'call', make: () => helper({ withoutRtcp: true }) },
  { fault: 'MEDIA-LEAK', step: 'call', make: () => helper({ leaks: true }) },
];

/** What passes in either direction, by the phone's socket; for so long it may be silent. */
function clock(limitMs: number): (key: string) => boolean {
  const last = new Map<string, number>();
  return (key) => {
    const now = performance.now();
    const isLate = now - (last.get(key) ?? now) > limitMs;
    if (!isLate) last.set(key, now);
    return isLate;
  };
}

/** As RFC 2694 has it: addresses of the inside become that of the outside, in what comes from name servers as well. */
function editAddressesInDns(packet: Packet, { remote, inside, outside }: Passing): readonly Packet[] {
  const at = packet.payload.indexOf(Buffer.from(addressOctets(inside.address)!));
  if (remote.port !== 53 || at < 0) return [packet];
  const payload = Buffer.from(packet.payload);
  payload.set(addressOctets(outside.address)!, at);
  return [{ ...packet, payload }];
}

const MEDIA_PORT = 32_100;

/** It forgets silent media by a clock of its own. */
function forgetsMedia(): Behaviour {
  const isLate = clock(600);
  return {
    packet: (packet, { remote, inside }) =>
      remote.port === MEDIA_PORT && packet.protocol === 'udp' && isLate(String(inside.port)) ? [] : [packet],
  };
}

/** It forgets silent dialogs by a clock of its own. */
function forgetsDialogs(): Behaviour {
  const isLate = clock(600);
  return { message: (text, { inside }) => (isLate(String(inside.port)) ? undefined : text) };
}

/** It lets calls be so long, and no longer. */
function endsCalls(): Behaviour {
  const first = new Map<number, number>();
  return {
    packet(packet, { remote, inside, direction }) {
      if (remote.port !== MEDIA_PORT) return [packet];
      const since = first.get(inside.port) ?? performance.now();
      first.set(inside.port, since);
      return direction === 'to-client' && performance.now() - since > 800 ? [] : [packet];
    },
  };
}

/** It forgets silent connections, and tells nobody. */
function forgetsConnections(): Behaviour {
  const isLate = clock(600);
  return {
    packet: (packet, { remote, inside }) =>
      packet.protocol === 'tcp' && remote.port === 5060 && isLate(String(inside.port)) ? [] : [packet],
  };
}

/** It lets so many messages of SIP through in a second. */
function rateLimit(most: number): Behaviour {
  let times: number[] = [];
  return {
    message(text) {
      const now = performance.now();
      times = [...times.filter((at) => now - at < 1000), now];
      return times.length > most ? undefined : text;
    },
  };
}

/** It knows one phone, the first that registers. */
function onePhone(): Behaviour {
  let first: number | undefined;
  return {
    message(text, { inside }) {
      if (methodOf(text) === 'REGISTER') first ??= inside.port;
      return inside.port === first ? text : undefined;
    },
  };
}

const several: readonly FaultyBox[] = [
  { fault: 'MULTI-SAMEPORT', step: 'phones', make: () => ({ nat: { sharedPort: 5060 } }) },
  { fault: 'MULTI-ONESERVER', step: 'phones', make: onePhone },
  { fault: 'DROP-RATE', step: 'burst', make: () => rateLimit(30), ...whole },
  box(
    'HDR-UA-FILTER',
    'names',
    dropped((text) => /^User-Agent:.*(?:friendly|sip(?:vicious|cli|sak)|pplsip|asterisk)/im.test(text)),
    whole,
  ),
];

export const faultyBoxes: readonly FaultyBox[] = [
  ...rewriting,
  ...syntax,
  ...bodies,
  ...passage,
  ...nats,
  ...several,
];
