/** Addresses and endpoints, against the readers of the platform: node:net for what is one, URL for its canonical text. */
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { formatEndpoint, isPrivate, parseAddress, parseEndpoint } from '../../../src/core/net/address.ts';
import { toText } from '../octets.ts';
import type { Random } from '../random.ts';
import type { Target } from '../target.ts';

export const addressTarget: Target = {
  name: 'address',
  share: 40_000,
  seeds: [
    '192.0.2.1',
    '2001:db8::1',
    '::ffff:192.0.2.1',
    '1:2:3:4:5:6:7:8',
    '[2001:db8::1]:5060',
    '192.0.2.1:5060',
    '::',
  ],
  tokens: [
    '::',
    ':',
    '.',
    '255',
    '256',
    '0',
    '00',
    'ffff',
    'FFFFF',
    '1:2:3:4:5:6:',
    '127.0.0.1',
    '%eth0',
    '/24',
    '[',
    ']',
  ],
  generate: generateAddress,
  longest: 80,
  run(bytes, seen) {
    const text = toText(bytes);
    const address = parseAddress(text);
    const kind = text.includes('%') ? 0 : isIP(text);
    assert.equal(address !== undefined, kind !== 0, `${address} and node:net says ${kind}`);
    if (address !== undefined) {
      assert.equal(parseAddress(address), address, 'canonical text is not its own canonical text');
      if (kind === 4) assert.equal(address, text);
      else assert.equal(`[${address}]`, new URL(`http://[${text}]/`).hostname);
      seen(
        `v${kind} ${address.includes('::') ? '::' : ''} ${text.includes('.') ? '.' : ''} ${isPrivate(address)}`,
      );
    } else seen(`none ${text.includes(':') ? ':' : ''}`);
    const endpoint = parseEndpoint(text);
    if (endpoint === undefined) return;
    assert.ok(endpoint.port >= 1 && endpoint.port <= 65_535);
    assert.deepEqual(parseEndpoint(formatEndpoint(endpoint)), endpoint);
    seen(`endpoint ${endpoint.address.includes(':')}`);
  },
};

function generateAddress(random: Random): string {
  const number = (): string => String(random.pick([0, 1, 9, 10, 99, 100, 127, 192, 255, 256, 300, '01', '']));
  const v4 = (): string => Array.from({ length: random.once(8) ? 3 + random.below(3) : 4 }, number).join('.');
  const group = (): string => random.pick(['0', '0', '1', 'db8', 'ffff', 'FFFF', '0000', '00001', 'g', '']);
  const groups = (most: number): string => Array.from({ length: random.below(most) }, group).join(':');
  const v6 = (): string =>
    random.pick([
      () => Array.from({ length: 8 }, group).join(':'),
      () => `${groups(6)}::${groups(6)}`,
      () => `::${groups(4)}:${v4()}`,
      () => `${groups(9)}:${v4()}`,
    ])();
  const one = random.once(3) ? v4() : v6();
  if (!random.once(4)) return one;
  return `${one.includes(':') ? `[${one}]` : one}:${random.pick(['5060', '0', '1', '65535', '65536', '', '00001'])}`;
}
