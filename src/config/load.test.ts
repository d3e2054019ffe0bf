import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultMediaPorts, defaultSignallingPorts } from '../core/alg/policy.ts';
import { type ConfigOverrides, loadConfig, parseConfig, runnableProblems } from './load.ts';
import { formatProblem } from './problem.ts';
import { configKeys } from './schema.ts';

function problemsOf(text: string, overrides?: ConfigOverrides): string[] {
  return (parseConfig(text, 'gw.toml', overrides).problems ?? []).map((p) => formatProblem(p));
}

function codesOf(text: string): string[] {
  return (parseConfig(text, 'gw.toml').problems ?? []).map((p) => `${p.line}:${p.column} ${p.code}`);
}

test('an empty file is the defaults', () => {
  const { config } = parseConfig('', 'gw.toml');
  assert.ok(config);
  assert.equal(config.mode, 'transparent');
  assert.equal(config.stateDir, '/var/lib/sipalg');
  assert.deepEqual(config.signalling, { ports: [5060], externalPorts: defaultSignallingPorts });
  assert.deepEqual(config.media.ports, defaultMediaPorts);
  assert.deepEqual(config.policy, { origin: 'keep', received: 'restore', ice: 'leave', rules: {} });
  assert.deepEqual(config.log, { level: 'info', reveal: false });
});

test('every example of the table is a configuration, and nothing but its own key', () => {
  for (const key of configKeys) {
    const table = key.path.slice(0, -1).join('.');
    const required = configKeys
      .filter((other) => other.required && other !== key && other.path[0] === key.path[0] && key.repeated)
      .map((other) => other.note.example);
    const head = table === '' ? '' : key.repeated ? `[[${table}]]\n` : `[${table}]\n`;
    const text = `${head}${[key.note.example, ...required].join('\n')}\n`;
    assert.deepEqual(problemsOf(text), [], text);
    assert.equal(key.note.example.split(' = ')[0], key.path.at(-1));
  }
});

test('a whole file', () => {
  const { config } = parseConfig(
    `internal = ["br0", "wlan0"]
external = ["ppp0"]
accept-chains = ["inet filter forward"]
[signalling]
ports = [5060, 5070]
[media]
ports = "40000-40099"
[limits]
message-bytes = 9000
[linux]
route-table = 0x100
[[provider]]
name = "v6"
addresses = ["2001:DB8::/32", "198.51.100.9/24"]
mode = "off"
[[phone]]
address = "192.168.1.50"
proxy = true
`,
    'gw.toml',
  );
  assert.ok(config);
  assert.deepEqual(config.internal, ['br0', 'wlan0']);
  assert.deepEqual(config.acceptChains, [{ family: 'inet', table: 'filter', chain: 'forward' }]);
  assert.equal(config.limits.messageBytes, 9000);
  assert.equal(config.linux.routeTable, 256);
  assert.deepEqual(config.providers, [
    {
      name: 'v6',
      addresses: [
        { address: '2001:db8::', length: 32 },
        { address: '198.51.100.0', length: 24 },
      ],
      mode: 'off',
    },
  ]);
  assert.deepEqual(config.phones, [
    { address: { address: '192.168.1.50', length: 32 }, mode: 'auto', proxy: true },
  ]);
  assert.throws(() => {
    (config.providers as unknown[]).push(1);
  }, TypeError);
});

test('all problems at once, each with its line and its remedy', () => {
  assert.deepEqual(
    problemsOf(`internl = ["br0"]
[media]
ports = "30001-40000"

[policy]
origin = "translat"
`),
    [
      'gw.toml:1: config/unknown-key: unknown key "internl" — did you mean "internal"?',
      'gw.toml:3: config/port-range-odd: media.ports: "30001-40000" does not hold whole RTP/RTCP pairs: its first port must be even and its last odd — write "30002-39999"',
      'gw.toml:6: config/not-one-of: policy.origin: "translat" is none of "keep", "translate" — did you mean "translate"?',
    ],
  );
});

