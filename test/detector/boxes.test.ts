/**
 * `sipalg check` through boxes that exist: NAT that lets in anybody, the kernel's SIP helper on TCP as well, and Kamailio as the
 * proxy of a router. Needs root.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { KamailioBox, kamailioObstacle } from './kamailio-box.ts';
import { BOX_OUTSIDE, BoxLab, CLIENT, helperObstacle } from './lab.ts';

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

test('Kamailio in the box is called a proxy', { skip: skip || kamailioObstacle }, async () => {
  using lab = new BoxLab();
  const kamailio = await KamailioBox.start(lab);
  try {
    const { verdict, findings } = await check(lab);
    assert.equal(verdict, 'faulty');
    // What a proxy has to do, and nothing else that would send somebody looking in the wrong place.
    const names = namesOf(findings).sort();
    assert.deepEqual(
      names.filter((name) => name !== 'PROXY-REDIRECT' && name !== 'PROXY-ANSWER'),
      ['HDR-ADD', 'HDR-MAXFWD', 'PROXY-B2B'],
    );
    // It takes what is for another server as well.
    assert.ok(names.includes('PROXY-REDIRECT'));
  } finally {
    await kamailio.close();
  }
});
