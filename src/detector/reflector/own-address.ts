/** Which of this machine's addresses a reflector stands on, where nobody says. */
import { networkInterfaces } from 'node:os';
import { isPrivate, parseAddress } from '../../core/net/address.ts';
import type { OwnAddress } from './reflector.ts';

/** More than two of a family add nothing: every test needs one other. */
const MOST_OF_FAMILY = 2;

/**
 * Per family the public addresses, or where there are none the private ones of the first interface that has any (a
 * laboratory, or a cloud that translates one to one and has to be told with --address LOCAL=PUBLIC).
 */
export function ownAddresses(interfaces = networkInterfaces()): OwnAddress[] {
  const found: OwnAddress[] = [];
  for (const family of ['IPv4', 'IPv6']) {
    const byInterface = Object.values(interfaces).map((infos) =>
      (infos ?? [])
        .filter((info) => info.family === family && !info.internal && !info.address.startsWith('fe80'))
        .map((info) => parseAddress(info.address))
        .filter((address) => address !== undefined),
    );
    const open = byInterface.flat().filter((address) => !isPrivate(address));
    const chosen = open.length > 0 ? open : (byInterface.find((addresses) => addresses.length > 0) ?? []);
    for (const address of chosen.slice(0, MOST_OF_FAMILY)) found.push({ local: address, public: address });
  }
  return found;
}

/** `ADDRESS` or `LOCAL=PUBLIC`; undefined where it is neither. */
export function parseOwnAddress(text: string): OwnAddress | undefined {
  const [local, open = local, ...rest] = text
    .split('=')
    .map((part) => parseAddress(part.replace(/^\[(.*)\]$/, '$1')));
  return rest.length > 0 || local === undefined || open === undefined ? undefined : { local, public: open };
}
