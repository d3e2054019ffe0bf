/**
 * Single steps of `sipalg check` through real boxes that the kernel's firewall makes faulty: calls from elsewhere, a second
 * phone, many messages at once, another destination than was named. Needs root.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { BoxLab, type BoxOptions, SECOND_SERVER, SERVER } from './lab.ts';

const skip = namespaceObstacle() ?? false;

interface Report {
  readonly findings: readonly { fault: string; explanation: string }[];
  readonly facts: readonly { id: string; text: string }[];
  readonly steps: readonly { id: string; state: string; result: string }[];
}

async function only(step: string, box: BoxOptions, ...options: string[]): Promise<Report> {
  using lab = new BoxLab(box);
  const run = await lab.check(
    await lab.reflector(),
    ...['--json', '--patience', '200', '--idle', '0.5', '--only', step, ...options],
  );
  assert.equal(run.stderr, '');
  return JSON.parse(run.stdout) as Report;
}

function forward(rules: string): string {
  return `table inet box {\n chain forward {\n type filter hook forward priority -5\n ${rules}\n }\n}\n`;
}

function named({ findings }: Report): string[] {
  return findings.map(({ fault }) => fault).sort();
}

function resultOf({ steps }: Report, id: string): string | undefined {
  return steps.find((step) => step.id === id)?.result;
}

test('a call after a pause comes in, with audio; that strangers are kept out is the NAT’s nature', {
  skip,
}, async () => {
  const report = await only('incoming', {});
  assert.deepEqual(named(report), []);
  assert.match(resultOf(report, 'incoming') ?? '', /a call comes in, with audio both ways/);
  assert.deepEqual(
    report.facts.map(({ id }) => id).filter((id) => id.startsWith('calls-')),
    ['calls-other-port', 'calls-other-address'],
  );
});

test('a box that lets only the registrar call is told from a NAT that filters', { skip }, async () => {
  const rules = forward(`ip saddr ${SECOND_SERVER} udp sport 5060 drop`);
  const report = await only('incoming', { nat: 'none', rules });
  assert.deepEqual(named(report), ['DROP-STRICTREG']);
});

test('a box that keeps out another port of the registrar alone is named', { skip }, async () => {
  const rules = forward(`ip saddr ${SERVER} udp sport 5070 drop`);
  const report = await only('incoming', { nat: 'none', rules });
  assert.deepEqual(named(report), ['DROP-SPI']);
});

test('two phones work side by side through plain NAT, on the same port as well', { skip }, async () => {
  const report = await only('phones', {});
  assert.deepEqual(named(report), []);
  assert.match(resultOf(report, 'phones') ?? '', /^two phones work side by side, also both on port 5060$/);
});

test('a box with room for one phone is named', { skip }, async () => {
  const rules = forward('iifname "lan" udp dport 5060 ct state new ct count over 1 drop');
  const report = await only('phones', { rules });
  assert.deepEqual(named(report), ['MULTI-ONESERVER']);
});

test('a guard against floods is named, and plain NAT is none', { skip }, async () => {
  const rules = forward('iifname "lan" udp dport 5060 limit rate over 30/second burst 5 packets drop');
  assert.deepEqual(named(await only('burst', { rules })), ['DROP-RATE']);
  assert.deepEqual(named(await only('burst', {})), []);
});

test('what is led to another server than was named is noticed', { skip }, async () => {
  const lead = `iifname "lan" ip daddr ${SECOND_SERVER} udp dport 5060 dnat to ${SERVER}`;
  const rules = `table ip lead {\n chain prerouting {\n type nat hook prerouting priority dstnat - 1\n ${lead}\n }\n}\n`;
  const report = await only('intercept', { rules });
  assert.deepEqual(named(report), ['PROXY-REDIRECT']);
  assert.match(report.findings[0]!.explanation, /203\.0\.113\.11:5060 comes to 203\.0\.113\.10:5060/);
});

test('phones pass under any name through plain NAT', { skip }, async () => {
  const report = await only('names', {});
  assert.deepEqual(named(report), []);
  assert.match(resultOf(report, 'names') ?? '', /pass$/);
});
