/** The configuration: a whole one, or problems that each say where, what and how to mend it. */
import assert from 'node:assert/strict';
import { parseConfig, runnableProblems } from '../../../src/config/load.ts';
import { formatProblem, problemCodes } from '../../../src/config/problem.ts';
import { configKeys } from '../../../src/config/schema.ts';
import type { Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';

const VALUES = [
  ...[
    '"eth0"',
    '["eth0"]',
    '["eth0", "eth1"]',
    '5060',
    '[5060, 5080]',
    '"24000-32767"',
    '"1-2"',
    '"off"',
    '"assist"',
  ],
  ...[
    'true',
    'false',
    '0',
    '-1',
    '65536',
    '1e400',
    'nan',
    '9223372036854775807',
    '9007199254740993',
    '""',
    "'x'",
  ],
  ...[
    '"192.168.1.0/24"',
    '["192.168.1.0/24"]',
    '"192.168.1.1:5060"',
    '["0.0.0.0:5060"]',
    '"[::1]:5060"',
    '[]',
    '{}',
  ],
  ...[
    '{ a = 1 }',
    '1979-05-27T07:32:00Z',
    '"/var/lib/x"',
    '"""\na\n"""',
    '[[1], "a"]',
    '"\\u0000"',
    '"inet filter input"',
  ],
];

export const configTarget: Target = {
  name: 'config',
  share: 27_000,
  seeds: [
    configKeys
      .filter((key) => key.path.length === 1)
      .map((key) => key.note.example)
      .join('\r\n'),
    ...new Set(configKeys.filter((key) => key.path.length > 1).map((key) => tableOf(key.path[0]!))),
    '[[provider]]\r\nname = "p"\r\naddresses = ["198.51.100.0/24"]\r\n[[phone]]\r\naddress = "192.168.1.7"\r\nmode = "off"',
  ],
  tokens: [
    ...configKeys.map((key) => key.note.example),
    ...configKeys.map((key) => key.path.at(-1)!),
    ...VALUES,
    ...[
      '[',
      ']',
      '[[',
      ']]',
      '{',
      '}',
      '=',
      '"',
      "'",
      '"""',
      '#',
      '.',
      ',',
      '__proto__',
      'constructor',
      'toString',
      '\n',
    ],
  ],
  generate: generateConfig,
  longest: 1500,
  run(bytes, seen) {
    const text = Buffer.from(bytes).toString('utf8');
    const { config, problems } = parseConfig(text, 'sipalg.toml');
    if (config !== undefined) {
      assert.equal(problems, undefined);
      for (const range of [config.media.ports, config.signalling.externalPorts])
        assert.ok(range.low >= 1 && range.low <= range.high && range.high <= 65_535);
      for (const port of config.signalling.ports) assert.ok(port >= 1 && port <= 65_535);
      for (const limit of Object.values(config.limits)) assert.ok(Number.isSafeInteger(limit) && limit > 0);
      assert.ok(Object.isFrozen(config));
      return seen(`whole ${config.mode} ${bucket(runnableProblems(config).length)}`);
    }
    assert.ok(problems !== undefined && problems.length > 0, 'neither a configuration nor a problem');
    const lines = text.split('\n').length;
    for (const problem of problems) {
      assert.ok(problem.code in problemCodes, problem.code);
      assert.ok(problem.what !== '' && problem.remedy !== '', 'a problem without words');
      if (problem.line !== undefined)
        assert.ok(problem.line >= 1 && problem.line <= lines, `line ${problem.line}`);
      if (problem.column !== undefined) assert.ok(problem.column >= 1, `column ${problem.column}`);
      assert.ok(formatProblem(problem).includes(problem.code));
      seen(`${problem.code} ${problem.line === undefined ? 'nowhere' : ''}`);
    }
    seen(bucket(problems.length));
  },
};

function tableOf(name: string): string {
  const keys = configKeys.filter((key) => key.path[0] === name);
  const head = keys.some((key) => key.repeated) ? `[[${name}]]` : `[${name}]`;
  return [head, ...keys.map((key) => key.note.example)].join('\r\n');
}

function generateConfig(random: Random): string {
  const lines: string[] = [];
  const tables = [...new Set(configKeys.filter((key) => key.path.length > 1).map((key) => key.path[0]!))];
  for (let n = random.below(12); n > 0; n--) {
    const key = random.pick(configKeys);
    lines.push(
      random.pick([
        () => key.note.example,
        () => `${key.path.at(-1)} = ${random.pick(VALUES)}`,
        () => `${key.path.join('.')} = ${random.pick(VALUES)}`,
        () => random.pick(['[', '[[']) + random.pick(tables) + random.pick([']', ']]']),
        () => tableOf(random.pick(tables)),
      ])(),
    );
  }
  return lines.join('\n');
}
