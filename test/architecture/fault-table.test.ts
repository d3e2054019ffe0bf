/** The taxonomy of faults: ids are promises to programs, and every row answers every question about its fault. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faults, findFault } from '../../src/core/detect/faults.ts';
import { remedies } from '../../src/core/detect/remedies.ts';

test('the taxonomy has 105 faults, each with an id of its own', () => {
  assert.equal(faults.length, 105);
  assert.equal(new Set(faults.map(({ id }) => id)).size, faults.length);
  for (const { id } of faults) assert.match(id, /^[A-Z]+(?:-[A-Z0-9]+)*(?:\/[A-Z]+)?$/);
});

test('every fault says what it is, how it is provoked and seen, and what a caller notices', () => {
  for (const fault of faults) {
    for (const text of [fault.title, fault.definition, fault.provoke, fault.seen, fault.symptom])
      assert.match(text, /^\S.*\.$/, `${fault.id}: ${text}`);
    assert.ok(fault.severity >= 1 && fault.severity <= 4, fault.id);
    if (fault.rfc !== undefined) assert.match(fault.rfc, /^RFC \d{4} §\d+(?:\.\d+)*$/, fault.id);
    assert.ok(fault.remedies.length > 0 && fault.sources.length > 0, fault.id);
    assert.equal(new Set(fault.remedies).size, fault.remedies.length, fault.id);
  }
  assert.equal(new Set(faults.map(({ definition }) => definition)).size, faults.length);
});

test('every remedy is an order with a reason, and helps against some fault', () => {
  const used = new Set<string>(faults.flatMap((fault) => fault.remedies));
  for (const remedy of remedies) {
    for (const text of [remedy.what, remedy.why]) assert.match(text, /^[A-Z].*\.$/, remedy.id);
    assert.ok(used.has(remedy.id), `${remedy.id} helps against nothing`);
  }
  assert.equal(new Set(remedies.map(({ id }) => id)).size, remedies.length);
});

test('a fault is found by its id in any case', () => {
  assert.equal(findFault('addr-contact')?.id, 'ADDR-CONTACT');
  assert.equal(findFault('ADDR-NOTHING'), undefined);
});
