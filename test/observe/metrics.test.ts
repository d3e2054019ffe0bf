/** What Prometheus gets of a gateway that runs; promtool is the judge, also of what is made of it under contrib/. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Gateway } from '../../demo/gateway.ts';
import { rules } from '../../src/core/alg/rules.ts';
import { type Levels, Metrics } from '../../src/observe/metrics.ts';
import { request, respond, sdp } from '../engine/bench.ts';
import { Recorded } from './recorded.ts';

const contrib = fileURLToPath(new URL('../../contrib/', import.meta.url));
const missing =
  'promtool is missing: nothing judges metrics and alert rules (Debian: apt-get install prometheus)';
const isHere = spawnSync('promtool', ['--version']).status === 0;
if (!isHere) process.stderr.write(`\n*** ${missing} ***\n\n`);
const skip = !isHere && missing;

const levels: Levels = {
  isOn: true,
  isActive: false,
  registrations: 2,
  calls: { early: 0, confirmed: 1, ending: 0 },
  streams: { 'both-ways': 1, 'one-way': 0, silent: 0, unknown: 0 },
  tables: [{ table: 'mappings', used: 3, limit: 4096 }],
  mediaPorts: { used: 2, limit: 1000 },
  mediaPackets: { fromPhone: 100, toPhone: 99 },
  dropped: { strangers: 5 },
  heartbeats: 7,
  exported: { sent: 3, dropped: 1 },
};

function promtool(args: readonly string[], input?: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', args, {
    encoding: 'utf8',
    ...(input === undefined ? {} : { input }),
  });
  assert.equal(status, 0, `${stdout}${stderr}`);
  return `${stdout}${stderr}`;
}

/** Names without the endings of histograms. */
function namesIn(text: string): Set<string> {
  return new Set([...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name!));
}

async function measured(): Promise<string> {
  const bench = new Recorded();
  const metrics = new Metrics({ version: '1.2.3', recorder: bench.recorder, levels: () => levels });
  bench.recorder.subscribe(({ events }) => {
    for (const event of events) metrics.event(event);
  });
  bench.phone(request('REGISTER', { callId: 'r' }));
  const [sent] = bench.phone(request('INVITE', { callId: 'c' }, sdp('192.168.1.50', 4000)));
  bench.provider(respond(200, sent!.text, { to: 'b' }, sdp('198.51.100.9', 6000)), '203.0.113.1:5060');
  bench.phone(request('HACK"\\\n'));
  bench.phone(request('X-UNKNOWN'));
  bench.phone('\r\n\r\n');
  bench.provider(request('INVITE'), '203.0.113.1:5060', '192.0.2.66:5060');
  metrics.engineTook(0.02);
  const text = await metrics.text();
  metrics.close();
  return text;
}

test('messages by direction, method and verdict; edits by rule; every method that is made up is one', async () => {
  const text = await measured();
  const line = (start: string): string | undefined => text.split('\n').find((one) => one.startsWith(start));
  const messages = (direction: string, method: string, verdict: string): string | undefined =>
    line(`sipalg_messages_total{direction="${direction}",method="${method}",verdict="${verdict}"}`)?.split(
      ' ',
    )[1];
  assert.equal(messages('from-phone', 'REGISTER', 'translated'), '1');
  assert.equal(messages('from-phone', 'INVITE', 'translated'), '1');
  assert.equal(messages('from-provider', 'INVITE', 'translated'), '1');
  assert.equal(messages('from-provider', 'INVITE', 'dropped'), '1');
  assert.equal(messages('from-phone', 'other', 'translated'), '1');
  assert.equal(messages('from-phone', 'none', 'passed'), '2');
  assert.equal(
    line('sipalg_edits_total{rule="sdp.media-port"}'),
    'sipalg_edits_total{rule="sdp.media-port"} 1',
  );
  for (const { id } of rules) assert.ok(line(`sipalg_edits_total{rule="${id}"}`) !== undefined, id);
  assert.equal(line('sipalg_calls_total{event="answered"}')?.split(' ')[1], '1');
  assert.equal(line('sipalg_engine_seconds_count'), 'sipalg_engine_seconds_count 1');
  assert.equal(line('sipalg_engine_seconds_bucket{le="0.00001"}')?.split(' ')[1], '0');
  for (const bound of ['0.000025', '1', '+Inf'])
    assert.equal(line(`sipalg_engine_seconds_bucket{le="${bound}"}`)?.split(' ')[1], '1', bound);
  assert.equal(line('sipalg_engine_seconds_sum'), 'sipalg_engine_seconds_sum 0.00002');
  assert.equal(line('sipalg_added_latency_seconds_count{direction="from-phone"}')?.split(' ')[1], '5');
  assert.equal(line('sipalg_media_packets_total{direction="to-phone"}')?.split(' ')[1], '99');
  assert.equal(line('sipalg_active '), 'sipalg_active 0');
  assert.equal(line('sipalg_heartbeats_total')?.split(' ')[1], '7');
  assert.ok(!text.includes('HACK'));
});

