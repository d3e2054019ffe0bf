/** What stands in the sets, by who wants it; on a stand-in for the kernel that keeps elements as a set does, and refuses some. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ElementStore, type WantedElement } from '../../src/linux/element-store.ts';
import type { ElementChange, NftElements } from '../../src/linux/nft-elements.ts';
import { ERRNO, SystemError, systemError } from '../../src/linux/system-error.ts';

/** The value that it refuses, with the whole transaction. */
const REFUSED = 255;

/** Not the kernel: a transaction is all or nothing, to delete what is not there is ENOENT, another value EEXIST. */
class StandIn implements Pick<NftElements, 'apply'> {
  elements = new Map<string, number>();
  /** How often each key was added anew: what counts begins with 0 then. */
  readonly births = new Map<string, number>();
  transactions = 0;

  apply(changes: readonly ElementChange[]): void {
    const next = new Map(this.elements);
    const born: string[] = [];
    this.transactions++;
    for (const { action, set, elements } of changes)
      for (const { key, value } of elements) {
        const id = `${set} ${key[0]}`;
        const octet = value?.[0] ?? 0;
        if (octet === REFUSED) throw systemError('nftables', ERRNO.EPERM);
        if (action === 'delete') {
          if (!next.delete(id)) throw systemError('nftables', ERRNO.ENOENT);
        } else {
          const known = next.get(id);
          if (known !== undefined && known !== octet) throw systemError('nftables', ERRNO.EEXIST);
          if (known === undefined) born.push(id);
          next.set(id, octet);
        }
      }
    this.elements = next;
    for (const id of born) this.births.set(id, (this.births.get(id) ?? 0) + 1);
  }
}

function wanted(key: number, value: number): WantedElement {
  return { set: `set${key % 2}`, key: Uint8Array.of(key), value: Uint8Array.of(value) };
}

const elements = fc.uniqueArray(fc.record({ key: fc.nat(5), value: fc.nat(3) }), {
  maxLength: 4,
  selector: ({ key }) => key,
});
const OWNERS = ['a', 'b', 'c'] as const;
const steps = fc.array(
  fc.record({
    owner: fc.constantFrom(...OWNERS),
    elements,
    /** It wants something besides, under a key of its own, that the kernel refuses. */
    mistake: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, fc.constant(true)),
    /** Whether all is flushed after it. */
    flush: fc.boolean(),
  }),
  { maxLength: 30 },
);

test('after a flush the sets hold what each owner wants, or wanted before where the kernel has refused it', () => {
  fc.assert(
    fc.property(steps, (list) => {
      const kernel = new StandIn();
      const store = new ElementStore(kernel as unknown as NftElements);
      const wants = new Map<string, Map<string, number>>();
      const asked = new Map<string, Map<string, number>>();
      for (const step of [...list, { owner: 'a' as const, elements: [], mistake: false, flush: true }]) {
        const { owner, mistake } = step;
        const bad = mistake ? [{ key: 10 + OWNERS.indexOf(owner), value: REFUSED }] : [];
        const all = [...step.elements, ...bad];
        asked.set(owner, new Map(all.map(({ key, value }) => [`set${key % 2} ${key}`, value])));
        store.put(
          owner,
          all.map(({ key, value }) => wanted(key, value)),
        );
        if (!step.flush) continue;
        const refused = store.flush();
        assert.equal(store.isDirty, false);
        for (const [one, map] of asked)
          if (!refused.has(one)) {
            assert.ok(![...map.values()].includes(REFUSED), 'a mistake was not told');
            wants.set(one, map);
          }
        for (const [one, error] of refused) {
          assert.ok(error instanceof SystemError);
          assert.ok([...(asked.get(one)?.values() ?? [])].includes(REFUSED), 'a mistake of somebody else');
        }
        asked.clear();
        const keys = new Set([...wants.values()].flatMap((map) => [...map.keys()]));
        assert.deepEqual(new Set(kernel.elements.keys()), keys);
        for (const [key, value] of kernel.elements)
          assert.ok(
            [...wants.values()].some((map) => map.get(key) === value),
            `${key} has nobody's value`,
          );
      }
    }),
    { numRuns: 500 },
  );
});

test('the latest owner of a key decides its value, and counts it anew; when it goes, the one before takes over', () => {
  const kernel = new StandIn();
  const store = new ElementStore(kernel as unknown as NftElements);
  const births = (): number | undefined => kernel.births.get('set0 2');
  store.put('first', [wanted(2, 1)]);
  assert.equal(store.flush().size, 0);
  store.put('second', [wanted(2, 3)]);
  store.flush();
  assert.deepEqual([kernel.elements.get('set0 2'), births()], [3, 2]);
  store.drop('second');
  store.flush();
  assert.deepEqual([kernel.elements.get('set0 2'), births()], [1, 3]);
  // A closing that waits does not lend its count to who comes.
  store.put('third', [wanted(2, 1)]);
  store.flush();
  store.drop('first');
  store.flush();
  assert.deepEqual([kernel.elements.get('set0 2'), births()], [1, 4]);
});

test('an update that changes one element writes this one, and what is the same writes nothing', () => {
  const kernel = new StandIn();
  const store = new ElementStore(kernel as unknown as NftElements);
  const kept = [wanted(0, 1), wanted(1, 1), wanted(2, 1)];
  store.put('call', kept);
  store.flush();
  store.put('call', [...kept, wanted(4, 1)]);
  store.flush();
  assert.deepEqual(
    [...kernel.births],
    [
      ['set0 0', 1],
      ['set0 2', 1],
      ['set1 1', 1],
      ['set0 4', 1],
    ],
  );
  assert.equal(kernel.transactions, 2);
  store.put('call', [wanted(0, 1), wanted(1, 1), wanted(2, 1), wanted(4, 1)]);
  store.flush();
  assert.equal(kernel.transactions, 2);
});
