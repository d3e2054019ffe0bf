/**
 * What our own gateway does to every message of every scenario, in the eyes of the comparison: it is unaltered, or what
 * a correct ALG does. Where it is not, the reason stands here.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareMessages } from '../../src/core/detect/compare.ts';
import type { KnownMapping } from '../../src/core/detect/comparison.ts';
import { looksLikeSip } from '../../src/core/detect/layout.ts';
import type { Endpoint } from '../../src/core/net/address.ts';
import type { Driver } from '../scenario/driver.ts';
import { messagesOf, startEngine } from '../scenario/engine-driver.ts';
import { readScenario, scenarioPaths } from '../scenario/files.ts';
import { playScenario } from '../scenario/run.ts';
import type { Scenario } from '../scenario/scenario.ts';

interface Crossed {
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
  readonly direction: 'to-server' | 'to-client';
  readonly inside: Endpoint;
  readonly outside: Endpoint;
  readonly mappings: readonly KnownMapping[];
}

/** Every message that crossed from one side to the other, with what is known of the mappings at that time. */
async function crossings(scenario: Scenario): Promise<Crossed[]> {
  const crossed: Crossed[] = [];
  await playScenario(scenario, async (one): Promise<Driver> => {
    const driver = await startEngine(one);
    const known: KnownMapping[] = [];
    const isPhone = (endpoint: Endpoint): boolean => /^(?:192\.168\.|10\.|fd)/.test(endpoint.address);
    return {
      ...driver,
      send: async (side, from, to, bytes, by) => {
        const outcome = await driver.send(side, from, to, bytes, by);
        for (const { kind, fields } of outcome.events)
          if (kind === 'mapping.opened')
            known.push({ inside: fields.internal as Endpoint, outside: fields.external as Endpoint });
        for (const { inside, external, ports } of driver.media())
          for (let i = 0; i < ports; i++)
            known.push({
              inside: { ...inside, port: inside.port + i },
              outside: { ...external, port: external.port + i },
            });
        // What comes in one segment arrives message by message, in its order.
        const messages = by?.transport === 'tcp' ? messagesOf(bytes) : [bytes];
        for (const [i, arrival] of outcome.arrivals.entries()) {
          const sent = messages[i] ?? bytes;
          if (!looksLikeSip(bytes) || !looksLikeSip(arrival.bytes)) continue;
          const isOut = side === 'internal';
          // Turned round inside: nobody but the gateway has seen it outside.
          if (isOut && isPhone(arrival.to)) continue;
          crossed.push({
            sent,
            received: arrival.bytes,
            direction: isOut ? 'to-server' : 'to-client',
            inside: isOut ? from : arrival.to,
            outside: isOut ? arrival.from : to,
            mappings: [...known],
          });
        }
        return outcome;
      },
    };
  });
  return crossed;
}

/** Faults that a scenario has on purpose, and why. */
const expected: readonly { readonly path: RegExp; readonly fault: string; readonly why: string }[] = [
  {
    path: /with-a-rule-switched-off/,
    fault: 'ADDR-VIA',
    why: 'the operator has switched the rule for Contact off',
  },
];

test('our own gateway is unaltered or correct-alg in every scenario', async () => {
  const wrong: string[] = [];
  let count = 0;
  for (const path of scenarioPaths()) {
    // In explicit mode phones name the gateway: it is a hop of its own, with a Via and a family of its own.
    if (path.startsWith('explicit/')) continue;
    const scenario = readScenario(path);
    const messages = await crossings(scenario);
    for (const { sent, received, direction, inside, outside, mappings } of messages) {
      const { verdict, findings } = compareMessages(sent, received, { direction, inside, outside, mappings });
      count++;
      const named = findings.filter(({ consistent }) => !consistent).map(({ fault }) => fault);
      if (
        named.length > 0 &&
        named.every((fault) => expected.some((one) => one.path.test(path) && one.fault === fault))
      )
        continue;
      if (verdict === 'faulty')
        wrong.push(
          `${path} ${direction}\n${findings
            .filter((one) => !one.consistent)
            .map((one) => `    ${one.fault} ${one.where.line}: ${one.explanation}`)
            .join('\n')}`,
        );
    }
  }
  assert.ok(count > 500, `only ${count} messages`);
  assert.deepEqual(wrong, []);
});
