/**
 * `sipalg check` through real boxes, as a user runs it: what it says of plain NAT, of no NAT, and of the kernel's own
 * SIP helper. Needs root.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { BoxLab, type BoxOptions, helperObstacle } from './lab.ts';

const obstacle = namespaceObstacle();
const skip = obstacle === undefined ? false : obstacle;

interface Report {
  readonly schema: string;
  readonly verdict: string;
  readonly headline: string;
  readonly nat: string;
  readonly figures: { messages: number; arrived: number; altered: number };
  readonly findings: readonly { fault: string; explanation: string }[];
  readonly edits: readonly { fault: string; explanation: string }[];
  readonly engine?: { kind: string };
  readonly registrar?: { noticesNat: boolean };
}

/** A whole check through a box. */
async function checkThrough(
  box: BoxOptions & { gateway?: boolean },
  ...options: string[]
): Promise<{ code: number; report: Report }> {
  using lab = new BoxLab(box);
  if (box.gateway === true) await lab.gateway();
  const run = await lab.check(
    await lab.reflector(),
    '--json',
    '--patience',
    '200',
    '--idle',
    '1',
    ...options,
  );
  assert.equal(run.stderr, '');
  return { code: run.code, report: JSON.parse(run.stdout) as Report };
}

function dropping(rule: string): string {
  return `table inet box {\n chain forward {\n type filter hook forward priority -5\n ${rule}\n }\n}\n`;
}

function faultsOf(list: Report['findings']): string[] {
  return [...new Set(list.map(({ fault }) => fault))].sort();
}

function explanationOf({ findings }: Report, fault: string): string {
  return findings.find((one) => one.fault === fault)?.explanation ?? '';
}

for (const nat of ['masquerade', 'masquerade fully-random'] as const)
  test(`plain NAT (${nat}) is plain NAT: every octet passes, and nothing is called an ALG`, {
    skip,
  }, async () => {
    const { code, report } = await checkThrough({ nat });
    assert.equal(report.verdict, 'unaltered', report.headline);
    assert.equal(report.nat, 'yes');
    assert.deepEqual(report.findings, []);
    assert.deepEqual(report.edits, []);
    assert.equal(report.figures.altered, 0);
    assert.ok(report.figures.messages > 300, String(report.figures.messages));
    assert.equal(report.registrar?.noticesNat, true);
    assert.equal(code, 0);
  });

test('without NAT it does not say that there is no ALG, because nothing could provoke one', {
  skip,
}, async () => {
  const { code, report } = await checkThrough({ nat: 'none' }, '--quick');
  assert.equal(report.verdict, 'unaltered');
  assert.equal(report.nat, 'no');
  assert.match(report.headline, /cannot be provoked/);
  assert.equal(code, 0);
});

test('the kernel’s SIP helper is seen at work in both directions', {
  skip: skip || helperObstacle(),
}, async () => {
  const { code, report } = await checkThrough({ helper: true });
  assert.equal(report.verdict, 'faulty', report.headline);
  assert.ok(report.figures.altered > 100, String(report.figures.altered));
  assert.equal(report.registrar?.noticesNat, false, 'the helper hides the NAT from a registrar');
  assert.equal(report.engine?.kind, 'helper');
  // What a run of it over our scenarios shows as well (docs/explanation/kernel-alg-compared.md), and no fault of text
  // replacement or of drops: those it does not have.
  const faults = faultsOf(report.findings);
  for (const fault of ['SDP-PART', 'ADDR-FROMTO', 'ADDR-RURI', 'SYN-PORTADD'])
    assert.ok(faults.includes(fault), `${fault} is not among ${faults.join(', ')}`);
  assert.doesNotMatch(faults.join(), /GLOBAL|CALLID|DROP-(?!FRAG)|X-UNKNOWN/);
  // An INVITE that just fits into one packet grows on its way in, and is lost.
  assert.match(explanationOf(report, 'DROP-FRAG'), /1472 octets .* editing makes it too long/);
  assert.ok(faultsOf(report.edits).includes('ADDR-CONTACT'));
  assert.equal(code, 1);
});

test('sipalg’s own gateway is called an ALG, and a correct one', { skip }, async () => {
  const { code, report } = await checkThrough({ gateway: true });
  assert.equal(report.verdict, 'correct-alg', JSON.stringify(report.findings, null, 2));
  assert.deepEqual(report.findings, []);
  assert.ok(report.figures.altered > 100, String(report.figures.altered));
  for (const edit of ['ADDR-CONTACT', 'ADDR-VIA', 'SDP-C', 'SDP-M'])
    assert.ok(faultsOf(report.edits).includes(edit), edit);
  assert.equal(code, 0);
});

test('a box that drops port 5060 is told from one that drops SIP', { skip }, async () => {
  const { code, report } = await checkThrough(
    { rules: dropping('udp dport 5060 drop') },
    '--quick',
    '--idle',
    '0',
  );
  assert.equal(report.verdict, 'faulty');
  assert.match(explanationOf(report, 'DROP-5060'), /the port is blocked/);
  assert.equal(code, 1);
});

test('a mapping that dies within seconds is told, and is called no ALG', { skip }, async () => {
  const { report } = await checkThrough({ udpTimeouts: [1, 1] }, '--quick', '--idle', '0.3,3');
  assert.deepEqual(faultsOf(report.findings), ['TIME-UDP-SHORT']);
  assert.match(report.headline, /^Nothing alters SIP/);
});

test('the report for people shows what was sent and what arrived', {
  skip: skip || helperObstacle(),
}, async () => {
  using lab = new BoxLab({ helper: true });
  const { stdout, stderr } = await lab.check(
    await lab.reflector(),
    '--quick',
    '--patience',
    '200',
    '--idle',
    '0',
  );
  assert.match(stderr, /^done: /m);
  assert.match(stdout, /^ {4}- To: <sip:[g-z]+@203\.0\.113\.1>$/m);
  assert.match(stdout, /^ {4}\+ To: <sip:[g-z]+@192\.168\.77\.10:\d+>$/m);
  assert.match(stdout, /What to do, most promising first/);
});
