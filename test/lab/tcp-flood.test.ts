/** Floods by TCP: strangers end in the kernel, a phone is slowed down, and nobody else notices either. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { Call } from '../../demo/call.ts';
import { addresses, type Host } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { askStatus } from '../../src/gateway/status-socket.ts';
import { type Lab, labFile, scenario, talk } from './lab.ts';
import type { Flooded, StreamFlood } from './stream-flood-sender.ts';

const SENDER = fileURLToPath(new URL('./stream-flood-sender.ts', import.meta.url));
const SECONDS = 3;
/** T1 (RFC 3261 §17.1.1.1): what takes longer would be sent again over UDP. */
const SOON_MS = 500;

async function status(lab: Lab): Promise<StatusReport> {
  const answer = await askStatus(lab.gateway!.stateDir);
  assert.equal(answer.kind, 'answer');
  return JSON.parse(answer.kind === 'answer' ? answer.text : '') as StatusReport;
}

async function flood(lab: Lab, host: Host, options: Omit<StreamFlood, 'seconds'>): Promise<Flooded> {
  const argument = JSON.stringify({ ...options, seconds: SECONDS });
  const program = new Program(
    'stream flood',
    lab.network.spawn(host, process.execPath, [SENDER, argument], { stdio: ['ignore', 'pipe', 'pipe'] }),
  );
  lab.defer(() => program.stop('SIGKILL'));
  return JSON.parse(await program.says(/^\{/, 20_000)) as Flooded;
}

/** Packets missing at one end between the first and the last that came since `from`. */
function lost(end: Call, from: number): number {
  const numbers = end.media.received.entries.slice(from).map((packet) => packet.sequence);
  return numbers.at(-1)! - numbers[0]! + 1 - numbers.length;
}

/** A call over TCP is up while the flood lasts, and another phone registers again and again: how long each took. */
async function through(
  lab: Lab,
  attack: (externalPort: number) => Promise<Flooded>,
): Promise<{ flooded: Flooded; took: number[]; externalPort: number }> {
  const provider = await lab.provider({}, await lab.wire('provider', addresses.provider));
  const alice = await lab.phone({ onCall: 'answer' }, await lab.wire('phone1', addresses.phone1));
  await alice.register();
  const outside = await provider.call('alice');
  const inside = await alice.incoming();
  await outside.reached('confirmed');
  await talk(inside, outside);
  const seen = [inside.media.received.entries.length, outside.media.received.entries.length] as const;
  const contact = provider.contactOf('alice') ?? '';
  const externalPort = Number(/:(\d+)/.exec(contact.slice(contact.indexOf('@')))?.[1]);
  const dave = await lab.phone({ host: 'pbx', user: 'dave' }, await lab.wire('pbx', addresses.pbx));
  let over = false;
  const flooded = attack(externalPort).finally(() => {
    over = true;
  });
  // A failure further down is the one to be told.
  flooded.catch(() => {});
  const took: number[] = [];
  while (!over) {
    const begun = performance.now();
    await dave.register(300, 5_000);
    took.push(performance.now() - begun);
  }
  await talk(inside, outside);
  assert.deepEqual(
    [lost(inside, seen[0]), lost(outside, seen[1])],
    [0, 0],
    'RTP lost on the way in, and out',
  );
  await outside.hangup();
  await inside.reached('ended');
  return { flooded: await flooded, took: took.sort((a, b) => a - b), externalPort };
}

// One at a time: what is measured is time.
labFile(
  'floods by TCP',
  ['conntrack'],
  () => {
    scenario(
      'a stranger connects to the port of a mapping again and again: the kernel drops it, and nobody notices',
      { only: 'gateway', network: { firewall: false } },
      async (lab) => {
        const { stranger, routerExternal, provider } = addresses;
        const { flooded, took, externalPort } = await through(lab, (port) =>
          flood(lab, 'provider', {
            what: 'connections',
            from: stranger,
            to: { address: routerExternal, port },
            sockets: 100,
          }),
        );
        assert.ok(flooded.tried > 1_000, `${flooded.tried} connections are no flood`);
        assert.equal(flooded.established, 0);
        assert.ok(took.at(-1)! < SOON_MS, `REGISTER took up to ${took.at(-1)} ms`);
        const deadline = performance.now() + 7_000;
        let dropped = 0;
        while (dropped < flooded.tried && performance.now() < deadline)
          dropped = (await status(lab)).dropped.strangers ?? 0;
        assert.ok(dropped >= flooded.tried, `${dropped} of ${flooded.tried}`);
        assert.deepEqual(
          lab.gateway!.log.entries.filter((line) => JSON.stringify(line).includes(stranger)),
          [],
          'something of it has come as far as the gateway',
        );
        // Whom the phone knows may still open a connection of his own.
        const wire = await lab.wire('provider', provider, 5070, false);
        await once(wire.connect(routerExternal, externalPort), 'connect');
      },
    );

    scenario(
      'a phone pours messages into its connections: it is slowed down, told of, and the others register as ever',
      { only: 'gateway' },
      async (lab) => {
        const { flooded, took } = await through(lab, () =>
          flood(lab, 'phone2', {
            what: 'messages',
            from: addresses.phone2,
            to: { address: addresses.farEnd, port: 5060 },
            sockets: 4,
          }),
        );
        assert.ok(flooded.octets > 100_000, `${flooded.octets} octets are no flood`);
        const middle = took[Math.floor(took.length / 2)]!;
        process.stdout.write(
          `# ${took.length} registrations beside the flood: ${middle.toFixed(1)} ms in the middle, ${took.at(-1)!.toFixed(1)} ms at most\n`,
        );
        assert.ok(took.length > 20, `${took.length} registrations`);
        assert.ok(middle < SOON_MS / 5, `${middle} ms`);
        assert.ok(took.at(-1)! < SOON_MS, `${took.at(-1)} ms`);
        const { limits } = await status(lab);
        const rate = limits.find(({ limit }) => limit === 'messages-per-second-per-phone');
        assert.ok(rate !== undefined && rate.reached > 0, JSON.stringify(limits));
        const told = lab.gateway!.log.entries.filter(
          ({ msg, limit }) => msg === 'limit.reached' && limit === 'messages-per-second-per-phone',
        );
        assert.ok(told.length > 0 && told.every(({ phone }) => phone === addresses.phone2));
      },
    );

    scenario(
      'a phone that opens more connections than it may is refused the rest, and status says so',
      { only: 'gateway', gateway: { config: '[limits]\nconnections-per-phone = 3\n' } },
      async (lab) => {
        await lab.wire('provider', addresses.provider);
        const phone = await lab.wire('phone1', addresses.phone1, 5060, false);
        const sockets = Array.from({ length: 4 }, () => phone.connect(addresses.provider, 5060));
        await Promise.race(sockets.map((socket) => new Promise((resolve) => socket.once('close', resolve))));
        const { limits } = await status(lab);
        const of = (name: string) => limits.find(({ limit }) => limit === name);
        assert.equal(of('connections-per-phone')?.reached, 1);
        assert.equal(of('connections')?.used, 3);
        const other = await lab.wire('phone2', addresses.phone2, 5060, false);
        await once(other.connect(addresses.provider, 5060), 'connect');
      },
    );
  },
  1,
);
