/** The gateway is killed when thousands of phones are registered, and restarted. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { hostPortOf, statusOf } from '../../demo/message.ts';
import type { Provider } from '../../demo/provider.ts';
import type { MappingRow } from '../../src/core/alg/mappings.ts';
import { openStore } from '../../src/state/store.ts';
import { eventually, type Lab, labFile, scenario } from './lab.ts';

/** Of a former run, besides those that are there. */
const MANY = 3_000;
/** As long as the store may take to write. */
const UNWRITTEN_MS = 150;

/** UDP sockets of the router's programs at an address. */
function socketsOn(lab: Lab, address: string): number {
  return lab.network
    .run('router', 'ss', '-Huan')
    .split('\n')
    .filter((line) => line.includes(` ${address}:`)).length;
}

/** Whether the provider reaches a contact, in a message of its own. */
async function reaches(provider: Provider, contact: string): Promise<boolean> {
  const { wire } = provider.agent;
  const tag = Math.random().toString(36).slice(2);
  const fields = [
    ['From', `<sip:gate@198.51.100.5>;tag=${tag}`],
    ['To', `<${contact}>`],
    ['Call-ID', `${tag}@198.51.100.5`],
    ['CSeq', '1 OPTIONS'],
  ] as const;
  const response = await wire
    .request(`OPTIONS ${contact} SIP/2.0`, fields, '', hostPortOf(contact))
    .final(2000)
    .catch(() => undefined);
  return response !== undefined && statusOf(response) === 200;
}

labFile('the gateway is restarted with thousands of phones', [], () => {
  scenario(
    'killed with thousands of phones: it answers before all are open, and who was silent for longest is called all the same',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true });
      await alice.register();
      const carol = await lab.phone({ host: 'phone2', rport: true });
      await carol.register();
      const contact = provider.contactOf('alice') ?? '';
      const { stateDir } = lab.gateway!;
      await delay(UNWRITTEN_MS);
      await lab.gateway!.stop('SIGKILL');
      const store = openStore(stateDir);
      const [row] = [...store.load('mapping').values()] as MappingRow[];
      for (let i = 0; i < MANY; i++) {
        const internal = { address: `192.168.1.${100 + (i % 100)}`, port: 10_000 + i };
        const external = { address: '203.0.113.1', port: 40_000 + i };
        // Each of them has sent later than alice.
        const lastUsed = Date.now();
        store.put('mapping', `udp ${internal.address}:${internal.port} ${external.address}`, {
          ...row,
          internal,
          external,
          lastUsed,
        });
      }
      store.close();
      await lab.startGateway({ stateDir });
      const [called] = await Promise.all([reaches(provider, contact), carol.register()]);
      assert.ok(called, 'the phone that is opened last');
      const { lines } = lab.gateway!.program;
      assert.ok(
        !lines.entries.some((line) => line.includes('sip-port-taken')),
        'its own sockets are no obstacle',
      );
      const open = (): number => socketsOn(lab, '203.0.113.1');
      await eventually(() => open() === MANY + 2, 5_000, 'a socket for each of them');
      const inside = alice.incoming();
      const outside = await provider.call('alice');
      (await inside).answer();
      await outside.reached('confirmed');
      assert.equal(statusOf(await outside.hangup()), 200);
    },
  );
});
