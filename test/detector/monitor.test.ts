/**
 * `sipalg monitor` as a user runs it: the kernel's helper comes on between two runs, and it is told. Needs root for the lab.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { newDirectory } from '../../demo/run.ts';
import {
  changeBetween,
  History,
  MOST_NOTICES,
  MOST_TRIES,
  type Run,
  since,
} from '../../src/detector/monitor/history.ts';
import { parseWebhook, tellWebhook } from '../../src/detector/monitor/webhook.ts';
import { BoxLab, helperObstacle } from './lab.ts';

const skip = namespaceObstacle() ?? false;
const REFLECTOR = 'reflector.example:443';

interface Said {
  readonly code: number;
  readonly lines: readonly Record<string, unknown>[];
}

async function monitor(lab: BoxLab, ...args: string[]): Promise<Said> {
  const child = lab.start(lab.client, ['monitor', ...args, '--json']);
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number];
  return {
    code,
    lines: text
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

function temporary(): { path: string } & Disposable {
  const path = newDirectory('monitor');
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

const WEB_SERVER = `require('node:http').createServer((q, r) => { let b = ''; q.on('data', (c) => b += c);
  q.on('end', () => { console.log(b); r.end(); }); }).listen(8099, '127.0.0.1', () => console.log('ready'));`;

test('the ALG comes back between two runs: it is told, stored, and sent to a web server, also where that was down', {
  skip: skip || helperObstacle() || false,
}, async () => {
  using state = temporary();
  using lab = new BoxLab();
  const invitation = await lab.reflector();
  const args = [
    ...[invitation, '--once', '--state-dir', state.path, '--webhook', 'http://127.0.0.1:8099/'],
    ...['--patience', '200', '--idle', '0'],
  ];
  const first = await monitor(lab, ...args);
  assert.equal(first.code, 0, JSON.stringify(first.lines));
  assert.equal(first.lines[0]?.verdict, 'unaltered');

  lab.nft(`table ip helper {
    ct helper kernel-sip { type "sip" protocol udp; }
    chain prerouting { type filter hook prerouting priority filter; udp dport 5060 ct helper set "kernel-sip"; }
  }`);
  // Flows from before have no helper, and hours may lie between two runs.
  const forgetFlows = (): string => lab.box.run('conntrack', ['-F']);
  forgetFlows();
  const second = await monitor(lab, ...args);
  assert.equal(second.code, 4);
  const changed = second.lines.find(({ msg }) => msg === 'changed');
  assert.equal(changed?.fault, 'STATE-REENABLE');
  assert.equal(changed?.before, 'unaltered');
  const appeared = changed?.appeared as string[] | undefined;
  assert.ok(appeared?.includes('SDP-PART'), appeared?.join());
  assert.deepEqual(second.lines.at(-1)?.msg, 'webhook-failed');

  // Now it is up, and is told what it has missed.
  const web = lab.client.spawn(process.execPath, ['-e', WEB_SERVER], { stdio: ['ignore', 'pipe', 'ignore'] });
  const posts: string[] = [];
  const { promise: ready, resolve } = Promise.withResolvers<void>();
  createInterface({ input: web.stdout! }).on('line', (line) =>
    line === 'ready' ? resolve() : posts.push(line),
  );
  await ready;
  forgetFlows();
  const third = await monitor(lab, ...args);
  assert.equal(third.code, 1, JSON.stringify(third.lines));
  assert.deepEqual(third.lines.at(-1)?.msg, 'webhook-told');
  assert.equal(posts.length, 1);
  const post = JSON.parse(posts[0]!) as Record<string, unknown>;
  assert.equal(post.verdict, 'faulty');
  const [, token, pin] = invitation.split('/');
  assert.ok(!posts[0]!.includes(token!) && !posts[0]!.includes(pin!), 'no secret leaves');

  const { lines } = await history(lab, state.path);
  assert.deepEqual(lines, ['unaltered', 'faulty', 'faulty']);
});

async function history(lab: BoxLab, directory: string): Promise<{ lines: string[] }> {
  const child = lab.start(lab.client, ['monitor', '--history', '--json', '--state-dir', directory]);
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  const { reflectors } = JSON.parse(text) as { reflectors: { runs: { verdict: string }[] }[] };
  return { lines: reflectors.flatMap(({ runs }) => runs.map(({ verdict }) => verdict)) };
}

test('a reflector that cannot be reached is no verdict, and SIGTERM ends a monitor at once', {
  skip,
}, async () => {
  using state = temporary();
  using lab = new BoxLab();
  const away = `203.0.113.10:443/${'t'.repeat(32)}`;
  const once_ = await monitor(lab, away, '--once', '--state-dir', state.path);
  assert.equal(once_.code, 3);
  assert.equal(once_.lines[0]?.msg, 'no-verdict');
  const child = lab.start(lab.client, ['monitor', away, '--state-dir', state.path, '--json']);
  for await (const line of createInterface({ input: child.stdout! }))
    if ((JSON.parse(line) as { msg: string }).msg === 'next') break;
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'close'), [0, null]);
  assert.deepEqual((await history(lab, state.path)).lines, []);
});

test('history that is damaged is set aside and told; rows that are not ours are left out; it stays bounded', () => {
  using state = temporary();
  const notices: string[] = [];
  writeFileSync(
    join(state.path, 'monitor.db'),
    'no database at all, but long enough to be looked at '.repeat(40),
  );
  let kept = History.open(state.path, (text) => notices.push(text));
  assert.match(notices.join(), /set aside/);
  assert.ok(readdirSync(state.path).some((name) => name.startsWith('monitor.db.damaged-')));
  const now = Date.now();
  kept.add(REFLECTOR, { at: now - 500 * 24 * 3_600_000, verdict: 'unaltered', faults: [] });
  kept.add(REFLECTOR, { at: now, verdict: 'faulty', faults: ['ADDR-VIA'] });
  assert.equal(kept.runs(REFLECTOR).length, 1, 'what is too old is gone');
  kept.close();
  const db = new DatabaseSync(join(state.path, 'monitor.db'));
  const insert = db.prepare('INSERT INTO run VALUES (?, ?, ?, ?)');
  insert.run(REFLECTOR, 9_223_372_036_854_775_807n, 'faulty', '');
  insert.run(REFLECTOR, 1, '\x1b[2J', '');
  insert.run(REFLECTOR, 2, 'faulty', 'x'.repeat(100_000));
  insert.run(REFLECTOR, 3, 'faulty', 'NO-SUCH __proto__ ADDR-VIA');
  insert.run('\x1b[31m', 4, 'faulty', '');
  db.close();
  kept = History.open(state.path, (text) => notices.push(text));
  assert.deepEqual(
    kept.runs(REFLECTOR).map(({ at, faults }) => [at === now ? 'now' : at, faults]),
    [
      [3, ['ADDR-VIA']],
      ['now', ['ADDR-VIA']],
    ],
  );
  assert.deepEqual(kept.reflectors(), [REFLECTOR]);
  kept.close();
});

test('what no web server has taken is kept, in order and bounded, and given up in the end', () => {
  using state = temporary();
  let kept = History.open(state.path, () => {});
  assert.equal(kept.addNotice('{"n":0}'), 0);
  kept.close();
  kept = History.open(state.path, () => {});
  assert.deepEqual(
    kept.notices().map(({ body }) => body),
    ['{"n":0}'],
    'it survives a restart',
  );
  for (let i = 1; i < MOST_NOTICES; i++) assert.equal(kept.addNotice(`{"n":${i}}`), 0);
  assert.equal(kept.addNotice('{"n":"last"}'), 1, 'the oldest is given up');
  const [first, second] = kept.notices();
  assert.equal(first?.body, '{"n":1}');
  kept.noticeTold(first!);
  assert.equal(kept.notices()[0]?.body, second!.body);
  for (let i = 1; i < MOST_TRIES; i++) assert.equal(kept.noticeFailed(kept.notices()[0]!), false);
  assert.equal(kept.noticeFailed(kept.notices()[0]!), true);
  assert.equal(kept.notices()[0]?.body, '{"n":3}');
  kept.close();
  // Rows that somebody else wrote.
  const db = new DatabaseSync(join(state.path, 'monitor.db'));
  db.exec('DELETE FROM notice');
  const insert = db.prepare('INSERT INTO notice (body, tries) VALUES (?, ?)');
  insert.run('no json', 0);
  insert.run('x'.repeat(100_000), 0);
  insert.run('{}', -5);
  insert.run('{}', 9_223_372_036_854_775_807n);
  insert.run('{"n":"ours"}', 2);
  db.close();
  kept = History.open(state.path, () => {});
  assert.deepEqual(
    kept.notices().map(({ body, tries }) => [body, tries]),
    [['{"n":"ours"}', 2]],
  );
  kept.close();
});

test('what has changed, and since when', () => {
  const run = (at: number, verdict: Run['verdict'], ...faults: Run['faults'][number][]): Run => ({
    at,
    verdict,
    faults,
  });
  const runs = [run(1, 'unaltered'), run(2, 'faulty', 'ADDR-VIA'), run(3, 'faulty', 'ADDR-RURI')];
  assert.equal(changeBetween(runs[0]!, runs[0]!), undefined);
  assert.equal(changeBetween(runs[0]!, runs[1]!)?.isBack, true);
  const later = changeBetween(runs[1]!, runs[2]!);
  assert.deepEqual([later?.appeared, later?.gone, later?.isBack], [['ADDR-RURI'], ['ADDR-VIA'], false]);
  assert.equal(since(runs), 2);
});

test('a webhook is https or this machine, and is given up after three tries', async () => {
  assert.equal(parseWebhook('http://example.com/', false), undefined);
  assert.equal(parseWebhook('file:///etc/passwd', true), undefined);
  assert.equal(parseWebhook('http://localhost.example.com/', false), undefined);
  for (const [url, force] of [
    ['https://example.com/', false],
    ['http://[::1]:1/', false],
    ['http://example.com/', true],
  ] as const)
    assert.ok(parseWebhook(url, force), url);
  assert.match((await tellWebhook(new URL('http://127.0.0.1:1/'), '{}', 1)) ?? '', /3 tries/);
});
