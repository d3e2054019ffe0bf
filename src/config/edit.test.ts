/** One value changes; every other octet of the file is the operator's and stays. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'smol-toml';
import { addTable, setValue } from './edit.ts';

const FILE = `# Our gateway.
internal = ["br0"]   # where the phones are
external = ["eth0"]

[log] # quiet
level = "warn"       # nothing but trouble

[[phone]]
# reception
address = "192.168.1.50"
mode = "observe" # it has STUN

[[phone]]
address = "192.168.1.51"

[limits]
mappings = 100
`;

test('a value that is there is replaced where it stands', () => {
  assert.equal(setValue(FILE, ['log', 'level'], 'debug'), FILE.replace('"warn"', '"debug"'));
  assert.equal(setValue(FILE, ['internal'], ['br0', 'br1']), FILE.replace('["br0"]', '["br0", "br1"]'));
  assert.equal(setValue(FILE, ['phone', 0, 'mode'], 'off'), FILE.replace('"observe"', '"off"'));
  assert.equal(setValue(FILE, ['limits', 'mappings'], 7), FILE.replace('100', '7'));
});

test('a key that is not there goes behind the last one of its table', () => {
  assert.equal(
    setValue(FILE, ['phone', 1, 'mode'], 'off'),
    FILE.replace('address = "192.168.1.51"\n', 'address = "192.168.1.51"\nmode = "off"\n'),
  );
  assert.equal(
    setValue(FILE, ['log', 'reveal'], true),
    FILE.replace('trouble\n', 'trouble\nreveal = true\n'),
  );
  assert.equal(
    setValue(FILE, ['upstream-nat'], 'yes'),
    FILE.replace('["eth0"]\n', '["eth0"]\nupstream-nat = "yes"\n'),
  );
  assert.equal(
    setValue(FILE, ['media', 'ports'], '30000-30001'),
    `${FILE}\n[media]\nports = "30000-30001"\n`,
  );
});

test('a table is added at the end, also to an empty file', () => {
  const entries = { address: '192.168.1.52', mode: 'off' };
  assert.equal(
    addTable(FILE, 'phone', entries),
    `${FILE}\n[[phone]]\naddress = "192.168.1.52"\nmode = "off"\n`,
  );
  assert.equal(addTable('', 'phone', entries), '[[phone]]\naddress = "192.168.1.52"\nmode = "off"\n');
});

test('what cannot be changed for certain is not changed', () => {
  // Inside an inline table, which no line can be added to.
  assert.equal(setValue('phone = [{ address = "192.168.1.50" }]\n', ['phone', 0, 'mode'], 'off'), undefined);
  assert.equal(addTable('phone = [{ address = "192.168.1.50" }]\n', 'phone', { mode: 'off' }), undefined);
  assert.equal(setValue('log = { level = "info" }\n', ['log', 'reveal'], true), undefined);
  assert.equal(setValue('not toml at all', ['internal'], ['br0']), undefined);
});

test('whatever the value is, it is read back as it was given, and the rest stays', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string({ unit: 'binary' }), fc.string({ unit: 'grapheme' })),
      fc.constantFrom<(string | number)[]>(['log', 'level'], ['phone', 1, 'note'], ['new', 'key'], ['top']),
      (value, path) => {
        const next = setValue(FILE, path, value);
        // A lone surrogate has no form in TOML.
        if (next === undefined) return assert.ok(!value.isWellFormed());
        const before = parse(FILE) as Record<string, unknown>;
        const after = parse(next) as Record<string, unknown>;
        assert.deepEqual(after.external, before.external);
        for (const comment of ['# Our gateway.', '# where the phones are', '# reception', '# it has STUN'])
          assert.ok(next.includes(comment));
      },
    ),
  );
});
