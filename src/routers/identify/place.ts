/** Where the router is: the default gateway of this machine, its MAC address, and whether an address is on a LAN at all. */
import { readFileSync } from 'node:fs';
import { BlockList, isIP } from 'node:net';
import { RouterError } from '../drive/failure.ts';

/** The gateway of the default route with the lowest metric, from /proc/net/route (Linux). */
export function defaultGateway(): string {
  const gateway = gatewayAddress();
  if (gateway === undefined)
    throw new RouterError(
      'routers/no-gateway',
      'this machine has no default gateway that could be found out',
      'name the router: its address is in the network settings of any device, often 192.168.1.1',
    );
  return gateway;
}

/** The same, or undefined where there is none. */
export function gatewayAddress(): string | undefined {
  const routes = read('/proc/self/net/route')
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .filter(
      ([, destination, gateway, flags]) =>
        destination === '00000000' &&
        gateway !== '00000000' &&
        (Number.parseInt(flags ?? '0', 16) & RTF_GATEWAY) !== 0,
    )
    .sort((a, b) => Number(a[6]) - Number(b[6]));
  const gateway = routes[0]?.[2];
  // The kernel prints the address as a number of this machine's byte order.
  return gateway === undefined ? undefined : [...Buffer.from(gateway, 'hex')].reverse().join('.');
}

const RTF_GATEWAY = 2;

/** From the neighbour table of IPv4; undefined where nobody has asked for it yet, or it is not on this link. */
export function macAddress(address: string): string | undefined {
  const line = read('/proc/self/net/arp')
    .split('\n')
    .find((entry) => entry.startsWith(`${address} `));
  const mac = line?.trim().split(/\s+/)[3];
  return mac === undefined || /^(?:00:?)+$/.test(mac) ? undefined : mac;
}

/** RFC 1918, 6598, 3927 and 4193, link-local IPv6, loopback. */
export function isLocal(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && local.check(address.replace(/%.*$/, ''), family === 6 ? 'ipv6' : 'ipv4');
}

const local = new BlockList();
for (const [network, length] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['127.0.0.0', 8],
] as const)
  local.addSubnet(network, length, 'ipv4');
for (const [network, length] of [
  ['fc00::', 7],
  ['fe80::', 10],
  ['::1', 128],
] as const)
  local.addSubnet(network, length, 'ipv6');

/** Names are not looked up: a resolver may be outside. */
export function requireLocal(host: string, evenPublic: boolean): void {
  if (isIP(host) === 0)
    throw new RouterError(
      'routers/not-allowed',
      `${host}: not an IP address`,
      'name the router by its address, such as 192.168.1.1',
    );
  // A line operator may give out public addresses inside; the next hop is on this link in any case.
  if (evenPublic || isLocal(host) || gatewayAddress() === host) return;
  throw new RouterError(
    'routers/not-allowed',
    `${host} is a public address; only devices on the own network are asked`,
    'if it is yours, say so with --public',
  );
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
