/**
 * Sends INVITE, REGISTER and garbage in turn, each one new, as fast as one process can:
 * `flood-sender.ts '{"local":{…},"to":{…},"seconds":4}'`. Says at the end how many the kernel took.
 */
import type { Endpoint } from '../../src/core/net/address.ts';
import { UdpSocket } from '../../src/linux/udp-socket.ts';

const { local, to, seconds } = JSON.parse(process.argv[2]!) as {
  readonly local: Endpoint;
  readonly to: Endpoint;
  readonly seconds: number;
};
const BURST = 256;
/** Stands where the serial number goes. */
const SERIAL = '00000000';
const PORT = '40000';

const us = `${local.address}:${local.port}`;
const head = (method: string): string[] => [
  `${method} sip:${SERIAL}@${to.address} SIP/2.0`,
  `Via: SIP/2.0/UDP ${us};branch=z9hG4bK${SERIAL}`,
  'Max-Forwards: 70',
  `From: <sip:flood@${to.address}>;tag=${SERIAL}`,
  `To: <sip:${SERIAL}@${to.address}>`,
  `Call-ID: ${SERIAL}@${local.address}`,
  `CSeq: 1 ${method}`,
  `Contact: <sip:${SERIAL}@${us}>`,
];
const body = [
  'v=0',
  `o=- 1 1 IN IP4 ${local.address}`,
  's=-',
  `c=IN IP4 ${local.address}`,
  't=0 0',
  `m=audio ${PORT} RTP/AVP 0`,
  '',
].join('\r\n');
const templates = [
  [...head('INVITE'), 'Content-Type: application/sdp', `Content-Length: ${body.length}`, '', body].join(
    '\r\n',
  ),
  [...head('REGISTER'), 'Expires: 300', 'Content-Length: 0', '', ''].join('\r\n'),
  `\u0000garbage ${SERIAL} ${'x'.repeat(400)}`,
].map((text) => ({
  bytes: Buffer.from(text, 'latin1'),
  serials: [...text.matchAll(new RegExp(SERIAL, 'g'))].map(({ index }) => index),
  port: text.indexOf(`audio ${PORT}`),
}));

const socket = new UdpSocket({ local }, { datagram: () => {}, fault: () => {} });
let sent = 0;
let serial = 0;
const endsAt = performance.now() + seconds * 1000;
const turn = (): void => {
  for (let i = 0; i < BURST; i++) {
    const { bytes, serials, port } = templates[serial % templates.length]!;
    const number = String(serial++).padStart(SERIAL.length, '0');
    for (const at of serials) bytes.write(number, at, 'latin1');
    if (port >= 0) bytes.write(String(20_000 + ((serial * 2) % 40_000)), port + 'audio '.length, 'latin1');
    if (socket.send(bytes, to)) sent++;
  }
  if (performance.now() < endsAt) setImmediate(turn);
  else {
    socket.close();
    process.stdout.write(`${sent}\n`);
  }
};
turn();
