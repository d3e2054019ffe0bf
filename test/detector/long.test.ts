/**
 * `sipalg check --long` on a box whose clocks run fast: what takes an hour on a real line is found here in seconds, by the same
 * code. Needs root.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { BoxLab } from './lab.ts';

const skip = namespaceObstacle() ?? false;

test('a long check narrows lifetimes down, and tells the clocks of TCP connections, calls and sessions from the NAT’s', {
  skip,
}, async () => {
  using lab = new BoxLab({ udpTimeouts: [2, 2] });
  const clock = '/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established';
  lab.box.enter(() => writeFileSync(clock, '1'));
  const run = await lab.check(
    await lab.reflector(),
    ...['--long', '--json', '--patience', '200', '--idle', '0.5,3.5', '--only', 'idle,hold,tcp-idle'],
  );
  assert.equal(run.stderr, '');
  const { findings, facts, steps } = JSON.parse(run.stdout) as CheckReport;
  // The NAT's own clock is named as such, and no ALG's.
  assert.deepEqual(findings.map(({ fault }) => fault).sort(), ['TCP-IDLE', 'TIME-UDP-SHORT']);
  const text = facts.map((one) => one.text).join('\n');
  // 0.5 and 3.5 s are all that was asked for: the range was searched.
  const [, alive, dead] = /can be called for between ([\d.]+) s and ([\d.]+) s/.exec(text)!.map(Number);
  assert.ok(alive! > 0.5 && alive! <= 2 && dead! >= 2 && dead! < 3.5 && dead! - alive! <= 0.6, text);
  assert.match(text, /silent TCP connection to the SIP port lives between 0\.5 s and 3\.5 s/);
  assert.match(text, /this is the NAT’s clock and no ALG’s/);
  const hold = steps.find(({ id }) => id === 'hold')!;
  assert.match(hold.result, /a call with audio all the time lasts \d+ s, and its end comes in/);
});
