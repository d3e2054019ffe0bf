/** A capture with SIP over TCP: messages cut and joined, a phone's connection from any port, and one that lacks segments. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Endpoint } from '../../src/core/net/address.ts';
import { pcapFile } from '../capture/files.ts';
import { tcpPacket } from '../detector/two-sides.ts';
import { root, sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-explain-tcp-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const PROVIDER: Endpoint = { address: '198.51.100.5', port: 5060 };
/** Its connection comes from another port than the one that it names. */
const PHONE: Endpoint = { address: '192.168.1.50', port: 49_152 };
const overTcp = (text: string): string =>
  text.replace('SIP/2.0/UDP', 'SIP/2.0/TCP').replaceAll('transport=udp', 'transport=tcp');
const register = overTcp(readFileSync(`${root}samples/register.sip`, 'latin1'));
const invite = overTcp(readFileSync(`${root}samples/invite.sip`, 'latin1'));
const mapping = ['--mapping', '192.168.1.50=203.0.113.7'];

function field(name: string): string {
  return register.split('\r\n').find((line) => line.startsWith(`${name}: `)) ?? '';
}

const granted = [
  'SIP/2.0 200 OK',
  field('Via').replace('192.168.1.50:5060', '203.0.113.7:5060'),
  ...['From', 'To', 'Call-ID', 'CSeq'].map(field),
  'Contact: <sip:4930123456@203.0.113.7:5060;transport=tcp>;expires=60',
  'Content-Length: 0',
  '',
  '',
].join('\r\n');
const options = [
  'OPTIONS sip:4930123456@203.0.113.7:5060;transport=tcp SIP/2.0',
  'Via: SIP/2.0/TCP 198.51.100.5:5060;branch=z9hG4bKoptions',
  'From: <sip:proxy@sip.example.net>;tag=p',
  'To: <sip:4930123456@sip.example.net>',
  'Call-ID: options',
  'CSeq: 1 OPTIONS',
  'Max-Forwards: 70',
  'Content-Length: 0',
  '',
  '',
].join('\r\n');

/** Both directions of one connection, each in its segments. */
function capture(name: string, segments: readonly (readonly ['out' | 'in', string])[], lost = -1): string {
  const next = { out: 1000, in: 5000 };
  const packet = (way: 'out' | 'in', flags: number, text: string): Uint8Array => {
    const [source, destination] = way === 'out' ? [PHONE, PROVIDER] : [PROVIDER, PHONE];
    const bytes = tcpPacket({ source, destination }, next[way], flags, text);
    next[way] += text.length + (flags === 2 || flags === 18 ? 1 : 0);
    return bytes;
  };
  const packets = [packet('out', 2, ''), packet('in', 18, '')];
  for (const [i, [way, text]] of segments.entries()) {
    const bytes = packet(way, 24, text);
    if (i !== lost) packets.push(bytes);
  }
  const path = join(folder, name);
  writeFileSync(
    path,
    pcapFile(
      101,
      packets.map((bytes, i) => ({ timeMs: 1_700_000_000_000 + 100 * i, bytes })),
    ),
  );
  return path;
}

interface Shown {
  readonly direction: string;
  readonly summary: string;
  readonly verdict: string;
  readonly edits: readonly { readonly rule: string; readonly after: string }[];
}

function messagesOf(path: string): { messages: readonly Shown[]; err: string } {
  const { code, out, err } = sipalg(['explain', '--json', ...mapping, path]);
  assert.equal(code, 0, err);
  return { messages: (JSON.parse(out) as { messages: Shown[] }).messages, err };
}

test('a call over TCP: each message by itself, by the mapping of its connection', () => {
  const path = capture('call.pcap', [
    ['out', register.slice(0, 100)],
    ['out', register.slice(100)],
    ['in', granted + options.slice(0, 50)],
    ['in', options.slice(50)],
    ['out', `\r\n\r\n${invite}`],
  ]);
  const { messages, err } = messagesOf(path);
  assert.deepEqual(
    messages.map(({ direction, summary, verdict }) => [direction, summary.split(' sip:')[0], verdict]),
    [
      ['out', 'REGISTER', 'translate'],
      ['in', '200 to REGISTER', 'translate'],
      ['in', 'OPTIONS', 'translate'],
      ['out', 'INVITE', 'translate'],
    ],
  );
  assert.deepEqual(
    messages.map(({ edits }) => [...new Set(edits.map(({ rule }) => rule))].sort()),
    [
      ['contact.host-port', 'via.sent-by'],
      ['contact.restore', 'via.sent-by.restore'],
      ['request-uri.host-port'],
      ['contact.host-port', 'content-length', 'sdp.connection', 'sdp.media-port', 'sdp.rtcp', 'via.sent-by'],
    ],
  );
  // What the phone names is one mapping, whatever port its connection comes from.
  for (const { edits } of [messages[0]!, messages[3]!])
    for (const { rule, after: text } of edits)
      if (rule === 'via.sent-by' || rule === 'contact.host-port') assert.equal(text, '203.0.113.7:5060');
  assert.equal(err, '');
});

test('a capture that lacks a segment says so, and shows the rest', () => {
  const path = capture(
    'gap.pcap',
    [
      ['out', register],
      ['in', granted],
      ['out', invite.slice(0, 200)],
      ['out', invite.slice(200, 300)],
      ['out', invite.slice(300)],
    ],
    3,
  );
  const { messages, err } = messagesOf(path);
  assert.deepEqual(
    messages.map(({ summary }) => summary.split(' sip:')[0]),
    ['REGISTER', '200 to REGISTER'],
  );
  assert.match(err, /^note: 1 gap in TCP streams/m);
});
