import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf, textOf } from '../sip/octets.ts';
import { assess, isEditedCorrectly } from './assessment.ts';
import type { CheckRecord, Workaround } from './check-report.ts';
import type { Passage } from './passage.ts';
import { type Method, phoneRequest } from './probe.ts';

const phone = { address: '192.168.1.33', port: 40_000 };
const outside = { address: '198.51.100.7', port: 41_234 };
const server = { address: '203.0.113.10', port: 5060 };
let serial = 0;

/** A message of the phone, and what a box makes of it; undefined is a loss. */
function passage(
  method: Method,
  box: (text: string) => string | undefined,
  more: Partial<Passage> = {},
): Passage {
  const id = 'g'.repeat(30) + 'ghij'[serial++ % 4]!.repeat(4);
  const sent = phoneRequest({
    ...{ id, method, transport: 'UDP', dress: 'plain', inside: phone, server },
  });
  const came = box(textOf(sent, 0, sent.length));
  return {
    ...{ id, step: 'matrix', what: method, direction: 'to-server', transport: 'udp', portKind: 'sip' },
    ...{ inside: phone, outside, server, sent, sentAt: 0, receivedAt: 1, deliveredTo: undefined },
    ...{ received: came === undefined ? undefined : octetsOf(came), tries: 3, recognised: true },
    ...more,
  };
}

function record(passages: readonly Passage[], workarounds: readonly Workaround[] = []): CheckRecord {
  return { passages, observations: [], steps: [], facts: [], workarounds };
}

const same = (text: string): string => text;
const correct = (text: string): string => text.replaceAll('192.168.1.33:40000', '198.51.100.7:41234');
const wrong = (text: string): string => text.replaceAll('192.168.1.33:40000', '198.51.100.9:1');

test('nothing came through: nothing can be said', () => {
  const report = assess(record([passage('INVITE', () => undefined)]));
  assert.equal(report.verdict, 'inconclusive');
  assert.equal(report.nat, 'not-checked');
});

test('the translation of the packet’s source alone is no edit', () => {
  const report = assess(record([passage('REGISTER', same), passage('INVITE', same)]));
  assert.equal(report.verdict, 'unaltered');
  assert.equal(report.nat, 'yes');
  assert.deepEqual([report.findings, report.edits], [[], []]);
});

test('without NAT it is not said that there is no ALG', () => {
  const report = assess(record([passage('REGISTER', same, { outside: phone })]));
  assert.equal(report.nat, 'no');
  assert.match(report.headline, /cannot be provoked/);
});

test('the real mapping in Via and Contact is an edit and no fault; another address is a fault', () => {
  const right = assess(record([passage('REGISTER', correct), passage('REGISTER', correct)]));
  assert.equal(right.verdict, 'correct-alg', JSON.stringify(right.findings.map(({ fault }) => fault)));
  assert.ok(right.edits.some(({ fault }) => fault === 'ADDR-CONTACT'));
  assert.equal(right.registrar?.noticesNat, false, 'an ALG that means well hides the NAT');
  const false_ = assess(record([passage('REGISTER', wrong), passage('REGISTER', wrong)]));
  assert.equal(false_.verdict, 'faulty');
  assert.ok(false_.findings.every(({ consistent }) => !consistent));
});

test('many messages that show the same are one finding, with how often it was seen', () => {
  const passages = [passage('REGISTER', wrong), passage('REGISTER', wrong), passage('INVITE', same)];
  const { findings } = assess(record(passages));
  const contact = findings.filter(({ fault }) => fault.startsWith('ADDR-CONTACT'));
  assert.equal(contact.length, 1);
  assert.deepEqual([contact[0]!.seen, contact[0]!.of, contact[0]!.repeated], [2, 3, true]);
});

test('a loss while others pass counts after three tries, and not before', () => {
  const lost = (tries: number): readonly string[] =>
    assess(
      record([
        passage('INVITE', () => undefined, { tries }),
        passage('REGISTER', same),
        passage('BYE', same),
      ]),
    ).findings.map(({ fault }) => fault);
  assert.deepEqual(lost(1), []);
  assert.deepEqual(lost(3), ['DROP-METHOD']);
});

test('advice that was tried here and fails is not given; what was tried and works is', () => {
  const passages = [passage('REGISTER', wrong), passage('REGISTER', wrong)];
  const given = (works: Workaround['works']): boolean =>
    assess(record(passages, [{ remedy: 'tls', what: 'TLS', works, result: '' }])).advice.some(
      ({ id }) => id === 'tls',
    );
  assert.equal(given('no'), false);
  assert.equal(given('edited'), false);
  assert.equal(given('edited-correctly'), true);
  assert.equal(given('yes'), true);
  assert.equal(given('not-checked'), true);
});

test('a way on which everything is edited rightly is told from one on which it is not', () => {
  const right = [passage('REGISTER', correct, { portKind: 'other', step: 'workaround' })];
  const bad = [passage('REGISTER', wrong, { portKind: 'other', step: 'workaround' })];
  assert.equal(isEditedCorrectly(right, right), true);
  assert.equal(isEditedCorrectly(bad, bad), false);
});
