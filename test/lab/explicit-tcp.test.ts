/**
 * Explicit mode over TCP, the whole daemon: baresip names the gateway as its outbound proxy, and calls baresip through Kamailio.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gateway } from '../../demo/gateway.ts';
import { addresses } from '../../demo/network.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { askStatus } from '../../src/gateway/status-socket.ts';
import { Baresip } from './baresip.ts';
import { Kamailio } from './kamailio.ts';
import { inLab, labFile } from './lab.ts';

const passwords = { alice: 'wonderland', bob: 'builder' };

labFile('explicit mode over TCP', ['kamailio', 'baresip'], () => {
  test('baresip over TCP calls baresip through Kamailio and is called back, both record the other', () =>
    inLab({ firewall: false }, async (lab) => {
      lab.gateway = await lab.own(
        Gateway.started((program, args) =>
          lab.network.spawn('router', program, [...args, '--listen', `${addresses.routerInternal}:5060`], {
            stdio: ['ignore', 'pipe', 'pipe'],
          }),
        ),
      );
      await lab.own(Kamailio.start(lab.network, { passwords }));
      const options = { firstMediaPort: 20_000, answers: true } as const;
      const bob = await lab.own(
        Baresip.start(lab.network, {
          ...options,
          host: 'provider',
          address: addresses.farEnd,
          user: 'bob',
          password: passwords.bob,
          hertz: 1000,
        }),
      );
      const alice = await lab.own(
        Baresip.start(lab.network, {
          ...options,
          host: 'phone1',
          address: addresses.phone1,
          user: 'alice',
          password: passwords.alice,
          hertz: 440,
          transport: 'tcp',
          outbound: `sip:${addresses.routerInternal}:5060;transport=tcp`,
        }),
      );
      alice.dial(`sip:bob@${addresses.provider};transport=tcp`);
      await Promise.all([alice.event('CALL_ESTABLISHED'), bob.event('CALL_ESTABLISHED')]);
      await alice.hears(1000);
      await bob.hears(440);
      alice.hangup();
      await bob.event('CALL_CLOSED');
      const from = bob.events.entries.length;
      bob.dial(`sip:alice@${addresses.provider}`);
      await bob.event('CALL_ESTABLISHED', 5000, from);
      bob.hangup();
      await alice.event('CALL_CLOSED', 5000, 1);
      const answer = await askStatus(lab.gateway.stateDir);
      assert.equal(answer.kind, 'answer');
      const { phones, messages } = JSON.parse(answer.kind === 'answer' ? answer.text : '') as StatusReport;
      assert.deepEqual(
        new Set(phones.map(({ transport, internal }) => `${transport} ${internal.address}`)),
        new Set([`tcp ${addresses.phone1}`]),
      );
      assert.ok(
        phones.some(({ aor }) => aor !== undefined),
        'it is registered',
      );
      assert.equal(messages.dropped, 0);
    }));
});
