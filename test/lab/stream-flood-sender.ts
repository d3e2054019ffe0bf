/**
 * Floods by TCP for some seconds, as fast as it can: with connections that are made and given up, or with messages on a few
 * connections. Prints one line of JSON: how many connections were tried and came about, and how many octets were taken.
 */
import { connect, type Socket } from 'node:net';
import type { Endpoint } from '../../src/core/net/address.ts';

export interface StreamFlood {
  readonly what: 'connections' | 'messages';
  readonly from: string;
  readonly to: Endpoint;
  readonly seconds: number;
  /** At one time. */
  readonly sockets: number;
}

export interface Flooded {
  readonly tried: number;
  readonly established: number;
  readonly octets: number;
}

const GIVEN_UP_MS = 50;
const { what, from, to, seconds, sockets } = JSON.parse(process.argv[2]!) as StreamFlood;
const endsAt = performance.now() + seconds * 1000;
let tried = 0;
let established = 0;
let octets = 0;
let open = 0;
let serial = 0;

function next(): void {
  if (performance.now() > endsAt) {
    if (open === 0) process.stdout.write(`${JSON.stringify({ tried, established, octets })}\n`);
    return;
  }
  tried++;
  open++;
  const socket = connect({ host: to.address, port: to.port, localAddress: from });
  const timer = setTimeout(
    () => socket.destroy(),
    what === 'connections' ? GIVEN_UP_MS : endsAt - performance.now(),
  );
  socket.on('error', () => {});
  socket.on('connect', () => {
    established++;
    if (what === 'messages') pour(socket);
  });
  socket.on('close', () => {
    clearTimeout(timer);
    octets += socket.bytesWritten - socket.writableLength;
    open--;
    next();
  });
  socket.resume();
}

function pour(socket: Socket): void {
  const us = `${from}:${socket.localPort}`;
  while (!socket.destroyed && socket.writableLength < 256 * 1024)
    socket.write(
      Array.from({ length: 64 }, () => {
        const id = `${socket.localPort}-${serial++}`;
        return [
          `OPTIONS sip:${id}@${to.address} SIP/2.0`,
          `Via: SIP/2.0/TCP ${us};branch=z9hG4bK${id}`,
          'Max-Forwards: 70',
          `From: <sip:flood@${to.address}>;tag=${id}`,
          `To: <sip:${id}@${to.address}>`,
          `Call-ID: ${id}`,
          'CSeq: 1 OPTIONS',
          `Contact: <sip:flood@${us};transport=tcp>`,
          'Content-Length: 0',
          '',
          '',
        ].join('\r\n');
      }).join(''),
    );
  if (!socket.destroyed) socket.once('drain', () => pour(socket));
}

for (let i = 0; i < sockets; i++) next();
