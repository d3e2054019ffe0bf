/** The gateway is killed at moments that nobody chooses, restarted, and upgraded: phones stay where they were. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { first, hostPortOf, methodOf, statusOf, uriOf, values } from '../../demo/message.ts';
import type { Provider } from '../../demo/provider.ts';
import { assertContent, type Lab, labFile, scenario, talk } from './lab.ts';

const PHONES = 12;
const KILLS = 4;
/** What is younger than this when the gateway is killed may be lost: the store's 100 ms, and a late turn of the loop. */
const UNWRITTEN_MS = 150;

/** Phones on one host, which register again and again without pause. */
async function crowd(lab: Lab): Promise<{ phones: Agent[]; stop: () => Promise<void> }> {
  const phones = await Promise.all(
    Array.from({ length: PHONES }, (_, i) => lab.phone({ user: `u${i}`, port: 6000 + i, rport: true })),
  );
  let stopped = false;
  const loops = phones.map(async (phone) => {
    while (!stopped) {
      // While the gateway is away a REGISTER goes by plain NAT, or is lost.
      await phone.register(300, 1000).catch(() => {});
      await delay(Math.random() * 200);
    }
  });
  const stop = async (): Promise<void> => {
    stopped = true;
    await Promise.all(loops);
  };
  return { phones, stop };
}

/** Packets that are missing among those received. */
function lost({ media }: Call): number {
  const numbers = media.received.entries.map(({ sequence }) => sequence);
  return Math.max(...numbers) - Math.min(...numbers) + 1 - new Set(numbers).size;
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

labFile('the gateway is restarted', ['conntrack'], () => {
  scenario(
    'killed (-9) at random moments under load: phones stay reachable at the same ports, a call loses no audio',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ host: 'phone2', rport: true });
      await alice.register();
      const outside = await provider.call('carol');
      const inside = await alice.incoming();
      inside.answer();
      await outside.reached('confirmed');
      await talk(inside, outside);
      const { phones, stop } = await crowd(lab);
      const { stateDir } = lab.gateway!;
      const isTranslated = (contact: string): boolean => contact.includes('@203.0.113.1:');
      for (let round = 0; round < KILLS; round++) {
        await delay(UNWRITTEN_MS + Math.random() * 400);
        const settled = provider.bindings.entries.length;
        await delay(UNWRITTEN_MS);
        await lab.gateway!.stop('SIGKILL');
        await lab.startGateway({ stateDir });
        const known = new Map(
          provider.bindings.entries
            .slice(0, settled)
            .filter(({ contact }) => isTranslated(contact))
            .map(({ aor, contact }) => [aor, contact]),
        );
        const answers = await Promise.all([...known.values()].map((contact) => reaches(provider, contact)));
        assert.ok(answers.length > 0);
        assert.ok(
          answers.every(Boolean),
          `round ${round}: ${answers.filter(Boolean).length} of ${answers.length}`,
        );
        await talk(inside, outside);
      }
      await stop();
      await Promise.all(phones.map((phone) => phone.register()));
      for (const { aor } of phones) {
        const contacts = provider.bindings.entries.filter(
          (binding) => binding.aor === aor && isTranslated(binding.contact),
        );
        assert.equal(
          new Set(contacts.map(({ contact }) => contact)).size,
          1,
          `${aor} has one port all along`,
        );
      }
      assert.deepEqual([lost(inside), lost(outside)], [0, 0], 'packets of audio that were lost');
      assert.equal(statusOf(await outside.hangup()), 200);
      await inside.reached('ended');
    },
  );

  scenario(
    'restarted as an upgrade does: plain NAT for a moment, and no phone has two mappings afterwards',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true });
      await alice.register();
      const contact = provider.contactOf('alice');
      const { stateDir } = lab.gateway!;
      let asking = true;
      const asked = (async () => {
        while (asking) {
          alice.wire
            .request(
              'OPTIONS sip:198.51.100.5 SIP/2.0',
              [
                ['From', `<${alice.aor}>;tag=o`],
                ['To', '<sip:198.51.100.5>'],
                ['Call-ID', `o${performance.now()}`],
                ['CSeq', '1 OPTIONS'],
              ],
              '',
              { address: '198.51.100.5', port: 5060 },
            )
            .stop();
          await delay(10);
        }
      })();
      const { journal } = provider.agent.wire;
      const came = (translated: boolean) =>
        journal.entries.filter(
          ({ direction, message }) =>
            direction === 'in' &&
            message !== undefined &&
            methodOf(message) === 'OPTIONS' &&
            (values(message, 'via')[0] ?? '').includes('203.0.113.1') === translated,
        );
      // One has to come before, or nothing says when it began.
      await journal.until(
        (e) =>
          e.direction === 'in' &&
          methodOf(e.message!) === 'OPTIONS' &&
          first(e.message!, 'via').includes('203.0.113.1'),
        3000,
        'the first that is asked',
      );
      await lab.gateway!.stop();
      const before = came(true).at(-1)!.atMs;
      await lab.startGateway({ stateDir });
      const seen = journal.entries.length;
      await journal.until(
        (e) => e.direction === 'in' && first(e.message!, 'via').includes('203.0.113.1'),
        3000,
        'ours again',
        seen,
      );
      asking = false;
      await asked;
      const after = came(true).find(({ atMs }) => atMs > before)!.atMs;
      const plain = came(false);
      assert.ok(plain.length > 0, 'phones are never cut off');
      console.error(
        `a restart: ${Math.round(after - before)} ms without translation, ${plain.length} messages by plain NAT`,
      );
      assert.ok(after - before < 5000);
      await alice.register();
      assert.equal(provider.contactOf('alice'), contact);
      const flows = lab.network.run(
        'router',
        'sh',
        '-c',
        'conntrack -L -p udp --src 192.168.1.10 2>/dev/null || true',
      );
      assert.doesNotMatch(
        flows,
        /src=192\.168\.1\.10 .*dst=203\.0\.113\.1 /,
        'no flow with ordinary NAT is left',
      );
      assert.equal(uriOf(provider.contactOf('alice') ?? ''), contact);
      assertContent(alice);
    },
  );
});