test('the place is that of the very element, also over several lines', () => {
  assert.deepEqual(
    codesOf(`[signalling] # "ports = [1]"
ports = [
  5060, # the usual one
  5061,
  "x"]
`),
    ['4:3 config/tls-port', '5:3 config/wrong-type'],
  );
  assert.deepEqual(codesOf('media = { ports = "9-8" }\n'), ['1:19 config/not-a-port-range']);
  assert.deepEqual(codesOf('limits.dialogs = 0\n'), ['1:18 config/not-a-number-in-range']);
  assert.deepEqual(codesOf("'state-dir' = '''\nrelative'''\n"), ['1:15 config/not-absolute']);
});

test('in a repeated table the problem is in the right one', () => {
  assert.deepEqual(
    codesOf(`[[provider]]
name = "a"
addresses = ["192.0.2.1"]
[[provider]]
addresses = ["sip.example.com"]
`),
    ['4:3 config/missing-key', '5:14 config/not-a-prefix'],
  );
});

test('a key in the wrong table is sent home', () => {
  assert.match(problemsOf('[media]\nstate-dir = "/x"\n')[0]!, /top of the file/);
  assert.match(problemsOf('received = "expose"\n')[0]!, /belongs into \[policy\]/);
});

test('keys that contradict each other', () => {
  assert.deepEqual(codesOf('internal = ["br0"]\nexternal = ["br0"]\n'), ['2:13 config/interface-both-sides']);
  assert.deepEqual(codesOf('internal = ["br0"]\nlisten = ["0.0.0.0:5060"]\n'), ['2:10 config/two-modes']);
  assert.deepEqual(codesOf('[media]\nports = "22000-26001"\n'), ['2:9 config/port-range-overlap']);
  assert.deepEqual(codesOf('[linux]\nroute-table = 254\n'), ['2:15 config/not-a-number-in-range']);
  assert.deepEqual(codesOf('[linux]\nengine-threads = 0\n'), ['2:18 config/not-a-number-in-range']);
  assert.deepEqual(codesOf('[media]\nports = "30000-30005"\n[linux]\nengine-threads = 4\n'), [
    '4:18 config/one-engine',
  ]);
  assert.deepEqual(codesOf('listen = ["127.0.0.1:5060"]\n[linux]\nengine-threads = 2\n'), [
    '3:18 config/one-engine',
  ]);
  assert.deepEqual(codesOf('[[phone]]\naddress = "::1"\n[[phone]]\naddress = "0:0::1"\n'), [
    '4:11 config/duplicate',
  ]);
});

test('a file that is not TOML: one problem, with its line', () => {
  assert.deepEqual(codesOf('internal = ["br0"]\nexternal = eth0\n'), ['2:12 config/syntax']);
});

test('a file that is not there', () => {
  const { problems } = loadConfig('/nonexistent/gw.toml');
  assert.deepEqual(
    problems?.map((p) => [p.code, p.line]),
    [['config/not-readable', undefined]],
  );
});

test('the command line overrides the file, and is blamed for its own mistakes', () => {
  const { config } = parseConfig('internal = ["br0"]\n[signalling]\nports = [5080]\n', 'gw.toml', {
    internal: ['lan'],
    external: ['wan'],
    sipPorts: [5062],
    stateDir: '/tmp/x',
    logLevel: 'debug',
  });
  assert.ok(config);
  assert.deepEqual([config.internal, config.external, config.signalling.ports], [['lan'], ['wan'], [5062]]);
  assert.deepEqual([config.stateDir, config.log.level], ['/tmp/x', 'debug']);
  assert.match(
    problemsOf('', { sipPorts: [0] })[0]!,
    /^command line: config\/not-a-number-in-range: signalling\.ports/,
  );
});

test('what can be read but cannot run', () => {
  const complete = parseConfig('listen = ["[::]:5060"]', 'gw.toml').config;
  assert.ok(complete);
  assert.equal(complete.mode, 'explicit');
  assert.deepEqual(runnableProblems(complete), []);
  const half = parseConfig('internal = ["br0"]', 'gw.toml').config;
  assert.ok(half);
  assert.match(
    formatProblem(runnableProblems(half)[0]!),
    /config\/no-mode: nothing says where the provider is/,
  );
});