test('promtool finds nothing to say about the metrics', { skip }, async () => {
  assert.equal(promtool(['check', 'metrics'], await measured()).trim(), '');
});

test('promtool: the alert rules are right, and fire when they should', { skip }, () => {
  promtool(['check', 'rules', join(contrib, 'prometheus/alerts.yaml')]);
  promtool(['test', 'rules', join(contrib, 'prometheus/alerts.test.yaml')]);
});

test('every metric that the dashboard and the rules name exists, and every expression can be read', {
  skip,
}, async () => {
  const known = namesIn(await measured());
  const dashboard = JSON.parse(readFileSync(join(contrib, 'grafana/sipalg.json'), 'utf8')) as {
    panels: { title: string; targets?: { expr: string }[] }[];
  };
  const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
  assert.ok(expressions.length > 20);
  const alerts = readFileSync(join(contrib, 'prometheus/alerts.yaml'), 'utf8');
  const named = [...`${expressions.join('\n')}\n${alerts}`.matchAll(/\b(?:sipalg|process)_\w+/g)].map(
    ([name]) => name,
  );
  assert.deepEqual(
    [...new Set(named)].filter((name) => !known.has(name.replace(/_(bucket|sum|count)$/, ''))),
    [],
  );
  // What Grafana puts in is put in, and each becomes a rule that promtool reads.
  const read = expressions.map((expr) =>
    expr.replaceAll('$__rate_interval', '1m').replaceAll('$job', 'sipalg').replaceAll('$instance', '.+'),
  );
  const records = read.map((expr, i) => `      - { record: "a:b${i}", expr: ${JSON.stringify(expr)} }`);
  const folder = mkdtempSync(join(tmpdir(), 'sipalg-metrics-'));
  const file = join(folder, 'rules.yaml');
  writeFileSync(file, `groups:\n  - name: dashboard\n    rules:\n${records.join('\n')}\n`);
  promtool(['check', 'rules', file]);
  rmSync(folder, { recursive: true });
});

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

test('a gateway serves them at the place that is configured, and nothing else there', { skip }, async () => {
  const port = await freePort();
  const sip = await freePort();
  const gateway = await Gateway.started((program, args) => {
    const file = join(String(args[args.indexOf('--state-dir') + 1]), 'sipalg.toml');
    writeFileSync(file, `[metrics]\nlisten = "127.0.0.1:${port}"\n`);
    const all = [...args, '--listen', `127.0.0.1:${sip}`, '--config', file];
    return spawn(program, all, { stdio: ['ignore', 'pipe', 'pipe'] });
  });
  const phone = createSocket('udp4');
  try {
    phone.bind(0, '127.0.0.1');
    await once(phone, 'listening');
    const own = `127.0.0.1:${phone.address().port}`;
    const provider = createSocket('udp4').bind(0, '127.0.0.1');
    await once(provider, 'listening');
    const text = request('OPTIONS', { sentBy: own, contact: `<sip:a@${own}>` }).replace(
      'sip:bob@example.net SIP',
      `sip:bob@127.0.0.1:${provider.address().port} SIP`,
    );
    phone.send(text, sip, '127.0.0.1');
    await once(provider, 'message');
    provider.close();
    const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    promtool(['check', 'metrics'], metrics);
    assert.match(
      metrics,
      /^sipalg_messages_total\{direction="from-phone",method="OPTIONS",verdict="translated"\} 1$/m,
    );
    assert.match(metrics, /^sipalg_table_entries\{table="mappings"\} 1$/m);
    assert.match(metrics, /^sipalg_active 1$/m);
    assert.equal((await fetch(`http://127.0.0.1:${port}/`)).status, 404);
    assert.equal((await fetch(`http://127.0.0.1:${port}/metrics`, { method: 'POST' })).status, 405);
  } finally {
    phone.close();
    await gateway.close();
  }
});
