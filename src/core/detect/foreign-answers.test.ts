import assert from 'node:assert/strict';
import { test } from 'node:test';
import { octetsOf, textOf } from '../sip/octets.ts';
import { foreignAnswers, proxyAnswer } from './foreign-answers.ts';
import type { Passage } from './passage.ts';
import { phoneRequest, responseTo } from './probe.ts';

const phone = { address: '192.168.1.33', port: 40_000 };
const server = { address: '203.0.113.10', port: 5060 };
const [FIRST, SECOND, ANSWER] = ['g'.repeat(34), 'h'.repeat(34), 'j'.repeat(34)];

function request(id: string, received: boolean): Passage {
  const sent = phoneRequest({
    ...{ id, method: 'REGISTER', transport: 'UDP', dress: 'plain', inside: phone, server },
  });
  return {
    ...{ id, step: 'matrix', what: 'REGISTER', direction: 'to-server', transport: 'udp', portKind: 'sip' },
    ...{ inside: phone, outside: undefined, server, sent, sentAt: 0, received: received ? sent : undefined },
    ...{ receivedAt: undefined, deliveredTo: undefined, tries: 3, recognised: true },
  };
}

/** As a box answers: it knows nothing of the reflector's mark. */
function ofBox(passage: Passage, status = '200 OK'): { remote: typeof server; bytes: Uint8Array } {
  const answer = responseTo({
    ...{ id: ANSWER, request: passage.sent, status: 200, reason: 'OK', own: server, transport: 'UDP' },
  });
  const text = textOf(answer, 0, answer.length)
    .replaceAll(ANSWER, 'box')
    .replace('200 OK', status)
    .replace('X-Probe: box', 'Server: \x1b[2JHomeBox');
  return { remote: server, bytes: octetsOf(text) };
}

test('answers to requests that never arrived are somebody else’s', () => {
  const passages = [request(FIRST, false), request(SECOND, false)];
  const answers = foreignAnswers(
    passages.map((one) => ofBox(one)),
    passages,
    new Set([ANSWER]),
  );
  const found = proxyAnswer(answers, ' It is near.');
  assert.equal(found?.fault, 'PROXY-ANSWER');
  assert.match(found.explanation, /^2 requests .* 2 never reached the reflector.*HomeBox.* It is near\.$/);
  assert.ok(!found.explanation.includes('\x1b'), 'a terminal is told nothing by a stranger');
});

test('one alone is not enough', () => {
  const passages = [request(FIRST, false)];
  assert.equal(
    proxyAnswer(foreignAnswers([ofBox(passages[0]!), ofBox(passages[0]!)], passages, new Set())),
    undefined,
  );
});

test('the reflector’s own answers are none, marked or damaged', () => {
  const one = request(FIRST, true);
  const sent = responseTo({
    ...{ id: ANSWER, request: one.sent, status: 200, reason: 'OK', own: server, transport: 'UDP' },
  });
  const given: Passage = { ...one, id: ANSWER, direction: 'to-client', sent, received: sent };
  const passages = [one, given];
  assert.deepEqual(foreignAnswers([{ remote: server, bytes: sent }], passages, new Set([ANSWER])), []);
  // A box has cut the mark off: the same request was answered with the same status.
  assert.deepEqual(foreignAnswers([ofBox(one)], passages, new Set([ANSWER])), []);
  assert.equal(foreignAnswers([ofBox(one, '404 Not Found')], passages, new Set([ANSWER])).length, 1);
});
