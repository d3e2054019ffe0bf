import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GatewayConfig } from './gateway-config.ts';
import { parseConfig } from './load.ts';
import { chooser, modeOf } from './mode.ts';

function config(text: string): GatewayConfig {
  const { config: read, problems } = parseConfig(
    `internal = ["br0"]\nexternal = ["eth0"]\n${text}`,
    'gw.toml',
  );
  assert.ok(read, JSON.stringify(problems));
  return read;
}

const provider = (name: string, address: string, mode: string): string =>
  `[[provider]]\nname = "${name}"\naddresses = ["${address}"]\nmode = "${mode}"\n`;
const phone = (address: string, mode: string): string =>
  `[[phone]]\naddress = "${address}"\nmode = "${mode}"\n`;

test('off before all, then the phone with the longest prefix, then the provider, then auto', () => {
  const all = config(
    [
      provider('p', '198.51.100.0/24', 'observe'),
      provider('q', '192.0.2.9', 'off'),
      phone('192.168.1.0/24', 'assist'),
      phone('192.168.1.50', 'observe'),
      phone('192.168.1.51', 'auto'),
      phone('192.168.1.52', 'off'),
    ].join(''),
  );
  const mode = (of: string, at?: string): string => modeOf(all, of, at).mode;
  assert.equal(mode('192.168.1.7', '198.51.100.5'), 'assist');
  assert.equal(mode('192.168.1.50', '203.0.113.9'), 'observe');
  assert.equal(mode('192.168.1.51', '198.51.100.5'), 'observe', 'the phone’s auto leaves it to the provider');
  assert.equal(mode('192.168.1.51'), 'auto');
  assert.equal(mode('192.168.1.52', '198.51.100.5'), 'off');
  assert.equal(mode('192.168.1.50', '192.0.2.9'), 'off');
  assert.equal(mode('192.168.9.9', '203.0.113.9'), 'auto');
  assert.equal(
    chooser(all)?.('192.168.1.50', '192.0.2.9'),
    'assist',
    'the engine is not asked about what is off',
  );
});

test('the engine is asked only where the configuration says more than auto and off', () => {
  assert.equal(chooser(config('')), undefined);
  assert.equal(
    chooser(config(phone('192.168.1.50', 'off') + provider('p', '198.51.100.5', 'auto'))),
    undefined,
  );
  assert.equal(
    chooser(config(phone('192.168.1.50', 'observe')))?.('192.168.1.50', '198.51.100.5'),
    'observe',
  );
});

test('what was written before there was observe means what it meant', () => {
  const before = config(phone('192.168.1.50', 'assist') + provider('p', '198.51.100.5', 'off'));
  assert.deepEqual(
    before.phones.map(({ mode }) => mode),
    ['assist'],
  );
  assert.deepEqual(
    before.providers.map(({ mode }) => mode),
    ['off'],
  );
});

test('observe in explicit mode is a problem, with its line and its remedy; so is a word that is none', () => {
  const text = `listen = ["0.0.0.0:5060"]\n${phone('192.168.1.50', 'observe')}`;
  const [problem] = parseConfig(text, 'gw.toml').problems ?? [];
  assert.equal(problem?.code, 'config/observe-explicit');
  assert.equal(problem?.line, 4);
  assert.match(problem?.remedy ?? '', /mode = "assist" or "auto"/);
  const [other] = parseConfig(phone('192.168.1.50', 'obsrve'), 'gw.toml').problems ?? [];
  assert.equal(other?.code, 'config/not-one-of');
});
