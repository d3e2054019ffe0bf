/** What the engine keeps is what it knows of phones and calls: hours change nothing, and no message's text is part of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Traffic } from './traffic.ts';

const MINUTE_MS = 60_000;
const LOAD = { phones: 200, callsPerSecond: 2, holdMs: 20_000 };
/** The compiler's own tables grow with what it has seen; more than this is something that is kept. */
const NOISE_BYTES = 1_000_000;

/** Transactions, and whatever waits for the time at which it was once due, are at their most after 10 minutes. */
function settled(ballast: number): { traffic: Traffic; heldBytes: number } {
  const traffic = new Traffic({ ...LOAD, ballast });
  traffic.pass(10 * MINUTE_MS, true);
  return { traffic, heldBytes: traffic.heldBytes() };
}

test('an hour of registrations and calls leaves the engine as large as it was', () => {
  const { traffic, heldBytes } = settled(0);
  traffic.pass(60 * MINUTE_MS, true);
  const grown = traffic.heldBytes() - heldBytes;
  assert.ok(traffic.count > 60_000, `only ${traffic.count} messages`);
  assert.ok(grown < NOISE_BYTES, `${grown} octets more after an hour`);
});

test('no table keeps the text of the messages that it was filled from', () => {
  const ballast = 8_000;
  const plain = settled(0);
  const heavy = settled(ballast);
  const { transactions } = heavy.traffic.snapshot;
  assert.ok(transactions * ballast > 4 * NOISE_BYTES, `only ${transactions} transactions`);
  const more = heavy.heldBytes - plain.heldBytes;
  assert.ok(more < 2 * NOISE_BYTES, `${more} octets more where each message is ${ballast} octets longer`);
});
