/**
 * Where on the way it sits, and whether there is a second NAT: `sipalg check` through one router and through two, with the
 * kernel's helper in either, with a proxy, and with a port that is blocked behind the first. Needs root.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { KamailioBox, kamailioObstacle } from './kamailio-box.ts';
import { BOX_INSIDE, BOX_OUTSIDE, BoxLab, type BoxOptions, CARRIER_INSIDE, helperObstacle } from './lab.ts';

const skip = namespaceObstacle() ?? false;
const PUBLIC = '5.6.7.8';
const withHelper = skip || (helperObstacle() ?? false);

async function check(lab: BoxLab, steps: string, invitation?: string): Promise<CheckReport> {
  const run = await lab.check(
    invitation ?? (await lab.reflector()),
    ...['--quick', '--json', '--idle', '0', '--patience', '150', '--only', steps],
  );
  assert.equal(run.stderr, '');
  return JSON.parse(run.stdout) as CheckReport;
}

/** Where it sits, and what is said of a second NAT. */
async function placeIn(box: BoxOptions): Promise<CheckReport> {
  using lab = new BoxLab(box);
  return await check(lab, 'place');
}

test('the kernel’s helper in the own router: the router quotes SIP as it was sent, and behind it it is altered', {
  skip: withHelper,
}, async () => {
  const { location } = await placeIn({ helper: true, carrier: {} });
  assert.deepEqual(
    [location?.answer, location?.confidence, location?.nearest, location?.farthest, location?.distance],
    ['yes', 'B', 1, 2, 3],
  );
  assert.deepEqual(location?.routers, [
    { hop: 1, address: BOX_INSIDE },
    { hop: 2, address: CARRIER_INSIDE },
  ]);
});

test('a proxy in the carrier’s router is not blamed on the own one', {
  skip: skip || kamailioObstacle,
}, async () => {
  using lab = new BoxLab({ carrier: {} });
  await using _ = await KamailioBox.start(lab, { at: 'carrier' });
  const { location, facts } = await check(lab, 'place');
  assert.deepEqual([location?.answer, location?.confidence, location?.nearest], ['yes', 'A', 2]);
  assert.match(facts.map(({ text }) => text).join(' '), /second router on the way .*RFC 6598/);
});

test('plain NAT, twice: nothing sits anywhere', { skip }, async () => {
  const { location, verdict } = await placeIn({ carrier: {} });
  assert.deepEqual([verdict, location?.answer, location?.distance], ['unaltered', 'no', 3]);
});

test('a carrier that blocks port 5060 is told from the own router', { skip }, async () => {
  const { location } = await placeIn({
    carrier: {
      rules:
        'table inet box {\n chain forward {\n type filter hook forward priority -5\n udp dport 5060 drop\n }\n}\n',
    },
  });
  assert.deepEqual([location?.answer, location?.confidence, location?.nearest], ['yes', 'B', 2]);
});

test('a router that says nothing, and quotes nothing, leaves it open', { skip: withHelper }, async () => {
  const { location } = await placeIn({
    helper: true,
    rules:
      'table inet silent {\n chain output {\n type filter hook output priority 0\n icmp type time-exceeded drop\n }\n}\n',
  });
  assert.deepEqual([location?.answer, location?.nearest, location?.routers], ['not-checked', undefined, []]);
});

test('sipalg’s own gateway takes SIP in at the first hop', { skip }, async () => {
  using lab = new BoxLab({ carrier: {} });
  await lab.gateway();
  const { location } = await check(lab, 'place');
  assert.deepEqual([location?.answer, location?.confidence, location?.nearest], ['yes', 'A', 1]);
});

for (const [what, options, said] of [
  ['UPnP', ['enable_upnp=yes', 'enable_natpmp=no'], /by UPnP/],
  ['NAT-PMP', ['enable_upnp=no', 'enable_natpmp=yes'], /by NAT-PMP/],
] as const)
  test(`the router is asked for its external address by ${what}`, { skip }, async () => {
    // miniupnpd tells public addresses only, and those of documentation are none.
    using lab = new BoxLab({
      rules: `table ip public {
        chain postrouting { type nat hook postrouting priority srcnat - 1; oifname "wan" snat to ${PUBLIC}; }
      }\n`,
    });
    lab.server.run('ip', ['route', 'add', PUBLIC, 'via', BOX_OUTSIDE]);
    await using _ = await startMiniupnpd(lab, [`ext_ip=${PUBLIC}`, ...options]);
    const { facts, steps, natBehaviour } = await check(lab, 'carrier,nat');
    assert.equal(natBehaviour?.carrier, 'no');
    const step = steps.find(({ id }) => id === 'carrier');
    assert.match(step?.result ?? '', said);
    assert.ok(
      facts.some(({ id }) => id === 'nat-single'),
      JSON.stringify(step),
    );
  });

test('a router whose address is not the one that is seen, and one that does not tell', { skip }, async () => {
  using lab = new BoxLab({ carrier: {} });
  const invitation = await lab.reflector();
  {
    await using _ = await startMiniupnpd(lab, [`ext_ip=${PUBLIC}`, 'enable_natpmp=yes']);
    const { facts, verdict } = await check(lab, 'carrier', invitation);
    assert.match(factOf(facts, 'nat-double'), /external address is 5\.6\.7\.8 .* sees 203\.0\.113\.1/);
    assert.equal(verdict, 'unaltered', 'a second NAT is no ALG');
  }
  const { facts, steps } = await check(lab, 'carrier', invitation);
  assert.equal(factOf(facts, 'nat-double'), '');
  assert.equal(steps.find(({ id }) => id === 'carrier')?.state, 'not-checked');
});

function factOf(facts: CheckReport['facts'], name: string): string {
  return facts.find(({ id }) => id === name)?.text ?? '';
}

/** miniupnpd in the box. */
async function startMiniupnpd(lab: BoxLab, options: readonly string[]): Promise<AsyncDisposable> {
  const directory = newDirectory('miniupnpd');
  const file = join(directory, 'miniupnpd.conf');
  const lines = ['ext_ifname=wan', 'listening_ip=lan', 'uuid=00000000-0000-0000-0000-000000000001'];
  writeFileSync(file, `${[...lines, ...options].join('\n')}\n`);
  const program = new Program(
    'miniupnpd',
    lab.box.spawn('/usr/sbin/miniupnpd', ['-d', '-f', file, '-P', join(directory, 'pid')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  await program.says(/Listening for NAT-PMP|listening on port/i, 8000);
  return { [Symbol.asyncDispose]: () => program.stop() };
}
