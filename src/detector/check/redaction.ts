/**
 * Hides where a check was made: the public addresses of this line, of the routers on the way and of the reflector. Everything else in a report is made
 * up by the check itself, and private addresses say nothing about anybody.
 */
import type { Passage } from '../../core/detect/passage.ts';
import { isPrivate, parseAddress } from '../../core/net/address.ts';

export function redactor(
  passages: readonly Passage[],
  routers: readonly string[] = [],
): (text: string) => string {
  const names = new Map<string, string>();
  for (const router of routers) if (!isPrivate(router)) names.set(router, 'ROUTER');
  for (const { inside, outside, server } of passages) {
    for (const own of [inside, outside])
      if (own !== undefined && !isPrivate(own.address)) names.set(own.address, 'PUBLIC-ADDRESS');
    if (!isPrivate(server.address)) names.set(server.address, 'REFLECTOR');
  }
  return replacer(names);
}

/** The same for a check against somebody else's server: its name, its address, and the public ones of this line. */
export function hostRedactor(server: readonly string[], own: readonly string[]): (text: string) => string {
  const names = new Map<string, string>();
  for (const one of own) if (!isPrivate(one)) names.set(one, 'PUBLIC-ADDRESS');
  for (const one of server) if (parseAddress(one) === undefined || !isPrivate(one)) names.set(one, 'SERVER');
  return replacer(names);
}

function replacer(names: ReadonlyMap<string, string>): (text: string) => string {
  const longestFirst = [...names.keys()].sort((a, b) => b.length - a.length);
  if (longestFirst.length === 0) return (text) => text;
  const pattern = new RegExp(
    longestFirst.map((one) => `(?<![\\d.])${one.replaceAll('.', '\\.')}(?!\\d|\\.\\d)`).join('|'),
    'g',
  );
  return (text) => text.replace(pattern, (address) => names.get(address)!);
}
