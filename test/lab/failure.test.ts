/** The gateway dies, hangs or is restarted while somebody is talking: plain NAT goes on, and so do the calls. */
import assert from 'node:assert/strict';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { type Gateway, SIPALG } from '../../demo/gateway.ts';
import { statusOf } from '../../demo/message.ts';
import type { Provider } from '../../demo/provider.ts';
import { assertContent, type Lab, labFile, PHONE_HERTZ, PROVIDER_HERTZ, scenario, talk } from './lab.ts';

interface Talking {
  readonly alice: Agent;
  readonly provider: Provider;
  readonly inside: Call;
  readonly outside: Call;
}

async function talking(lab: Lab): Promise<Talking> {
  const provider = await lab.provider();
  const alice = await lab.phone({ rport: true });
  await alice.register();
  const outside = await provider.call('alice');
  const inside = await alice.incoming();
  inside.answer();
  await outside.reached('confirmed');
  await talk(inside, outside);
  return { alice, provider, inside, outside };
}

/** Packets that were lost on the way to each end, out of those sent while `during` ran. */
async function lost(call: Talking, during: () => Promise<void>): Promise<{ in: number; out: number }> {
  const seen = [call.inside.media.received.entries.length, call.outside.media.received.entries.length];
  await during();
  await talk(call.inside, call.outside);
  const gaps = ([end, from]: [Call, number]): number => {
    const numbers = end.media.received.entries.slice(from).map((p) => p.sequence);
    return numbers.at(-1)! - numbers[0]! + 1 - numbers.length;
  };
  return { in: gaps([call.inside, seen[0]!]), out: gaps([call.outside, seen[1]!]) };
}

/** A phone that plain NAT lets register: it asks for rport. */
async function newcomer(lab: Lab, withinMs: number): Promise<void> {
  const carol = await lab.phone({ host: 'phone2', rport: true });
  await carol.register(300, withinMs);
}

labFile('the gateway fails', ['conntrack'], () => {
  for (const [title, signal, withinMs] of [
    ['killed (-9)', 'SIGKILL', 3000],
    ['frozen (SIGSTOP)', 'SIGSTOP', 10_000],
    ['stopped', 'SIGTERM', 3000],
  ] as const) {
    scenario(
      `the gateway is ${title} mid-call: audio goes on, a new phone registers by plain NAT`,
      { only: 'gateway' },
      async (lab) => {
        const call = await talking(lab);
        const gaps = await lost(call, async () => {
          const program = lab.gateway!.program;
          program.signal(signal);
          if (signal !== 'SIGSTOP') await program.exited();
          await newcomer(lab, withinMs);
          assert.match(call.provider.contactOf('carol') ?? '', /@192\.168\.1\.11:/);
        });
        assert.deepEqual(gaps, { in: 0, out: 0 });
      },
    );
  }

  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    scenario(
      `the gateway is restarted (${signal}) mid-call: the call goes on and its BYE arrives`,
      { only: 'gateway' },
      async (lab) => {
        const call = await talking(lab);
        const gaps = await lost(call, async () => {
          const old = lab.gateway!;
          await old.stop(signal);
          await lab.startGateway({ stateDir: old.stateDir });
        });
        assert.deepEqual(gaps, { in: 0, out: 0 });
        assert.equal(statusOf(await call.outside.hangup()), 200);
        await call.inside.reached('ended');
        const again = await call.provider.call('alice');
        await call.alice.incoming(3000, 1);
        await again.reached('ringing');
        assertContent(call.alice, call.provider.agent);
      },
    );
  }

  scenario('the gateway thaws after a freeze and goes on where it was', { only: 'gateway' }, async (lab) => {
    const call = await talking(lab);
    const { program } = lab.gateway!;
    program.signal('SIGSTOP');
    await newcomer(lab, 10_000);
    program.signal('SIGCONT');
    assert.equal(statusOf(await call.outside.hangup(5000)), 200);
    await call.inside.reached('ended');
    const again = await call.alice.call('sip:bob@198.51.100.5');
    const outside = await call.provider.agent.incoming(3000, 1);
    outside.answer();
    await again.reached('confirmed', 5000);
    await Promise.all([again.media.hear(PROVIDER_HERTZ), outside.media.hear(PHONE_HERTZ)]);
  });

  scenario('what a stopped gateway leaves behind is nothing', { only: 'gateway' }, async (lab) => {
    const state = (): string[] => [
      lab.network.run('router', 'ip', 'rule', 'list'),
      lab.network.run('router', 'ip', 'route', 'show', 'table', 'all'),
      lab.network.run('router', 'nft', 'list', 'tables'),
    ];
    const gateway = lab.gateway!;
    await gateway.stop();
    const stopped = state();
    // Interception must be gone. Its table may only stay for calls that go on, and there were none.
    assert.doesNotMatch(stopped.join('\n'), /sipalg|fwmark/);
    await talking(await withGatewayAgain(lab));
    await lab.gateway!.stop();
    assert.doesNotMatch(state()[0]!, /fwmark/);
  });

  scenario(
    'a gateway that is started again finds the same external ports',
    { only: 'gateway' },
    async (lab) => {
      const provider = await lab.provider();
      const alice = await lab.phone();
      await alice.register();
      const before = provider.contactOf('alice');
      await lab.gateway!.stop('SIGKILL');
      await lab.startGateway({ stateDir: lab.gateway!.stateDir });
      await alice.register();
      assert.equal(provider.contactOf('alice'), before);
      assertContent(alice);
    },
  );

  scenario(
    'switched off it leaves plain NAT at once and the call goes on; switched on it is back',
    { only: 'gateway' },
    async (lab) => {
      const call = await talking(lab);
      const gateway = lab.gateway!;
      const turn = async (state: 'on' | 'off', msg: string): Promise<void> => {
        const seen = gateway.log.entries.length;
        lab.network.run('router', SIPALG, state, '--state-dir', gateway.stateDir);
        await gateway.log.until((line) => line.msg === msg, 5000, `the gateway says ${msg}`, seen);
      };
      const gaps = await lost(call, async () => {
        await turn('off', 'off');
        assert.doesNotMatch(lab.network.run('router', 'nft', 'list', 'ruleset'), /tproxy/);
        await newcomer(lab, 1000);
        assert.match(call.provider.contactOf('carol') ?? '', /@192\.168\.1\.11:/);
      });
      assert.deepEqual(gaps, { in: 0, out: 0 });
      await turn('on', 'ready');
      await call.alice.register();
      assert.match(call.provider.contactOf('alice') ?? '', /@203\.0\.113\.1:/);
      assert.equal(statusOf(await call.outside.hangup()), 200);
      await call.inside.reached('ended');
    },
  );

  scenario(
    'a phone that plain NAT served before the gateway came is taken over at its next message',
    { only: 'gateway' },
    async (lab) => {
      await lab.gateway!.stop();
      const provider = await lab.provider();
      const alice = await lab.phone({ rport: true, onCall: 'answer' });
      await alice.register();
      assert.match(provider.contactOf('alice') ?? '', /@192\.168\.1\.10:5060/);
      await lab.startGateway({ stateDir: lab.gateway!.stateDir });
      await alice.register();
      assert.match(provider.contactOf('alice') ?? '', /@203\.0\.113\.1:/);
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      await outside.reached('confirmed');
      await talk(inside, outside);
    },
  );
});

async function withGatewayAgain(lab: Lab): Promise<Lab> {
  const gateway: Gateway = lab.gateway!;
  await lab.startGateway({ stateDir: gateway.stateDir });
  return lab;
}
