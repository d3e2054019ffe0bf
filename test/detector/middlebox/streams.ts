/** What simulated boxes do to TCP: to segments, never to connections, which go through them from end to end. */
import type { Behaviour } from './box.ts';
import { ACK, type Packet, PSH, RST } from './packet.ts';

const SIP_PORT = 5060;
const SIPS_PORT = 5061;
const SMALL = 100;

/** Every segment with something in it leaves as several. */
export function cutSegments(): Behaviour {
  return {
    packet(packet, { remote }) {
      const { tcp, payload } = packet;
      if (tcp === undefined || remote.port !== SIP_PORT || payload.length <= SMALL) return [packet];
      const parts: Packet[] = [];
      for (let at = 0; at < payload.length; at += SMALL)
        parts.push({
          ...packet,
          payload: payload.subarray(at, at + SMALL),
          tcp: { ...tcp, sequence: tcp.sequence + at },
          // Else the receiver reads them as one.
          lateMs: (at / SMALL) * 3,
        });
      return parts;
    },
  };
}

/** It knows SIP in whole segments only, and drops what is neither the beginning nor the end of a message. */
export function dropSplitMessages(): Behaviour {
  return {
    packet(packet, { remote }) {
      const text = packet.payload.toString('latin1');
      const isWhole = /^[A-Z]+ sip:|^SIP\/2\.0 /.test(text) && text.includes('\r\n\r\n') && isComplete(text);
      return packet.tcp === undefined || remote.port !== SIP_PORT || text === '' || isWhole ? [packet] : [];
    },
  };
}

function isComplete(text: string): boolean {
  const length = Number(/^Content-Length: (\d+)/m.exec(text)?.[1] ?? 0);
  return text.length - text.indexOf('\r\n\r\n') - 4 === length;
}

/** Makes a message longer or shorter and leaves the numbers of the stream as they are (RFC 9293 §3.4). */
export function editWithoutNumbers(): Behaviour {
  return {
    packet(packet, { remote, direction, inside, outside }) {
      const text = packet.payload.toString('latin1');
      if (packet.tcp === undefined || remote.port !== SIP_PORT || direction !== 'to-server') return [packet];
      const edited = text.replaceAll(inside.address, outside.address);
      return [{ ...packet, payload: Buffer.from(edited, 'latin1') }];
    },
  };
}

/** Nobody shakes hands on 5061: who says ClientHello there is reset. */
export function resetHandshakes(): Behaviour {
  return {
    packet(packet, { remote, direction }) {
      const { tcp, payload } = packet;
      const isHello = payload[0] === 0x16;
      if (tcp === undefined || remote.port !== SIPS_PORT || direction !== 'to-server' || !isHello)
        return [packet];
      return [
        { ...packet, payload: Buffer.alloc(0), tcp: { ...tcp, flags: (tcp.flags & ~PSH) | RST | ACK } },
      ];
    },
  };
}
