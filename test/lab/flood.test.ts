/** Floods from a phone and from outside: calls go on without a packet lost, other phones register and call as ever. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { Call } from '../../demo/call.ts';
import { addresses, type Host } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import type { StatusReport } from '../../src/gateway/status-report.ts';
import { askStatus } from '../../src/gateway/status-socket.ts';
import { type Lab, labFile, scenario, talk } from './lab.ts';

const SENDER = fileURLToPath(new URL('./flood-sender.ts', import.meta.url));
const SECONDS = 4;
/** Three times T1 (RFC 3261 §17.1.1.1): sender, router, peers and this process share the machine's two cores. */
const SOON_MS = 1_500;

interface Flood {
  readonly host: Host;
  readonly from: string;
  readonly to: string;
}

/** How many datagrams were sent, once they are. */
async function flood(lab: Lab, { host, from, to }: Flood): Promise<number> {
  const options = {
    local: { address: from, port: 5099 },
    to: { address: to, port: 5060 },
    seconds: SECONDS,
  };
  const child = lab.network.spawn(host, process.execPath, [SENDER, JSON.stringify(options)]);
  const program = new Program('flood', child);
  lab.defer(() => program.stop('SIGKILL'));
  return Number(await program.says(/^\d+$/, 20_000));
}

async function status(lab: Lab): Promise<StatusReport> {
  const answer = await askStatus(lab.gateway!.stateDir);
  assert.equal(answer.kind, 'answer');
  return JSON.parse(answer.kind === 'answer' ? answer.text : '') as StatusReport;
}

/** Packets missing at one end between the first and the last that came since `from`. */
function lost(end: Call, from: number): number {
  const numbers = end.media.received.entries.slice(from).map((packet) => packet.sequence);
  return numbers.at(-1)! - numbers[0]! + 1 - numbers.length;
}

/** A call is up; the flood comes; somebody else registers and is called meanwhile. Gives what was sent. */
async function through(lab: Lab, attack: Flood): Promise<number> {
  const provider = await lab.provider();
  const alice = await lab.phone({ onCall: 'answer' });
  await alice.register();
  const outside = await provider.call('alice');
  const inside = await alice.incoming();
  await outside.reached('confirmed');
  await talk(inside, outside);
  const seen = [inside.media.received.entries.length, outside.media.received.entries.length] as const;
  let over = false;
  const sent = flood(lab, attack).finally(() => {
    over = true;
  });
  // A failure further down is the one to be told.
  sent.catch(() => {});
  await lab.gateway!.log.until(({ msg }) => msg !== '', 5_000, 'something is logged');
  const dave = await lab.phone({ host: 'pbx', user: 'dave', onCall: 'answer' });
  while (!over) {
    await dave.register(300, SOON_MS);
    const begun = performance.now();
    const count = dave.calls.entries.length;
    const call = await provider.call('dave');
    await dave.incoming(SOON_MS, count);
    await call.reached('confirmed');
    assert.ok(performance.now() - begun < SOON_MS, 'a call is set up soon');
    await call.hangup();
  }
  await talk(inside, outside);
  assert.deepEqual(
    [lost(inside, seen[0]), lost(outside, seen[1])],
    [0, 0],
    'RTP lost on the way in, and out',
  );
  await outside.hangup();
  return sent;
}

// One at a time: what is measured is time.
labFile(
  'floods',
  ['conntrack'],
  () => {
    scenario(
      'a phone floods with INVITE, REGISTER and garbage: nobody else notices',
      { only: 'gateway' },
      async (lab) => {
        const sent = await through(lab, { host: 'phone2', from: addresses.phone2, to: addresses.farEnd });
        assert.ok(sent > 10_000, `${sent} datagrams are no flood`);
        await lab.gateway!.log.until(({ code }) => code === 'linux.too-fast', 7_000, 'it is told');
        const { dropped, limits } = await status(lab);
        assert.ok(dropped['too-fast-phones']! > sent / 2, JSON.stringify(dropped));
        // What did come through has met the limits of one phone, and left the others theirs.
        for (const { limit, used, of } of limits)
          if (used !== undefined) assert.ok(used < of / 2, `${limit} ${used}/${of}`);
      },
    );

    scenario(
      'a stranger floods a router without a firewall: nothing of it reaches the gateway, and nobody notices',
      { only: 'gateway', network: { firewall: false } },
      async (lab) => {
        const sent = await through(lab, {
          host: 'provider',
          from: addresses.stranger,
          to: addresses.routerExternal,
        });
        assert.ok(sent > 10_000, `${sent} datagrams are no flood`);
        const deadline = performance.now() + 7_000;
        let dropped = 0;
        while (dropped < sent / 2 && performance.now() < deadline)
          dropped = (await status(lab)).dropped.strangers ?? 0;
        assert.ok(dropped > sent / 2, `${dropped} of ${sent}`);
        const { stranger } = addresses;
        assert.deepEqual(
          lab.gateway!.log.entries.filter((line) => JSON.stringify(line).includes(stranger)),
          [],
        );
      },
    );
  },
  1,
);
