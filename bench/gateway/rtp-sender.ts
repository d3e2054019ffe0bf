/**
 * Sends RTP as several phones: `rtp-sender.ts '{"streams":[{"address":…,"port":…}],"to":{…},"rate":2500,"seconds":5}'`.
 * Rate 0 is as fast as it goes. Says at the end, as one line of JSON, what it sent, what came back, and its CPU time.
 *
 * A packet is 172 octets, as PCMU with 20 ms has. Its payload holds the serial number (offset 12), the direction (16) and the
 * time of sending (20).
 */

import type { Endpoint } from '../../src/core/net/address.ts';
import { UdpSocket } from '../../src/linux/udp-socket.ts';

interface Options {
  readonly streams: readonly Endpoint[];
  readonly to: Endpoint;
  readonly rate: number;
  readonly seconds: number;
}

const { streams, to, rate, seconds } = JSON.parse(process.argv[2]!) as Options;
const BURST = 64;
const LAST_ECHO_MS = 500;
let echoes = 0;
const receiver = {
  datagram: () => {
    echoes++;
  },
  fault: (error: unknown) => {
    throw error;
  },
};
const sockets = streams.map((local) => new UdpSocket({ local, receiveBufferBytes: 4 << 20 }, receiver));
const packet = Buffer.alloc(172);
packet[0] = 0x80;
let serial = 0;

function sendOne(): void {
  packet.writeUInt16BE(serial & 0xffff, 2);
  packet.writeUInt32BE(serial, 12);
  packet.writeBigUInt64BE(process.hrtime.bigint(), 20);
  sockets[serial % sockets.length]!.send(packet, to);
  serial++;
}

const began = performance.now();
const before = process.cpuUsage();
const turn = (): void => {
  const elapsed = (performance.now() - began) / 1000;
  if (elapsed >= seconds) {
    const { user, system } = process.cpuUsage(before);
    setTimeout(() => {
      const refused = sockets.reduce((sum, socket) => sum + socket.sendFailures, 0);
      for (const socket of sockets) socket.close();
      console.log(
        JSON.stringify({ sent: serial - refused, seconds: elapsed, cpuS: (user + system) / 1e6, echoes }),
      );
    }, LAST_ECHO_MS);
    return;
  }
  const due = rate === 0 ? serial + BURST : Math.floor(elapsed * rate);
  while (serial < due) sendOne();
  if (rate === 0) setImmediate(turn);
  else setTimeout(turn, 1);
};
turn();
