/** How a NAT behaves, in the words of RFC 4787: what the endpoints that the other side saw say about it. */
import { type Address, type Endpoint, isPrivate, sameEndpoint } from '../net/address.ts';
import type { Dependence } from './check-report.ts';

/** Where the other side saw one socket; undefined where nothing arrived, or there is no such place. */
export interface SeenAs {
  readonly first: Endpoint;
  readonly atOtherPort: Endpoint | undefined;
  readonly atOtherAddress: Endpoint | undefined;
}

/** Mapping (§4.1). Of one address alone no more can be said than that ports do not matter, and that is not enough. */
export function mappingOf({ first, atOtherPort, atOtherAddress }: SeenAs): Dependence {
  if (atOtherPort === undefined) return 'not-checked';
  const isSamePort = sameEndpoint(first, atOtherPort);
  if (!isSamePort) return 'address-and-port-dependent';
  if (atOtherAddress === undefined) return 'not-checked';
  return sameEndpoint(first, atOtherAddress) ? 'endpoint-independent' : 'address-dependent';
}

/** Who comes in without having been sent to; undefined where there is no such place. */
export interface LetsIn {
  readonly otherPort: boolean | undefined;
  readonly otherAddress: boolean | undefined;
}

/** Filtering (§5). */
export function filteringOf({ otherPort, otherAddress }: LetsIn): Dependence {
  if (otherAddress === true) return 'endpoint-independent';
  if (otherPort === false) return 'address-and-port-dependent';
  return otherAddress === undefined || otherPort === undefined ? 'not-checked' : 'address-dependent';
}

/** The parenthesis behind each sentence about mapping or filtering. */
export const dependences: Readonly<Record<Exclude<Dependence, 'not-checked'>, string>> = {
  'endpoint-independent': 'endpoint-independent',
  'address-dependent': 'address-dependent',
  'address-and-port-dependent': 'address- and port-dependent',
};

/**
 * Signs of a NAT of the carrier's, beyond the router: this machine or the way out has an address that carriers use inside
 * (RFC 6598), or external addresses change from flow to flow.
 */
export function carrierSigns(inside: Address, outside: readonly Address[]): string[] {
  const signs: string[] = [];
  if (isShared(inside))
    signs.push(
      `this machine has ${inside}, one of the addresses that carriers share out behind a NAT of theirs`,
    );
  const hidden = outside.find(isPrivate);
  if (hidden !== undefined)
    signs.push(
      `the reflector sees ${hidden}, which is ${isShared(hidden) ? 'of the range that carriers use inside' : 'private'}: both are behind the same NAT`,
    );
  const addresses = [...new Set(outside)];
  if (addresses.length > 1)
    signs.push(
      `flows of this machine leave from ${addresses.length} external addresses (${addresses.join(', ')}), as from a carrier’s pool`,
    );
  return signs;
}

/** 100.64.0.0/10 (RFC 6598 §7). */
export function isShared(address: Address): boolean {
  const [a, b] = address.split('.').map(Number);
  return a === 100 && b !== undefined && b >= 64 && b < 128;
}
