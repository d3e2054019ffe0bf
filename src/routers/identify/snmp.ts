/** sysDescr.0 by SNMPv2c (RFC 3416, RFC 3418), community `public`: asked only where somebody wants it, since it is a login of a kind. */
import { createSocket } from 'node:dgram';
import { isIPv6 } from 'node:net';
import { type Evidence, evidence } from './evidence.ts';

const PORT = 161;
/** 1.3.6.1.2.1.1.1.0 as BER has it. */
const SYS_DESCR = Buffer.from([0x06, 0x08, 0x2b, 6, 1, 2, 1, 1, 1, 0]);

export function askSnmp(host: string, timeoutMs: number): Promise<Evidence[]> {
  return new Promise((resolve) => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4');
    const done = (text?: string): void => {
      clearTimeout(timer);
      socket.close();
      resolve(evidence('snmp-sysdescr', text, `udp ${PORT}`));
    };
    const timer = setTimeout(done, timeoutMs);
    socket.on('error', () => done());
    socket.on('message', (bytes, from) => {
      if (from.address === host) done(descriptionOf(bytes));
    });
    socket.connect(PORT, host, () => socket.send(getRequest(), () => {}));
  });
}

function getRequest(): Buffer {
  const binding = ber(0x30, SYS_DESCR, Buffer.from([0x05, 0]));
  const pdu = ber(0xa0, integer(1), integer(0), integer(0), ber(0x30, binding));
  return ber(0x30, integer(1), ber(0x04, Buffer.from('public')), pdu);
}

function integer(value: number): Buffer {
  return Buffer.from([0x02, 1, value]);
}

/** The request is short: every length fits one octet. */
function ber(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([tag, body.length]), body]);
}

/** The octet string after the name, in whatever else the answer says. */
export function descriptionOf(bytes: Buffer): string | undefined {
  const at = bytes.indexOf(SYS_DESCR);
  if (at < 0) return undefined;
  const value = bytes.subarray(at + SYS_DESCR.length);
  if (value[0] !== 0x04 || value.length < 2) return undefined;
  const first = value[1]!;
  const octets = first < 0x80 ? 0 : first & 0x7f;
  const length =
    octets === 0 ? first : [...value.subarray(2, 2 + octets)].reduce((sum, byte) => sum * 256 + byte, 0);
  return value.subarray(2 + octets, 2 + octets + length).toString('latin1');
}
