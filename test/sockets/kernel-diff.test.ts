/**
 * The differ on a real box: tcpdump on both sides of a router, once with the kernel's own SIP helper and once with plain
 * NAT. tshark says whether the captures were read as they are.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import type { DiffReport } from '../../src/core/detect/diff-report.ts';
import type { Endpoint } from '../../src/core/net/address.ts';
import { diffCaptures } from '../../src/detector/diff.ts';
import { type CaptureInput, readDiffInput } from '../../src/detector/diff-input.ts';
import { sipalg } from '../cli/program.ts';
import { invite, register, withLength } from '../detect/pairs.ts';
import { attachHelper } from './kernel-helper.ts';
import { kernelObstacle } from './kernel-run.ts';
import { type Fence, World } from './world.ts';

const TEST_MS = 60_000;
const FENCED_MS = 15_000;
const PHONE: Endpoint = { address: '192.168.1.50', port: 5060 };
const SERVER: Endpoint = { address: '198.51.100.5', port: 5060 };
const FENCE: Fence = {
  inside: { address: '192.168.1.250', port: 5090 },
  outside: { address: '198.51.100.250', port: 9 },
};
const folder = mkdtempSync(join(tmpdir(), 'sipalg-kernel-diff-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const hasTcpdump = spawnSync('tcpdump', ['--version']).error === undefined;
const obstacle = namespaceObstacle() ?? kernelObstacle() ?? (hasTcpdump ? undefined : 'tcpdump is missing');

interface Files {
  readonly lan: string;
  readonly wan: string;
}

/** A registration, a call out with its answer, and a request of the server, between two tcpdumps. */
async function captured(name: string, withHelper: boolean): Promise<Files> {
  const world = new World();
  const files = { lan: join(folder, `${name}-lan.pcap`), wan: join(folder, `${name}-wan.pcap`) };
  try {
    if (withHelper) attachHelper(world, [5060]);
    const dumps = await Promise.all([dump(world, 'lan', files.lan), dump(world, 'wan', files.wan)]);
    const out = async (text: string): Promise<{ text: string; from: Endpoint }> => {
      world.send('internal', PHONE, SERVER, Buffer.from(text, 'latin1'));
      const { bytes, from } = await world.arrives(({ side }) => side === 'external', 'the message outside');
      world.taken();
      return { text: Buffer.from(bytes).toString('latin1'), from };
    };
    const back = async (text: string, to: Endpoint): Promise<void> => {
      world.send('external', SERVER, to, Buffer.from(text, 'latin1'));
      await world.arrives(({ side }) => side === 'internal', 'the message inside');
      world.taken();
    };
    const registered = await out(register);
    await back(answerTo(registered.text, '200 OK'), registered.from);
    const called = await out(invite);
    await back(answerTo(called.text, '180 Ringing'), called.from);
    await back(
      register
        .replace(/^REGISTER \S+/, `OPTIONS sip:alice@${called.from.address}:${called.from.port}`)
        .replace(/^Contact: .*\r\n/m, '')
        .replace('UDP 192.168.1.50:5060', `UDP ${SERVER.address}:5060`)
        .replace('r1@192.168.1.50', 'o1@example.net')
        .replace('1 REGISTER', '5 OPTIONS'),
      called.from,
    );
    // What has come before the fence has been captured before it, and tcpdump writes in order.
    await world.fence(FENCE);
    await Promise.all(dumps.map(({ fenced }) => fenced));
    await Promise.all(dumps.map(stop));
  } finally {
    world.close();
  }
  return files;
}

/** What a server makes of a request: the header fields that it copies, and whom it has seen. */
function answerTo(request: string, status: string): string {
  return withLength(
    request
      .replace(/^.*\r\n/, `SIP/2.0 ${status}\r\n`)
      .replace(/^(?:Max-Forwards|Route|Authorization|Content-Type|X-\w+): .*\r\n/gm, '')
      .replace(/\r\n\r\n[\s\S]*$/, '\r\n\r\n'),
  );
}

interface Dump {
  readonly child: ChildProcess;
  /** Told when the last leg of the fence has been written: it prints what it has written. */
  readonly fenced: Promise<void>;
}

async function dump(world: World, link: string, file: string): Promise<Dump> {
  const child = world.router.spawn(
    'tcpdump',
    ['-n', '-l', '--print', '-i', link, '-U', '--immediate-mode', '-s', '0', '-Z', 'root', '-w', file, 'udp'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let printed = '';
  const fenced = new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`tcpdump on ${link} has seen:\n${printed}`)), FENCED_MS);
    child.stdout!.on('data', (chunk) => {
      printed += String(chunk);
      // The first leg and the third go to this place.
      if (printed.split('> 198.51.100.250.9:').length <= 2) return;
      clearTimeout(timer);
      resolve();
    });
  });
  let said = '';
  for await (const chunk of child.stderr!) {
    said += String(chunk);
    if (said.includes('listening on')) return { child, fenced };
  }
  throw new Error(`tcpdump: ${said}`);
}

async function stop({ child }: Dump): Promise<void> {
  if (child.exitCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGINT');
  await ended;
}

function read(file: string): CaptureInput {
  const input = readDiffInput(file, new Set());
  assert.equal(input.kind, 'capture');
  return input as CaptureInput;
}

function diff({ lan, wan }: Files): DiffReport {
  const inputs = [read(lan), read(wan)] as const;
  for (const input of inputs) {
    const { stdout, status } = spawnSync(
      'tshark',
      ['-r', input.file, '-Y', 'sip', '-T', 'fields', '-e', 'frame.number'],
      { encoding: 'utf8' },
    );
    if (status !== 0) continue;
    assert.deepEqual(
      input.messages.map(({ frame }) => String(frame)),
      stdout.split('\n').filter((line) => line !== ''),
      'tshark sees other messages',
    );
  }
  return diffCaptures(...inputs);
}

test('plain NAT: unaltered', { timeout: TEST_MS, skip: obstacle ?? false }, async () => {
  const report = diff(await captured('plain', false));
  assert.deepEqual([report.verdict, report.compared, report.unpaired], ['unaltered', 5, []]);
  assert.equal(report.mappings[0]?.outside.address, '203.0.113.1');
});

test('the kernel’s helper: a helper, faulty, and every fault is one that its source shows', {
  timeout: TEST_MS,
  skip: obstacle ?? false,
}, async (t) => {
  const files = await captured('helper', true);
  const report = diff(files);
  const faulty = report.findings.filter(({ consistent }) => !consistent);
  for (const { fault, where, explanation } of report.findings)
    t.diagnostic(`${fault} ${where.line}: ${explanation}`);
  assert.equal(report.verdict, 'faulty');
  assert.equal(report.engine?.kind, 'helper');
  assert.equal(report.compared, 5);
  // From names the phone's address in the INVITE, and the helper has no reason to spare it.
  assert.ok(faulty.some(({ fault }) => fault === 'ADDR-FROMTO'));
  assert.ok(!report.findings.some(({ fault }) => fault === 'X-UNKNOWN'));
  // The Via and the Contact name the real mapping.
  for (const fault of ['ADDR-VIA', 'ADDR-CONTACT'])
    assert.ok(
      report.findings.some((one) => one.fault === fault && one.consistent),
      fault,
    );
  const { code, out } = sipalg(['diff', files.lan, files.wan]);
  assert.equal(code, 1);
  assert.match(out, /^faulty: /);
});
