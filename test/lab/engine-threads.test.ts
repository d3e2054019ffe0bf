/** Several engines that share the phones: what one phone has to do with another, and what becomes of all when one engine is gone. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { first, hostPortOf, statusOf } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import type { Provider } from '../../demo/provider.ts';
import { followGateway } from '../../src/gateway/follow-client.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { askStatus } from '../../src/gateway/status-socket.ts';
import { shareOf } from '../../src/linux/phone-share.ts';
import { Kamailio } from './kamailio.ts';
import { assertContent, eventually, type Lab, labFile, mediaElements, scenario, talk } from './lab.ts';

const CAROL_HERTZ = 620;
const ENGINES = 2;
const OPTIONS = { config: engines(ENGINES) };
const METRICS = '[metrics]\nlisten = "127.0.0.1:9160"\n';
const ASK_METRICS = `fetch('http://127.0.0.1:9160/metrics').then((answer) => answer.text()).then(console.log)`;
const TROUBLE = fileURLToPath(new URL('engine-trouble.ts', import.meta.url));

function engines(count: number): string {
  return `[linux]\nengine-threads = ${count}\n`;
}

const shares = [shareOf(addresses.phone1, ENGINES), shareOf(addresses.phone2, ENGINES)];

/** Of two engines. */
async function twoPhones(lab: Lab): Promise<{ alice: Agent; carol: Agent }> {
  assert.notEqual(shares[0], shares[1], 'the phones of the lab belong to two engines');
  const alice = await lab.phone({ rport: true });
  const carol = await lab.phone({ rport: true, host: 'phone2', hertz: CAROL_HERTZ });
  await Promise.all([alice.register(), carol.register()]);
  return { alice, carol };
}

async function called(
  phone: Agent,
  provider: Provider,
  user: string,
): Promise<{ inside: Call; outside: Call }> {
  const seen = phone.calls.entries.length;
  const outside = await provider.call(user);
  const inside = await phone.incoming(3000, seen);
  inside.answer();
  await outside.reached('confirmed');
  await talk(inside, outside);
  return { inside, outside };
}

async function report(lab: Lab): Promise<StatusReport> {
  const answer = await askStatus(lab.gateway!.stateDir);
  assert.equal(answer.kind, 'answer');
  return JSON.parse((answer as { text: string }).text) as StatusReport;
}

/** Whether what the phone sends now reaches the provider translated. */
async function isTranslated(phone: Agent, provider: Provider): Promise<boolean> {
  const { journal } = provider.agent.wire;
  const seen = journal.entries.length;
  const id = `q${performance.now()}`;
  phone.wire
    .request(
      `OPTIONS sip:${addresses.provider} SIP/2.0`,
      [
        ['From', `<${phone.aor}>;tag=q`],
        ['To', `<sip:${addresses.provider}>`],
        ['Call-ID', id],
        ['CSeq', '1 OPTIONS'],
      ],
      '',
      { address: addresses.provider, port: 5060 },
    )
    .stop();
  const { message } = await journal.until(
    (e) => e.direction === 'in' && e.message !== undefined && first(e.message, 'call-id') === id,
    2000,
    `what ${phone.aor} has asked`,
    seen,
  );
  return first(message!, 'via').includes(addresses.routerExternal);
}

/** Starts the gateway so that an engine can be made to fail; gives the way to do it. */
async function startFragile(lab: Lab): Promise<(engine: number, trouble: 'fail' | 'hang') => void> {
  await lab.gateway!.stop();
  const { stateDir } = lab.gateway!;
  const file = join(stateDir, 'trouble');
  process.env.ENGINE_TROUBLE = file;
  process.env.NODE_OPTIONS = `--import=${TROUBLE}`;
  // It is spawned at once, and others that are started later know nothing of it.
  const started = lab.startGateway({ ...OPTIONS, stateDir });
  delete process.env.ENGINE_TROUBLE;
  delete process.env.NODE_OPTIONS;
  await started;
  return (engine, trouble) => writeFileSync(file, `${engine} ${trouble}`);
}

