/** What keeps a setting, and what takes it back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Severity } from '../core/detect/fault.ts';
import type { FaultId } from '../core/detect/faults.ts';
import { compareChecks } from './fix-judgement.ts';

type Faults = Partial<Record<FaultId, Severity>>;

function report(faults: Faults, { arrived = 100, altered = 0 } = {}, verdict?: 'unaltered' | 'inconclusive') {
  const findings = Object.entries(faults).map(([fault, severity]) => ({ fault: fault as FaultId, severity }));
  return { verdict: verdict ?? ('faulty' as const), findings, figures: { messages: 100, arrived, altered } };
}

const helper = report({ 'ADDR-FROMTO': 4, 'SDP-PART': 4, 'SYN-PORTADD': 2 }, { altered: 48 });

test('nothing is left: mended', () => {
  assert.equal(compareChecks(helper, report({}, {}, 'unaltered')), 'mended');
});

test('something grave is gone: better', () => {
  assert.equal(compareChecks(helper, report({ 'SYN-PORTADD': 2 }, { altered: 48 })), 'better');
  assert.equal(
    compareChecks(helper, report({ 'SYN-PORTADD': 2, 'TIME-UDP-SHORT': 3 }, { altered: 3 })),
    'better',
  );
});

test('much is gone, though the gravest is left: better', () => {
  assert.equal(compareChecks(helper, report({ 'ADDR-FROMTO': 4, 'SDP-PART': 4 }, { altered: 20 })), 'better');
});

test('one look finds what another misses: unchanged', () => {
  const more = report(
    { 'ADDR-FROMTO': 4, 'SDP-PART': 4, 'SYN-PORTADD': 2, 'DROP-MALFORMED': 3 },
    { altered: 48 },
  );
  assert.equal(compareChecks(helper, more), 'unchanged');
  assert.equal(compareChecks(more, helper), 'unchanged');
  assert.equal(compareChecks(helper, helper), 'unchanged');
});

test('a router that lets nothing through alters nothing, and is worse', () => {
  assert.equal(compareChecks(helper, report({ 'MULTI-ONESERVER': 3 }, { arrived: 76 })), 'worse');
  assert.equal(compareChecks(helper, report({ 'DROP-5060': 4 }, { arrived: 98 })), 'worse');
});

test('who cannot see any more, or only with less, has not mended anything', () => {
  assert.equal(compareChecks(helper, undefined), 'worse');
  assert.equal(compareChecks(helper, report({}, {}, 'inconclusive')), 'worse');
});
