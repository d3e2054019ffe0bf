/** What the machine has to offer before a command starts; every lack comes with the way to mend it. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { EnvironmentError } from './failure.ts';

/** Bits in the capability masks of /proc (linux/capability.h). */
const CAP_NET_BIND_SERVICE = 10n;
const CAP_NET_ADMIN = 12n;

/** Throws unless this process may change the network of this machine. */
export function requireNetworkRights(what: string, otherwise: string): void {
  requireLinux(what, otherwise);
  if (hasNetworkRights()) return;
  throw new EnvironmentError(
    'cli/not-permitted',
    `${what} needs root, or CAP_NET_ADMIN and CAP_NET_BIND_SERVICE; this process lacks ${missingRights().join(' and ')}`,
    `run it with sudo, or as a service with these capabilities (sipalg install-service).\n${otherwise}`,
  );
}

export function requireLinux(what: string, otherwise: string): void {
  if (process.platform === 'linux') return;
  throw new EnvironmentError('cli/not-linux', `${what} needs Linux, this is ${process.platform}`, otherwise);
}

export function hasNetworkRights(): boolean {
  return !missingRights().includes('CAP_NET_ADMIN');
}

function missingRights(): string[] {
  const has = capabilities();
  return [
    ...(((has >> CAP_NET_ADMIN) & 1n) === 1n ? [] : ['CAP_NET_ADMIN']),
    ...(((has >> CAP_NET_BIND_SERVICE) & 1n) === 1n ? [] : ['CAP_NET_BIND_SERVICE']),
  ];
}

/** The effective set. */
function capabilities(): bigint {
  try {
    const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
    if (mask !== null) return BigInt(`0x${mask[1]}`);
  } catch {
    // No /proc: the user id has to do.
  }
  return process.getuid?.() === 0 ? ~0n : 0n;
}

/** Interfaces that are there only while their line is up: PPP, mobile modems, tunnels. */
const DIALLED = /^(?:ppp|wwan|wwp|rmnet|usb|l2tp|gre|tun|wg)/;

/** Throws where one of the interfaces does not exist, and is none that may come later. */
export function requireInterfaces(names: readonly string[], option: string, mayCome = false): void {
  const known = knownInterfaces();
  for (const name of names) {
    if (known.includes(name) || (mayCome && DIALLED.test(name))) continue;
    throw new EnvironmentError(
      'cli/no-such-interface',
      `${option} ${name}: there is no such interface on this machine`,
      `known here: ${known.join(', ')}. \`ip -br addr\` shows them with their addresses.`,
    );
  }
}

function knownInterfaces(): string[] {
  try {
    // /proc follows the network namespace of the process; a mounted /sys shows the one in which it was mounted.
    return readFileSync('/proc/self/net/dev', 'utf8')
      .split('\n')
      .slice(2)
      .map((line) => line.split(':')[0]!.trim())
      .filter((name) => name !== '');
  } catch {
    return Object.keys(networkInterfaces());
  }
}
