/**
 * DNS through the router: dnsmasq is the resolver of the router, and that of the reflector. Needs root and dnsmasq.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { type Namespace, namespaceObstacle } from '../../demo/namespace.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { BOX_INSIDE, BoxLab, SECOND_SERVER, SERVER } from './lab.ts';

const skip =
  namespaceObstacle() ??
  (spawnSync('dnsmasq', ['--version']).error === undefined
    ? false
    : 'dnsmasq is missing: apt-get install dnsmasq-base');

const DOMAIN = 'phones.test';
const PROVIDER = '203.0.113.20';
const records = [
  `--host-record=sip.${DOMAIN},${PROVIDER}`,
  `--host-record=${DOMAIN},${PROVIDER}`,
  `--srv-host=_sip._udp.${DOMAIN},sip.${DOMAIN},5060,10,5`,
  `--naptr-record=${DOMAIN},10,100,S,SIP+D2U,,_sip._udp.${DOMAIN}`,
];

/** In the foreground, with nothing of this machine's configuration; when it answers. */
async function dnsmasq(space: Namespace, address: string, options: readonly string[]): Promise<ChildProcess> {
  const child = space.spawn('dnsmasq', [
    ...['--keep-in-foreground', '--log-facility=-', '--conf-file=/dev/null', '--no-resolv', '--no-hosts'],
    ...['--pid-file=', '--user=root', '--bind-interfaces', `--listen-address=${address}`, ...options],
  ]);
  let said = '';
  for await (const chunk of child.stderr!) {
    said += String(chunk);
    if (said.includes('started')) return child;
  }
  throw new Error(`dnsmasq ended: ${said}`);
}

/** What programs in a namespace take for /etc/resolv.conf (ip-netns(8)). */
function resolverOf(space: Namespace, address: string): Disposable {
  const folder = `/etc/netns/${space.name}`;
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}/resolv.conf`, `nameserver ${address}\n`);
  return { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
}

async function check(routers: readonly string[]): Promise<CheckReport> {
  using lab = new BoxLab();
  using _far = resolverOf(lab.server, SECOND_SERVER);
  using _near = resolverOf(lab.client, BOX_INSIDE);
  const servers = [
    await dnsmasq(lab.server, SECOND_SERVER, records),
    await dnsmasq(lab.box, BOX_INSIDE, [`--server=${SECOND_SERVER}`, ...routers]),
  ];
  try {
    const invitation = await lab.reflector('--address', SERVER, '--domain', DOMAIN);
    const run = await lab.check(invitation, '--json', '--patience', '200', '--only', 'dns');
    assert.equal(run.stderr, '');
    return JSON.parse(run.stdout) as CheckReport;
  } finally {
    for (const server of servers) {
      server.kill();
      await once(server, 'exit');
    }
  }
}

test('a resolver that says what is so is not called an ALG', { skip }, async () => {
  const { verdict, findings, steps } = await check([]);
  assert.deepEqual([verdict, findings], ['unaltered', []]);
  assert.equal(
    steps.find(({ id }) => id === 'dns')?.result,
    `a question to the reflector and its answer arrive as they were sent; the resolver (${BOX_INSIDE}) says of 4 records what the reflector’s says`,
  );
});

test('a router that writes another address into answers is named, with both', { skip }, async () => {
  const { findings } = await check([`--alias=${PROVIDER},${BOX_INSIDE}`]);
  assert.deepEqual(
    findings.map(({ fault, confidence }) => [fault, confidence]),
    [['DNS-ALG', 'B']],
  );
  assert.match(findings[0]!.explanation, /sip\.phones\.test A: here 192\.168\.77\.1, there 203\.0\.113\.20/);
});

test('other public addresses than the reflector’s resolver has are told, and are no fault', {
  skip,
}, async () => {
  const { verdict, facts } = await check([`--alias=${PROVIDER},198.51.100.20`]);
  assert.equal(verdict, 'unaltered');
  assert.match(
    facts.find(({ id }) => id === 'dns-by-place')?.text ?? '',
    /here 198\.51\.100\.20, there 203\.0\.113\.20/,
  );
});

test('a router that takes over questions to name servers outside is named', { skip }, async () => {
  const lead = `iifname "lan" udp dport 53 dnat to ${BOX_INSIDE}`;
  using lab = new BoxLab({
    rules: `table ip lead {\n chain prerouting {\n type nat hook prerouting priority dstnat - 1\n ${lead}\n }\n}\n`,
  });
  const server = await dnsmasq(lab.box, BOX_INSIDE, records);
  try {
    const run = await lab.check(await lab.reflector(), '--json', '--patience', '200', '--only', 'dns');
    const { findings } = JSON.parse(run.stdout) as CheckReport;
    assert.deepEqual(
      findings.map(({ fault, confidence }) => [fault, confidence]),
      [['DNS-ALG', 'A']],
    );
    assert.match(findings[0]!.explanation, /although it never arrives there/);
  } finally {
    server.kill();
    await once(server, 'exit');
  }
});
