/**
 * Whether a device answers NAT-PMP (RFC 6886 §3.2) or PCP (RFC 6887 §14.1.1), and the external address that it tells. It
 * says little about the maker, and much about whether another NAT stands behind the router.
 */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { type Evidence, evidence } from './evidence.ts';
import { isLocal } from './place.ts';

const PORT = 5351;
/** Version 0, opcode 0: the external address. */
const EXTERNAL_ADDRESS = Buffer.from([0, 0]);

export function askPortMapping(host: string, timeoutMs: number): Promise<Evidence[]> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    const found: Evidence[] = [];
    const done = (): void => {
      clearTimeout(timer);
      socket.close();
      resolve(found);
    };
    const timer = setTimeout(done, timeoutMs);
    socket.on('error', done);
    socket.on('message', (bytes, from) => {
      if (from.address !== host) return;
      const text = portMappingText(bytes);
      if (text !== undefined) found.push(...evidence('port-mapping', text, `udp ${PORT}`));
    });
    // Connected, so that a port that is closed says so at once.
    socket.connect(PORT, host, () => {
      socket.send(EXTERNAL_ADDRESS, () => {});
      socket.send(announce(socket.address().address), () => {});
    });
  });
}

/** PCP version 2, opcode ANNOUNCE, lifetime 0, and the address of this machine (RFC 6887 §7.1). */
function announce(own: string): Buffer {
  const request = Buffer.alloc(24);
  request[0] = 2;
  if (!isIPv6(own)) {
    request.fill(0xff, 18, 20);
    Buffer.from(own.split('.').map(Number)).copy(request, 20);
  }
  return request;
}

export function portMappingText(bytes: Uint8Array): string | undefined {
  if (bytes[0] === 2 && bytes.length >= 24 && bytes[1] === 0x80) return 'PCP';
  if (bytes[0] !== 0 || bytes[1] !== 0x80 || bytes.length < 12) return undefined;
  if (bytes[2] !== 0 || bytes[3] !== 0) return 'NAT-PMP';
  const address = [...bytes.subarray(8, 12)].join('.');
  return `NAT-PMP, external address ${address}${isLocal(address) ? ' (another NAT stands behind it)' : ''}`;
}
