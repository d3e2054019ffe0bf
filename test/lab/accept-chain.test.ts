/** A provider that calls from an address at which no phone has registered, behind a firewall that drops what it does not know. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { hostPortOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import { inLab, type Lab, labFile, talk } from './lab.ts';

const CHAIN = 'inet firewall sip';

/** The other address calls the phone; then the provider does, and by then the first call has come or never will. */
async function otherIsHeard(lab: Lab, args: readonly string[]): Promise<boolean> {
  await lab.startGateway({ args });
  const provider = await lab.provider();
  const alice = await lab.phone({ rport: true, onCall: 'answer' });
  await alice.register();
  const other = await lab.outsider('trunk', addresses.stranger);
  const contact = provider.contactOf('alice') ?? '';
  const call = await other.call(contact, { to: hostPortOf(contact) });
  const known = await provider.call('alice');
  await known.reached('confirmed');
  const heard = alice.calls.entries.find((one) => one.callId === call.callId);
  assert.equal(alice.calls.entries.length, heard === undefined ? 1 : 2);
  if (heard === undefined) return false;
  await call.reached('confirmed');
  await talk(heard, call);
  return true;
}

labFile('a provider with several addresses', [], () => {
  const config = `[[provider]]\nname = "trunk"\naddresses = ["${addresses.stranger}"]\n`;
  for (const [name, args, admitted] of [
    [
      'reaches the phone where it is configured and a chain of the firewall may accept it',
      ['--accept-chain', CHAIN],
      true,
    ],
    ['is stopped by the firewall where no chain is named', [], false],
  ] as const)
    test(name, () =>
      inLab({ firewall: true }, async (lab) => {
        const directory = mkdtempSync(join(tmpdir(), 'sipalg-lab-'));
        const file = join(directory, 'gateway.toml');
        writeFileSync(file, config);
        try {
          assert.equal(await otherIsHeard(lab, ['--config', file, ...args]), admitted);
          const rules = lab.network.run('router', 'nft', 'list', 'chain', ...CHAIN.split(' '));
          assert.equal(rules.includes('comment "sipalg'), admitted);
          await lab.gateway?.stop();
          assert.doesNotMatch(
            lab.network.run('router', 'nft', 'list', 'ruleset'),
            /sipalg/,
            'nothing is left',
          );
        } finally {
          rmSync(directory, { recursive: true, force: true });
        }
      }),
    );

  test('stays a stranger where it is not configured, though the chain is named', () =>
    inLab({ firewall: true }, async (lab) => {
      assert.equal(await otherIsHeard(lab, ['--accept-chain', CHAIN]), false);
    }));
});
