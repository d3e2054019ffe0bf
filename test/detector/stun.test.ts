/**
 * STUN with coturn as the other side: its client at our reflector, and what we write and read of STUN at its server; behind NATs of
 * three behaviours. Needs root and coturn.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { bindingRequest, readStun, type StunChange, type StunMessage } from '../../src/core/net/stun.ts';
import { BOX_OUTSIDE, BoxLab, type BoxOptions, CLIENT, SECOND_SERVER, SERVER } from './lab.ts';

const skip =
  namespaceObstacle() ??
  (spawnSync('turnutils_natdiscovery').error === undefined
    ? false
    : 'coturn is missing: apt-get install coturn');

const cone = `table ip cone {
  chain prerouting {
    type nat hook prerouting priority dstnat;
    iifname "wan" ip daddr ${BOX_OUTSIDE} udp dport 1024-65535 dnat to ${CLIENT}
  }
}\n`;

const boxes: readonly (BoxOptions & { behaviour: readonly [mapping: string, filtering: string] })[] = [
  { behaviour: ['endpoint-independent', 'address-and-port-dependent'] },
  {
    nat: 'masquerade fully-random',
    behaviour: ['address-and-port-dependent', 'address-and-port-dependent'],
  },
  { rules: cone, behaviour: ['endpoint-independent', 'endpoint-independent'] },
];

/** `address-and-port-dependent`, as coturn prints it: `Address and Port Dependent`. */
function words(name: string): RegExp {
  return new RegExp(`NAT with ${name.replaceAll('-', '[- ]')} `, 'i');
}

test('behind NATs of three behaviours our check, STUN and coturn’s client at our reflector say the same', {
  skip,
  concurrency: boxes.length,
}, async (t) => {
  const trials = boxes.map(({ behaviour, ...box }) =>
    t.test(behaviour.join(', '), async () => {
      using lab = new BoxLab(box);
      // The session is what lets coturn's client be answered: it goes on as long as something waits.
      const options = ['--json', '--patience', '200', '--only', 'nat,stun,idle', '--idle', '9'];
      const check = lab.start(lab.client, ['check', await lab.reflector(), ...options]);
      const output = textOf(check);
      await sessionOf(lab);
      const discovery = lab.client.spawn('turnutils_natdiscovery', ['-m', '-f', SERVER]);
      const [said, json] = await Promise.all([textOf(discovery), output]);
      const { natBehaviour, facts, verdict } = JSON.parse(json) as CheckReport;
      assert.equal(verdict, 'unaltered');
      assert.deepEqual([natBehaviour?.mapping, natBehaviour?.filtering], behaviour);
      const byStun = facts.find(({ id }) => id === 'stun-behaviour')?.text;
      const [mapping, filtering] = behaviour.map((name) =>
        name.replace('address-and-port', 'address- and port'),
      );
      assert.equal(byStun, `By STUN, mapping is ${mapping}, filtering is ${filtering}.`);
      assert.equal(
        facts.find(({ id }) => id === 'stun-wrong'),
        undefined,
      );
      const [mapped, filtered] = said.split('Filtering Behavior Discovery');
      assert.match(mapped!, words(behaviour[0]));
      assert.match(filtered!, words(behaviour[1]));
    }),
  );
  await Promise.all(trials);
});

test('with one address a check says what two ports show, and that the rest was not checked', {
  skip,
}, async () => {
  using lab = new BoxLab();
  const invitation = await lab.reflector('--address', SERVER);
  const run = await lab.check(invitation, '--json', '--patience', '200', '--only', 'nat,stun');
  const { natBehaviour, facts } = JSON.parse(run.stdout) as CheckReport;
  assert.deepEqual(
    [natBehaviour?.mapping, natBehaviour?.filtering],
    ['not-checked', 'address-and-port-dependent'],
  );
  assert.match(
    facts.map(({ text }) => text).join(' '),
    /another address was not checked: the reflector has one only/,
  );
});

test('coturn’s server answers our requests, from where it is asked to, and we read what it says', {
  skip,
}, async () => {
  using lab = new BoxLab({ nat: 'none' });
  const listening = ['-L', SERVER, '-L', SECOND_SERVER];
  const only = ['-n', '-S', '--no-tls', '--no-dtls', '--no-cli', '-l', 'stdout', '--pidfile', '/dev/null'];
  const server = lab.server.spawn('turnserver', [...only, ...listening]);
  try {
    const socket = await lab.client.socket(CLIENT, 0);
    const { port } = socket.address();
    const ask = async (change?: StunChange): Promise<{ from: string; answer: StunMessage }> => {
      const transaction = new Uint8Array(randomBytes(12));
      const request = bindingRequest({ transaction, ...(change === undefined ? {} : { change }) });
      // Until the server listens nobody hears it.
      const again = setInterval(() => socket.send(request, 3478, SERVER), 100);
      try {
        for (;;) {
          const [bytes, from] = (await once(socket, 'message', { signal: AbortSignal.timeout(10_000) })) as [
            Buffer,
            { address: string; port: number },
          ];
          const answer = readStun(bytes);
          if (answer !== undefined && Buffer.from(answer.transaction).equals(transaction))
            return { from: `${from.address}:${from.port}`, answer };
        }
      } finally {
        clearInterval(again);
      }
    };
    const { from, answer } = await ask();
    assert.equal(from, `${SERVER}:3478`);
    assert.deepEqual(answer.mapped, { address: CLIENT, port });
    assert.deepEqual(answer.origin, { address: SERVER, port: 3478 });
    assert.deepEqual(answer.other, { address: SECOND_SERVER, port: 3479 });
    assert.equal((await ask({ address: true, port: true })).from, `${SECOND_SERVER}:3479`);
    assert.equal((await ask({ address: false, port: true })).from, `${SERVER}:3479`);
    socket.close();
  } finally {
    server.kill();
    await once(server, 'exit');
  }
});

async function textOf(child: ChildProcess): Promise<string> {
  let text = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await once(child, 'close');
  return text;
}

/** Until the client has a connection to the control port. */
async function sessionOf(lab: BoxLab): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = setInterval(() => {
    if (lab.client.run('ss', ['-Htn', 'state', 'established', 'dst', SERVER]).trim() !== '') resolve();
  }, 100);
  await promise;
  clearInterval(look);
}
