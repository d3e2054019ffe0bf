/**
 * Receives RTP at the provider: `rtp-sink.ts '{"local":{…},"echo":true}'`. Says `ready`, and on SIGTERM, as one line of JSON,
 * what came and how long it was on its way (both ends read the same clock).
 */

import type { Endpoint } from '../../src/core/net/address.ts';
import { UdpSocket } from '../../src/linux/udp-socket.ts';
import { percentile } from './machine.ts';

const { local, echo } = JSON.parse(process.argv[2]!) as { local: Endpoint; echo: boolean };
const delaysUs: number[] = [];
const sources = new Set<string>();
let received = 0;

const socket: UdpSocket = new UdpSocket(
  { local, receiveBufferBytes: 16 << 20 },
  {
    datagram: (bytes, remote) => {
      received++;
      if (!echo) return;
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      delaysUs.push(Number(process.hrtime.bigint() - view.getBigUint64(20)) / 1000);
      sources.add(`${remote.address}:${remote.port}`);
      bytes[16] = 1;
      socket.send(bytes, remote);
    },
    fault: (error) => {
      throw error;
    },
  },
);
process.on('SIGTERM', () => {
  socket.close();
  delaysUs.sort((a, b) => a - b);
  const [p50Us, p99Us, p999Us] = [0.5, 0.99, 0.999].map((share) => percentile(delaysUs, share));
  console.log(JSON.stringify({ received, p50Us, p99Us, p999Us, sources: [...sources].sort() }));
  process.exit(0);
});
console.log('ready');
