import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Locations } from './location.ts';

test('keys, values, tables', () => {
  const at = new Locations(
    'a = 1\r\n"b c".d = [ [1],\n 2 ] # x\n[t."u.v"]\nk = { x = """\n"q""\\""""", y = 2 }\n[[l]]\n[[l]]\n[l.m]\nn = true\n',
  );
  assert.deepEqual(at.key(['a']), { line: 1, column: 1 });
  assert.deepEqual(at.value(['a']), { line: 1, column: 5 });
  assert.deepEqual(at.value(['b c', 'd', 0, 0]), { line: 2, column: 14 });
  assert.deepEqual(at.value(['b c', 'd', 1]), { line: 3, column: 2 });
  assert.deepEqual(at.value(['t', 'u.v', 'k', 'y']), { line: 6, column: 17 });
  assert.deepEqual(at.value(['l', 1, 'm', 'n']), { line: 10, column: 5 });
  assert.deepEqual(at.key(['l', 0, 'absent']), { line: 7, column: 3 });
  assert.equal(at.key(['nowhere']), undefined);
});

test('property: any text at all ends, without an exception', () => {
  const alphabet = fc.constantFrom(
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '=',
    '.',
    ',',
    '#',
    '\n',
    ' ',
    'a',
    '1',
    '\\',
  );
  fc.assert(
    fc.property(fc.string({ unit: alphabet, maxLength: 60 }), (text) => {
      new Locations(text);
    }),
    { numRuns: 2000 },
  );
});
