import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ExplainedEdit } from '../core/alg/event.ts';
import type { Explanation } from '../core/alg/explain.ts';
import { type RuleId, ruleById } from '../core/alg/rules.ts';
import { renderExplanation } from './explanation.ts';

function edit(text: string, before: string, after: string, rule: RuleId): ExplainedEdit {
  return {
    offset: text.indexOf(before),
    length: before.length,
    before,
    after,
    rule,
    source: ruleById(rule).source,
  };
}

function render(text: string, explanation: Partial<Explanation>, colour = false): string[] {
  const whole = {
    verdict: 'translate',
    why: undefined,
    edits: [],
    defects: [],
    bytes: new Uint8Array(0),
    ...explanation,
  } as const;
  return renderExplanation(Buffer.from(text, 'latin1'), whole, colour).split('\n');
}

test('a changed line stands twice, its rules under it, every other line once', () => {
  const text = 'A: 1\r\nB: one two\r\nC: 3\r\n';
  assert.deepEqual(
    render(text, {
      edits: [edit(text, 'two', '22', 'contact.host-port'), edit(text, 'one', '1', 'via.sent-by')],
    }),
    [
      'translate: 2 edits, every other byte as it was',
      '',
      '  A: 1',
      '- B: one two',
      '+ B: 1 22',
      `    via.sent-by  RFC 3261 §18.1.1  ${ruleById('via.sent-by').summary}`,
      `    contact.host-port  RFC 3261 §8.1.1.8  ${ruleById('contact.host-port').summary}`,
      '  C: 3',
      '',
    ],
  );
});

test('a line that is taken off has no line with a plus', () => {
  const text = 'A: 1\r\nRoute: x\r\nC: 3';
  assert.deepEqual(render(text, { edits: [edit(text, 'Route: x\r\n', '', 'route.own')] }).slice(2, 5), [
    '  A: 1',
    '- Route: x',
    `    route.own  RFC 3261 §16.4  ${ruleById('route.own').summary}`,
  ]);
});

test('an edit over a folded line keeps its lines together', () => {
  const text = 'A: 1\r\nB: one\r\n two\r\nC: 3\r\n';
  assert.deepEqual(render(text, { edits: [edit(text, 'one\r\n two', '12', 'via.sent-by')] }).slice(2, 6), [
    '  A: 1',
    '- B: one',
    '-  two',
    '+ B: 12',
  ]);
});

test('an insertion behind the last byte', () => {
  const text = 'A: 1';
  const at: ExplainedEdit = {
    offset: 4,
    length: 0,
    before: '',
    after: '2',
    rule: 'content-length',
    source: 'x',
  };
  assert.deepEqual(render(text, { edits: [at] }).slice(2, 4), ['- A: 1', '+ A: 12']);
});

test('pass and drop say why; defects have their place', () => {
  assert.equal(render('x', { verdict: 'pass', why: 'not SIP' })[0], 'pass: not SIP, not a byte changes');
  const dropped = render('x', {
    verdict: 'drop',
    why: 'flood',
    defects: [{ code: 'not-sip', text: 'Not SIP.', offset: 0 }],
  });
  assert.equal(dropped[0], 'drop: flood');
  assert.ok(dropped.includes('  not-sip at byte 0  Not SIP.'));
});

test('nothing in a message can steer the terminal, and names are readable', () => {
  const lines = render(Buffer.from('A: \u001b[2J\u0007 Zoë\r\nB: \u0000\r\n').toString('latin1'), {
    verdict: 'pass',
  });
  assert.deepEqual(lines.slice(2, 4), ['  A: \\x1b[2J\\x07 Zoë', '  B: \\x00']);
  assert.deepEqual(render('A: \xff\x9b', { verdict: 'pass' }).slice(2, 3), ['  A: ÿ\\x9b']);
});

test('without colour there is no escape sequence, with colour there is', () => {
  assert.ok(!render('x', { verdict: 'pass' }).join('').includes('\u001b'));
  assert.ok(render('x', { verdict: 'pass' }, true).join('').includes('\u001b'));
});
