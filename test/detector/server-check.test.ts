/**
 * `sipalg check --server` as a user runs it, against servers that know nothing of sipalg: what their answers let conclude,
 * and that nothing beyond it is said. Needs root.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { BOX_OUTSIDE, BoxLab, type BoxOptions, CLIENT, helperObstacle, SERVER } from './lab.ts';
import { OpenRegistrar, responseTo, type Script, ScriptedServer } from './provider.ts';

const obstacle = namespaceObstacle();
const skip = obstacle === undefined ? false : obstacle;

interface Report {
  readonly schema: string;
  readonly verdict: string;
  readonly headline: string;
  readonly nat: string;
  readonly findings: readonly { fault: string; confidence: string; explanation: string }[];
  readonly edits: readonly { fault: string; confidence: string; explanation: string }[];
  readonly steps: readonly { id: string; state: string; sign: string; result: string }[];
  readonly figures: { messages: number; arrived: number };
}

const TARGET = `sip:${SERVER}`;

async function ask(lab: BoxLab, ...options: string[]): Promise<{ code: number; report: Report }> {
  const run = await lab.check('--server', TARGET, '--json', '--patience', '150', ...options);
  assert.equal(run.stderr, '');
  const report = JSON.parse(run.stdout) as Report;
  assert.equal(report.schema, 'sipalg-check/1');
  assert.ok(['faulty', 'inconclusive'].includes(report.verdict), 'a server’s answers never clear a path');
  for (const { confidence } of [...report.findings, ...report.edits]) assert.match(confidence, /^[BC]$/);
  return { code: run.code, report };
}

async function askScripted(
  script: Script,
  box: BoxOptions = {},
  ...options: string[]
): Promise<{ code: number; report: Report; requests: readonly string[] }> {
  using lab = new BoxLab(box);
  using server = await ScriptedServer.start(lab, script);
  return { ...(await ask(lab, ...options)), requests: server.requests };
}

function signOf(report: Report, id: string): string | undefined {
  return report.steps.find((step) => step.id === id)?.sign;
}

function resultOf(report: Report, id: string): string {
  return report.steps.find((step) => step.id === id)?.result ?? '';
}

// They wait most of their time: no more than two packets a second go to a server of somebody else’s.
describe('a server of somebody else’s', { concurrency: 3 }, () => {
  test('Kamailio behind plain NAT: no sign, and no claim that there is no ALG', { skip }, async () => {
    using lab = new BoxLab();
    await using _ = await OpenRegistrar.start(lab);
    const { code, report } = await ask(lab, '--register');
    assert.equal(report.verdict, 'inconclusive', JSON.stringify(report.findings));
    assert.match(report.headline, /^No sign of an ALG, which is no proof/);
    assert.deepEqual([report.findings, report.edits], [[], []]);
    assert.equal(report.nat, 'yes');
    for (const id of ['answer', 'mapping', 'echo', 'vias', 'max-forwards', 'size', 'register'])
      assert.equal(signOf(report, id), 'no', `${id}: ${resultOf(report, id)}`);
    assert.match(resultOf(report, 'mapping'), new RegExp(`sees this machine as ${BOX_OUTSIDE}:`));
    assert.match(resultOf(report, 'max-forwards'), /483/);
    for (const id of ['quote', 'other-port', 'beyond']) assert.equal(signOf(report, id), 'not-checked');
    assert.equal(code, 3);
  });

  test('over TCP it works the same', { skip }, async () => {
    using lab = new BoxLab();
    await using _ = await OpenRegistrar.start(lab);
    const run = await lab.check('--server', `${TARGET};transport=tcp`, '--json');
    const report = JSON.parse(run.stdout) as Report;
    assert.equal(report.verdict, 'inconclusive');
    assert.equal(signOf(report, 'mapping'), 'no', resultOf(report, 'mapping'));
    assert.equal(signOf(report, 'register'), 'not-checked');
  });

  test('the kernel’s SIP helper translates `received`, which is a sign; what it undoes is told to be unseen', {
    skip: skip || helperObstacle(),
  }, async () => {
    using lab = new BoxLab({ helper: true });
    await using _ = await OpenRegistrar.start(lab);
    const { code, report } = await ask(lab);
    assert.equal(report.verdict, 'inconclusive', JSON.stringify(report.findings));
    assert.match(report.headline, /^There is a sign of an ALG/);
    assert.equal(signOf(report, 'mapping'), 'yes', resultOf(report, 'mapping'));
    assert.deepEqual(
      report.edits.map(({ fault }) => fault),
      ['ADDR-REVERSE'],
    );
    assert.match(resultOf(report, 'echo'), /undone on the way back cannot be seen/);
    assert.equal(code, 3);
  });

  test('sipalg’s own gateway tells the phone its own address in `received`: a sign, and nothing said of harm', {
    skip,
  }, async () => {
    using lab = new BoxLab();
    await lab.gateway();
    await using _ = await OpenRegistrar.start(lab);
    const { report } = await ask(lab);
    assert.equal(report.verdict, 'inconclusive', JSON.stringify(report.findings));
    assert.deepEqual(
      report.edits.map(({ fault }) => fault),
      ['ADDR-REVERSE'],
    );
  });

  test('a server that quotes the request shows edits that were undone on the way back', {
    skip: skip || helperObstacle(),
  }, async () => {
    const script: Script = (request, from) => [
      responseTo(request, from, {
        status: '400 Look at this',
        more: ['Content-Type: text/plain'],
        body: request.replace(/Content-Length: 0\r\n\r\n$/, ''),
      }),
    ];
    const { report } = await askScripted(script, { helper: true });
    assert.equal(signOf(report, 'quote'), 'yes', resultOf(report, 'quote'));
    assert.match(
      resultOf(report, 'quote'),
      new RegExp(`Via arrived as ${BOX_OUTSIDE}:\\d+, and had been sent as ${CLIENT}:`),
    );
    // Of the Contact there is no sign: the helper looks for it beyond the end of the header, and undoes it in the quote.
    assert.ok(report.edits.some(({ fault }) => fault === 'ADDR-VIA'));
    assert.ok(!report.edits.some(({ fault }) => fault === 'ADDR-CONTACT'));
  });

  test('a branch, a Call-ID and a Via that come back altered do harm', { skip }, async () => {
    const script: Script = (request, from) => [
      responseTo(request, from)
        .replace(/z9hG4bK/, 'z9hG4bKx')
        .replace(/Call-ID: (\w+)@[\d.]+/, `Call-ID: $1@${BOX_OUTSIDE}`),
    ];
    const { code, report } = await askScripted(script);
    assert.equal(report.verdict, 'faulty');
    const faults = report.findings.map(({ fault }) => fault);
    assert.ok(faults.includes('HDR-BRANCH') && faults.includes('ADDR-CALLID'), faults.join());
    assert.match(report.headline, /It may be the provider’s doing/);
    assert.equal(code, 1);
  });

  test('a server that says 403 is left alone, and is told nothing more', { skip }, async () => {
    const { report, requests } = await askScripted((request, from) => [
      responseTo(request, from, { status: '403 Go away' }),
    ]);
    // On a busy machine the same request may have been sent twice before the answer was read.
    assert.equal(new Set(requests).size, 1);
    assert.match(resultOf(report, 'vias'), /has said 403/);
  });

  test('a silent server is told from nothing: no verdict, and few packets', { skip }, async () => {
    const { code, report, requests } = await askScripted(() => []);
    assert.equal(report.verdict, 'inconclusive');
    assert.match(report.headline, /does not answer/);
    assert.equal(requests.length, 3);
    assert.ok(report.steps.every(({ sign }) => sign === 'not-checked'));
    assert.equal(code, 3);
  });

  test('garbage, floods and answers that nobody asked for are survived and told', { skip }, async () => {
    const garbage = [
      '\0\0\0\x1b[2J',
      'SIP/2.0',
      'SIP/2.0 999999 \x1b[31m\r\n\r\n',
      `SIP/2.0 200 ${'x'.repeat(30_000)}`,
    ];
    const { report } = await askScripted(() =>
      Array.from({ length: 200 }, (_, i) => garbage[i % garbage.length]!),
    );
    assert.equal(report.verdict, 'inconclusive');
    assert.match(report.headline, /no SIP/);
    const many = `${'Via: SIP/2.0/UDP 1.2.3.4;branch=z9\r\n'.repeat(900)}`;
    const hostile = await askScripted((request, from) => [
      responseTo(request, from, {
        tellsSource: false,
        more: [`Warning: 399 x "\x1b[2J${'y'.repeat(5000)}"`],
      }).replace('\r\n', `\r\n${many}`),
    ]);
    assert.equal(hostile.report.verdict, 'faulty');
    assert.ok(JSON.stringify(hostile.report).length < 1_000_000);
  });

  test('a name that is none, a port where nobody listens, and a wrong line are clear errors', {
    skip,
  }, async () => {
    using lab = new BoxLab();
    const none = await lab.check('--server', 'sip:provider.invalid');
    assert.equal(none.code, 3);
    assert.match(none.stderr, /^sipalg: detector\/unreachable: provider\.invalid is not found/);
    const closed = await lab.check('--server', `${TARGET}:5999;transport=tcp`);
    assert.equal(closed.code, 3);
    assert.match(closed.stderr, /nothing listens at that port/);
    const unheard = await lab.check('--server', `${TARGET}:5999`, '--json');
    assert.match(resultOf(JSON.parse(unheard.stdout) as Report, 'answer'), /nothing listens at that port/);
    for (const [wrong, words] of [
      [['--server', 'https://provider.example'], /not a SIP server/],
      [['--server', 'sip:provider.example;transport=tls'], /not a SIP server/],
      [['--server', TARGET, '--quick'], /goes with a reflector/],
      [['--server', TARGET, 'host:443/a/b'], /two checks/],
      [['--register'], /goes with --server/],
      [['--json'], /nothing to check against/],
    ] as const) {
      const run = await lab.check(...(wrong as unknown as [string, ...string[]]));
      assert.equal(run.code, 2, run.stderr);
      assert.match(run.stderr, words);
    }
  });

  test('text and HTML of the report, without the server’s and this line’s addresses', { skip }, async () => {
    using lab = new BoxLab();
    using _ = await ScriptedServer.start(lab, (request, from) => [responseTo(request, from)]);
    const { stdout } = await lab.check('--server', TARGET, '--redact', '--patience', '150');
    assert.match(stdout, /^No sign of an ALG/m);
    assert.match(stdout, /the server is SERVER:5060/);
    assert.match(stdout, /PUBLIC-ADDRESS:\d+/);
    assert.ok(!stdout.includes(SERVER) && !stdout.includes(BOX_OUTSIDE));
  });
});
