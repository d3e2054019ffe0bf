/**
 * Explicit mode, with IPv6 on one side or on both: the phone names the gateway as its outbound proxy, and the media goes
 * through the relay (RFC 6157 §3.1). The gateway runs in the router and forwards nothing: it speaks for itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Agent } from '../../demo/agent.ts';
import { Gateway } from '../../demo/gateway.ts';
import { addresses, addresses6 } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import { assertContent, inLab, type Lab, labFile, talk } from './lab.ts';

interface Ends {
  readonly phone: Agent;
  readonly provider: Provider;
}

async function ends(lab: Lab, inside: 4 | 6, outside: 4 | 6): Promise<Ends> {
  const own = [`[${addresses6.routerInternal}]:5060`, `${addresses.routerInternal}:5060`];
  const listen = own.flatMap((endpoint) => ['--listen', endpoint]);
  lab.gateway = await lab.own(
    Gateway.started((program, args) =>
      lab.network.spawn('router', program, [...args, ...listen], { stdio: ['ignore', 'pipe', 'pipe'] }),
    ),
  );
  const provider = outside === 6 ? await lab.provider6() : await lab.provider();
  const [address, gateway] =
    inside === 6
      ? [addresses6.phone1, addresses6.routerInternal]
      : [addresses.phone1, addresses.routerInternal];
  const phone = await lab.phone({
    address,
    domain: outside === 6 ? `[${addresses6.provider}]` : addresses.provider,
    outbound: { address: gateway, port: 5060 },
    outboundAlways: true,
    rport: true,
  });
  await phone.register();
  return { phone, provider };
}

labFile('explicit mode with IPv6', [], () => {
  for (const [inside, outside] of [
    [6, 4],
    [4, 6],
    [6, 6],
  ] as const)
    test(`a phone with IPv${inside} and a provider with IPv${outside} call each other, with audio both ways`, () =>
      inLab({ ipv6: 'routed', firewall: false }, async (lab) => {
        const { phone, provider } = await ends(lab, inside, outside);
        const far = await phone.call(
          `sip:bob@${outside === 6 ? `[${addresses6.provider}]` : addresses.provider}`,
        );
        const answered = await provider.agent.incoming();
        answered.answer();
        await far.reached('confirmed');
        await talk(far, answered);
        await answered.hangup();
        await far.reached('ended');

        const call = await provider.call('alice');
        const rung = await phone.incoming();
        rung.answer();
        await call.reached('confirmed');
        await talk(rung, call);
        await rung.hangup();
        await call.reached('ended');
        assertContent(phone, provider.agent);

        const types = (agent: Agent): Set<string> =>
          new Set(
            agent.wire.journal.entries
              .filter((e) => e.direction === 'in')
              .flatMap((e) => [...(e.message?.body.matchAll(/^c=IN (IP[46]) (\S+)/gm) ?? [])])
              .map(([, type, address]) => `${type} ${address?.includes(':') ? 6 : 4}`),
          );
        assert.deepEqual(types(phone), new Set([`IP${inside} ${inside}`]));
        assert.deepEqual(types(provider.agent), new Set([`IP${outside} ${outside}`]));
      }));
});
