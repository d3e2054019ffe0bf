/**
 * `sipalg check` through boxes that exist: NAT that lets in anybody, the kernel's SIP helper on TCP as well, and Kamailio as the
 * proxy of a router. Needs root.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { KamailioBox, kamailioObstacle, rtpengineObstacle } from './kamailio-box.ts';
import { BOX_INSIDE, BOX_OUTSIDE, BoxLab, CLIENT, helperObstacle } from './lab.ts';

const obstacle = namespaceObstacle();
const skip = obstacle === undefined ? false : obstacle;
const QUICK = ['--quick', '--json', '--patience', '200', '--idle', '1'];

async function check(lab: BoxLab): Promise<CheckReport> {
  const run = await lab.check(await lab.reflector(), ...QUICK);
  assert.equal(run.stderr, '');
  return JSON.parse(run.stdout) as CheckReport;
}

const namesOf = (list: CheckReport['findings']): string[] => [...new Set(list.map(({ fault }) => fault))];

test('plain NAT that lets in anybody (full cone) is plain NAT', { skip }, async () => {
  using lab = new BoxLab({
    rules: `table ip cone {
      chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname "wan" ip daddr ${BOX_OUTSIDE} udp dport 1024-65535 dnat to ${CLIENT}
      }
    }\n`,
  });
  const { verdict, findings, edits, facts } = await check(lab);
  assert.deepEqual([verdict, findings, edits], ['unaltered', [], []]);
  assert.match(facts.map(({ text }) => text).join(' '), /Filtering: any(?:body| port)/);
});

test('the kernel’s SIP helper is seen on TCP as well', { skip: skip || helperObstacle() }, async () => {
  using lab = new BoxLab({
    rules: `table ip helper6 {
      ct helper kernel-sip-tcp { type "sip" protocol tcp; }
      chain prerouting {
        type filter hook prerouting priority filter;
        tcp dport 5060 ct helper set "kernel-sip-tcp"
      }
    }\n`,
  });
  const { verdict, findings, edits } = await check(lab);
  assert.equal(verdict, 'faulty');
  assert.ok([...findings, ...edits].every(({ transports }) => !transports.includes('udp')));
  assert.ok(namesOf(edits).includes('ADDR-CONTACT') || namesOf(findings).includes('ADDR-CONTACT'));
});

/** What a proxy has to do, what comes of its taking in all SIP, and nothing that would send somebody looking in the wrong place. */
const PROXY = ['HDR-ADD', 'HDR-MAXFWD', 'PROXY-B2B'];
const OF_TAKING_IN = ['PROXY-REDIRECT', 'PROXY-ANSWER', 'DROP-MALFORMED'];

for (const media of [false, true])
  test(`Kamailio in the box is called a proxy${media ? ', and with rtpengine one through which media goes' : ''}`, {
    skip: skip || kamailioObstacle || (media && rtpengineObstacle),
  }, async () => {
    using lab = new BoxLab();
    await using _ = await KamailioBox.start(lab, { media });
    const { verdict, findings, edits, engine, location, facts } = await check(lab);
    assert.equal(verdict, 'faulty');
    const names = namesOf(findings).sort();
    assert.deepEqual(
      names.filter((name) => !OF_TAKING_IN.includes(name)),
      PROXY,
    );
    // It takes what is for another server as well.
    assert.ok(names.includes('PROXY-REDIRECT'));
    // STUN on its port is not for a proxy.
    for (const { fault, explanation } of findings)
      if (fault === 'DROP-MALFORMED') assert.match(explanation, /^STUN/);
    assert.equal(engine?.kind, 'proxy');
    assert.deepEqual([location?.confidence, location?.nearest], ['A', 1]);
    const relay = facts.find(({ id }) => id === 'media-relay')?.text;
    assert.equal(relay !== undefined, media);
    if (!media) return;
    assert.match(
      relay!,
      new RegExp(`the phone sends to ${BOX_INSIDE}:\\d+, and the other side to ${BOX_OUTSIDE}:`),
    );
    assert.match(engine.evidence.join(' '), /Media goes through it/);
    for (const edit of ['SDP-C', 'SDP-M', 'SDP-ICE-STRIP'])
      assert.ok(namesOf(edits).includes(edit as never), edit);
  });
