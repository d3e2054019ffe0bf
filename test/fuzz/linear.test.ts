/**
 * No input of 64 KiB costs more than linear work: counted in steps at one, two and four times a size, for every family of
 * hostile inputs and every reader, and for the engine as a whole in each of its modes.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Family } from './hostile.ts';
import { toOctets } from './octets.ts';
import type { Reader } from './readers.ts';
import { countSteps, startCounting, stopCounting } from './steps.ts';

startCounting();
after(stopCounting);
// What is counted is imported after counting has begun.
const { readers } = await import('./readers.ts');

/** The largest is just below 64 KiB, which is the most that is looked into. */
const SIZES = [16_000, 32_000, 64_000];
/** For what is known to cost more, so that proving it stays cheap. */
const SMALL_SIZES = [2_000, 4_000, 8_000];
/** Twice the input, and at most so many times the work: 2 is linear, 4 is quadratic. */
const MOST_GROWTH = 2.5;

interface Gap {
  readonly reader: RegExp;
  readonly families: RegExp;
  readonly why: string;
  /** Default SMALL_SIZES. */
  readonly sizes?: readonly number[];
}

/** What costs more to this day: reader, families, why. Mended, it fails here, and the line has to go. */
const gaps: readonly Gap[] = [];

for (const reader of readers) {
  test(`${reader.name}: the work grows as the input does`, () => {
    for (const family of reader.families) {
      if (gapOf(reader, family) !== undefined) continue;
      const { growth, perOctet, text } = measure(reader, family, SIZES);
      assert.ok(growth <= MOST_GROWTH && perOctet <= reader.mostPerOctet, text);
    }
  });
}

for (const reader of readers) {
  const known = reader.families.filter((family) => gapOf(reader, family) !== undefined);
  if (known.length === 0) continue;
  test(`${reader.name}: ${known.length} known gaps are still there`, () => {
    for (const family of known) {
      const { growth, perOctet, text } = measure(reader, family, gapOf(reader, family)?.sizes ?? SMALL_SIZES);
      assert.ok(
        growth > MOST_GROWTH || perOctet > reader.mostPerOctet,
        `mended, so take the mark off (${gapOf(reader, family)?.why}): ${text}`,
      );
    }
  });
}

function gapOf(reader: Reader, family: Family): Gap | undefined {
  return gaps.find((gap) => gap.reader.test(reader.name) && gap.families.test(family.name));
}

function measure(
  reader: Reader,
  family: Family,
  sizes: readonly number[],
): { growth: number; perOctet: number; text: string } {
  const steps: number[] = [];
  let length = 1;
  for (const size of sizes) {
    const bytes = toOctets(family.make(size));
    length = bytes.length;
    steps.push(countSteps(reader.prepare(bytes), reader.folders));
  }
  const growth = Math.max(...steps.slice(1).map((count, i) => count / steps[i]!));
  const perOctet = steps.at(-1)! / length;
  const text = `${reader.name}, ${family.name}: ${steps.join(', ')} steps for ${sizes.join(', ')} octets, ${perOctet.toFixed(0)} an octet`;
  return { growth, perOctet, text };
}
