/** `sipalg status` while phones register and talk: what it says is what the phones see. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SIPALG } from '../../demo/gateway.ts';
import { addresses } from '../../demo/network.ts';
import type { CallStatus, StatusReport } from '../../src/gateway/status-report.ts';
import { type Lab, labFile, scenario, talk } from './lab.ts';

const run = promisify(execFile);

async function status(lab: Lab, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(SIPALG, ['status', '--state-dir', lab.gateway!.stateDir, ...args]);
  return stdout;
}

async function report(lab: Lab): Promise<StatusReport> {
  return JSON.parse(await status(lab, '--json')) as StatusReport;
}

/** Asks until the one call is as wanted: the kernel counts, and the clock goes on. */
async function callThat(lab: Lab, fits: (call: CallStatus) => boolean): Promise<StatusReport> {
  const deadline = performance.now() + 8_000;
  for (;;) {
    const answer = await report(lab);
    const [call] = answer.calls;
    if (call !== undefined && fits(call)) return answer;
    if (performance.now() > deadline) throw new Error(`no such call: ${JSON.stringify(answer.calls)}`);
  }
}

labFile('status', ['conntrack'], () => {
  scenario('status shows the phones, and a call with media both ways', { only: 'gateway' }, async (lab) => {
    const provider = await lab.provider();
    const alice = await lab.phone();
    await alice.register();
    const outside = await provider.call('alice');
    const inside = await alice.incoming();
    inside.answer();
    await outside.reached('confirmed');
    await talk(inside, outside);
    const { phones, calls, interception, limits, at } = await callThat(
      lab,
      ({ media: [one] }) => (one?.fromPhone ?? 0) > 10 && (one?.toPhone ?? 0) > 10,
    );
    assert.equal(interception.active, true);
    assert.deepEqual(
      phones.map(({ expiresAt, lastIncoming, profile, ...rest }) => {
        assert.ok(expiresAt! - at > 290_000 && expiresAt! - at <= 330_000);
        assert.ok(at - lastIncoming! < 30_000);
        assert.equal(profile?.mode, 'assist');
        return rest;
      }),
      [
        {
          aor: `sip:…@${addresses.provider}`,
          transport: 'udp',
          internal: { address: addresses.phone1, port: 5060 },
          external: { address: addresses.routerExternal, port: 5060 },
          peer: { address: addresses.provider, port: 5060 },
        },
      ],
    );
    const [call] = calls;
    assert.equal(call?.state, 'confirmed');
    assert.equal(call?.initiator, 'external');
    assert.equal(call?.media[0]?.internal?.port, inside.media.port);
    assert.equal(limits.find((one) => one.limit === 'media')?.used, 1);
    const text = await status(lab);
    assert.match(text, /^phones \(1\)$/m);
    assert.match(
      text,
      /192\.168\.1\.10:5060 ⇄ 203\.0\.113\.1:5060\n {4}sip:…@198\.51\.100\.5 at 198\.51\.100\.5:5060, /,
    );
    assert.match(text, /talking \d+ s, in: sip:/);
    assert.match(text, /⇄ 203\.0\.113\.1:\d+ {2}\d+ out, \d+ in$/m);
    assert.ok(text.split('\n').every((line) => line.length <= 80));
    await outside.hangup();
    await inside.reached('ended');
  });

  scenario('status says which way media does not go', { only: 'gateway' }, async (lab) => {
    const provider = await lab.provider();
    const alice = await lab.phone({ talk: false, onCall: 'answer' });
    await alice.register();
    const outside = await provider.call('alice');
    await outside.reached('confirmed');
    await callThat(lab, (one) => (one.media[0]?.toPhone ?? 0) > 150 && one.media[0]?.fromPhone === 0);
    assert.match(await status(lab), /0 out, \d+ in: one way, the phone sends nothing$/m);
  });
});