labFile(
  'engines in threads',
  ['conntrack', 'kamailio'],
  () => {
    scenario(
      'phones of two engines register and are called; status, ladder and log tell of both',
      { only: 'gateway', gateway: { config: `${METRICS}${engines(ENGINES)}` } },
      async (lab) => {
        const provider = await lab.provider();
        const { alice, carol } = await twoPhones(lab);
        const calls = [await called(alice, provider, 'alice'), await called(carol, provider, 'carol')];
        const { phones, calls: known, messages, interception } = await report(lab);
        assert.equal(interception.active, true);
        assert.deepEqual(phones.map(({ internal }) => internal.address).sort(), [
          addresses.phone1,
          addresses.phone2,
        ]);
        assert.deepEqual(known.map(({ phone }) => phone).sort(), [addresses.phone1, addresses.phone2]);
        for (const { media } of known)
          assert.ok((media[0]?.fromPhone ?? 0) > 0, 'media of each call is counted');
        assert.ok(messages.translated >= 12, `${messages.translated} messages were translated`);
        const answer = await followGateway(lab.gateway!.stateDir, { since: 0, ends: true });
        assert.equal(answer.kind, 'following');
        const told: string[] = [];
        if (answer.kind === 'following')
          for await (const { exchanges } of answer.followed)
            for (const { flow, verdict } of exchanges)
              if (verdict === 'message.translated' && flow?.side === 'internal')
                told.push(flow.remote.address);
        for (const phone of [addresses.phone1, addresses.phone2]) assert.ok(told.includes(phone), phone);
        const metrics = lab.network.run('router', process.execPath, '-e', ASK_METRICS);
        const value = (name: string): number =>
          Number(
            metrics
              .split('\n')
              .find((line) => line.startsWith(`${name} `))
              ?.slice(name.length),
          );
        assert.equal(value('sipalg_calls{state="confirmed"}'), 2);
        assert.equal(value('sipalg_calls_total{event="answered"}'), 2);
        assert.equal(value('sipalg_table_limit{table="mappings"}'), ENGINES * 4096);
        assert.ok(value('sipalg_engine_seconds_count') > 0);
        const invites =
          'sipalg_messages_total{direction="from-provider",method="INVITE",verdict="translated"}';
        assert.ok(value(invites) >= 2, metrics);
        const granted = lab.gateway!.log.entries.filter(
          ({ msg, renewed }) => msg === 'registration.granted' && renewed === false,
        );
        assert.equal(granted.length, 2);
        for (const { inside, outside } of calls) {
          assert.equal(statusOf(await outside.hangup()), 200);
          await inside.reached('ended');
        }
        await eventually(() => mediaElements(lab) === 0, 3_000, 'the media of the calls is shut');
        assertContent(alice, carol);
      },
    );

    scenario(
      'phones of two engines call each other, either way, by a provider that passes their SDP on; the gateway is killed under them',
      { only: 'gateway', gateway: OPTIONS },
      async (lab) => {
        await lab.own(Kamailio.start(lab.network));
        const { alice, carol } = await twoPhones(lab);
        for (const [from, to] of [
          [alice, carol],
          [carol, alice],
        ] as const) {
          const seen = to.calls.entries.length;
          const calling = await from.call(to.aor);
          const incoming = await to.incoming(3000, seen);
          incoming.answer();
          await calling.reached('confirmed');
          await talk(incoming, calling);
          for (const { media, remoteSdp } of [calling, incoming]) {
            assert.equal(remoteSdp?.address, addresses.routerExternal);
            assert.deepEqual(media.sources(), [`${remoteSdp?.address}:${remoteSdp?.port}`]);
          }
          await lab.gateway!.stop('SIGKILL');
          await lab.startGateway({ ...OPTIONS, stateDir: lab.gateway!.stateDir });
          // Flows that begin anew have only the rules to go by.
          for (const { media } of [calling, incoming])
            for (const end of ['--sport', '--dport'])
              lab.network.run('router', 'sh', '-c', `conntrack -D -p udp ${end} ${media.port} || :`);
          await talk(incoming, calling);
          assert.equal(statusOf(await incoming.hangup()), 200);
          await calling.reached('ended');
        }
        await eventually(() => mediaElements(lab) === 0, 3_000, 'the media of the calls is shut');
        assertContent(alice, carol);
      },
    );

    scenario(
      'a phone calls another engine’s phone straight at its external endpoint',
      { only: 'gateway', gateway: OPTIONS },
      async (lab) => {
        const provider = await lab.provider();
        const { carol } = await twoPhones(lab);
        const contact = provider.contactOf('carol')!;
        const direct = await lab.phone({
          rport: true,
          user: 'direct',
          port: 5070,
          outbound: hostPortOf(contact),
        });
        const calling = await direct.call(contact);
        const incoming = await carol.incoming();
        incoming.answer();
        await calling.reached('confirmed');
        await talk(incoming, calling);
        assert.equal(statusOf(await calling.hangup()), 200);
        await incoming.reached('ended');
        assertContent(direct, carol);
      },
    );

    scenario(
      'started again with another number of engines, and with one: calls and registrations stay',
      { only: 'gateway', gateway: OPTIONS },
      async (lab) => {
        const provider = await lab.provider();
        const { alice, carol } = await twoPhones(lab);
        const contacts = ['alice', 'carol'].map((user) => provider.contactOf(user));
        const calls = [await called(alice, provider, 'alice'), await called(carol, provider, 'carol')];
        const { stateDir } = lab.gateway!;
        for (const count of [3, 1]) {
          await lab.gateway!.stop();
          await lab.startGateway({ config: engines(count), stateDir });
          for (const { inside, outside } of calls) await talk(inside, outside);
          const { phoneCount, callCount } = await report(lab);
          assert.deepEqual([phoneCount, callCount], [2, 2], `with ${count}`);
          for (const [i, phone] of [alice, carol].entries()) {
            const { inside, outside } = await called(phone, provider, ['alice', 'carol'][i]!);
            assert.equal(statusOf(await inside.hangup()), 200);
            await outside.reached('ended');
          }
        }
        await Promise.all([alice.register(), carol.register()]);
        assert.deepEqual(
          ['alice', 'carol'].map((user) => provider.contactOf(user)),
          contacts,
        );
        for (const { inside, outside } of calls) {
          assert.equal(statusOf(await outside.hangup()), 200);
          await inside.reached('ended');
        }
        assertContent(alice, carol);
      },
    );

    scenario(
      'a flushed ruleset is there again with what each engine has in it; off and on again',
      { only: 'gateway', gateway: OPTIONS },
      async (lab) => {
        const provider = await lab.provider();
        const { alice, carol } = await twoPhones(lab);
        const calls = [await called(alice, provider, 'alice'), await called(carol, provider, 'carol')];
        const elements = mediaElements(lab);
        lab.network.run('router', 'nft', 'delete', 'table', 'inet', 'sipalg');
        await lab.gateway!.log.until(
          ({ code }) => code === 'linux.ruleset-lost',
          4000,
          'the ruleset is back',
        );
        assert.equal(mediaElements(lab), elements);
        writeFileSync(join(lab.gateway!.stateDir, 'switch'), 'off\n');
        await lab.gateway!.log.until(({ msg }) => msg === 'off', 4000, 'off');
        assert.equal(await isTranslated(alice, provider), false);
        assert.equal(await isTranslated(carol, provider), false);
        const seen = lab.gateway!.log.entries.length;
        writeFileSync(join(lab.gateway!.stateDir, 'switch'), 'on\n');
        await lab.gateway!.log.until(({ msg }) => msg === 'ready', 6000, 'on', seen);
        for (const { inside, outside } of calls) {
          await talk(inside, outside);
          assert.equal(statusOf(await outside.hangup()), 200);
          await inside.reached('ended');
        }
        for (const phone of [alice, carol]) assert.equal(await isTranslated(phone, provider), true);
      },
    );

    scenario(
      'an engine fails: plain NAT at once, and what is started again has every call and registration',
      { only: 'gateway', gateway: OPTIONS },
      async (lab) => {
        const provider = await lab.provider();
        const trouble = await startFragile(lab);
        const { alice, carol } = await twoPhones(lab);
        const calls = [await called(alice, provider, 'alice'), await called(carol, provider, 'carol')];
        // What is younger than this may be lost.
        await delay(200);
        trouble(shares[0]!, 'fail');
        await lab.gateway!.program.says(/ended: 70\]/, 4000).catch(() => {});
        assert.equal(lab.gateway!.program.running, false);
        assert.ok(
          lab.gateway!.program.lines.entries.some((line) => line.includes('gateway.engine-failed')),
          'the log says which engine, and why',
        );
        assert.match(lab.gateway!.program.lines.entries.at(-1)!, /ended: 70\]$/);
        for (const phone of [alice, carol]) assert.equal(await isTranslated(phone, provider), false);
        for (const { inside, outside } of calls) await talk(inside, outside);
        await lab.startGateway({ ...OPTIONS, stateDir: lab.gateway!.stateDir });
        for (const { inside, outside } of calls) {
          await talk(inside, outside);
          assert.equal(statusOf(await outside.hangup()), 200);
          await inside.reached('ended');
        }
        for (const phone of [alice, carol]) assert.equal(await isTranslated(phone, provider), true);
      },
    );

    scenario(
      'an engine hangs: no heartbeat, so that all phones have plain NAT, and the gateway ends itself',
      { only: 'gateway', gateway: OPTIONS },
      async (lab) => {
        const provider = await lab.provider();
        const trouble = await startFragile(lab);
        const { alice, carol } = await twoPhones(lab);
        trouble(shares[1]!, 'hang');
        await delay(100);
        assert.equal(await isTranslated(alice, provider), true, 'the other engine goes on meanwhile');
        const { phones } = await report(lab);
        assert.deepEqual(
          phones.map(({ internal }) => internal.address),
          [addresses.phone1],
          'what is not known is not shown',
        );
        const { notices } = await report(lab);
        assert.ok(notices.some(({ code }) => code === 'gateway.engine-late'));
        const deadline = performance.now() + 12_000;
        while (await isTranslated(alice, provider)) {
          assert.ok(performance.now() < deadline, 'plain NAT in time');
          await delay(200);
        }
        assert.equal(await isTranslated(carol, provider), false);
        await lab.gateway!.program.says(/ended: 70\]/, 15_000).catch(() => {});
        assert.equal(lab.gateway!.program.running, false);
      },
    );
  },
  3,
);
