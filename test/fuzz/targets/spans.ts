/** Laws about spans that several targets share. */
import assert from 'node:assert/strict';
import type { Span } from '../../../src/core/net/span.ts';

export function inside(span: Span, outer: Span, what: string): void {
  assert.ok(
    Number.isInteger(span.start) &&
      span.start >= outer.start &&
      span.start <= span.end &&
      span.end <= outer.end,
    `${what} ${span.start}–${span.end} is not inside ${outer.start}–${outer.end}`,
  );
}

export function isPort(port: number | undefined, what: string): void {
  assert.ok(
    port === undefined || (Number.isInteger(port) && port >= 1 && port <= 65_535),
    `${what}: port ${port}`,
  );
}

/** Octets around a range that a reader which looks past its end would take for more of it. */
export function surrounded(
  bytes: Uint8Array,
  before: string,
  after: string,
): { bytes: Uint8Array; start: number } {
  const all = Buffer.concat([Buffer.from(before, 'latin1'), bytes, Buffer.from(after, 'latin1')]);
  return { bytes: new Uint8Array(all), start: before.length };
}

/** A plain copy with every span and offset moved back by `by`: so results at two places can be compared. */
export function shifted(value: unknown, by: number): unknown {
  if (Array.isArray(value)) return value.map((one) => shifted(one, by));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key,
      typeof one === 'number' && OFFSETS.has(key) ? one - by : shifted(one, by),
    ]),
  );
}

const OFFSETS = new Set(['start', 'end', 'parameters']);
