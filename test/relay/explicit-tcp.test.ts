/** The explicit mode over TCP: the engine, the plane and the relay, between scripted agents on loopback. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, test } from 'node:test';
import { Agent } from '../../demo/agent.ts';
import { boundSocket } from '../../demo/namespace.ts';
import { Provider } from '../../demo/provider.ts';
import { TcpWire } from '../../demo/tcp-wire.ts';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output, PlaneHandler } from '../../src/core/alg/io.ts';
import { endpoint } from '../../src/core/net/address.ts';
import { createExplicitPlane, type ExplicitPlane } from '../../src/gateway/explicit/plane.ts';
import { freePorts } from './peer.ts';

const PHONE = '127.0.1.1';
const PROVIDER = '127.0.2.1';
const GATEWAY = '127.0.0.1';
const closing: (() => unknown)[] = [];

after(async () => {
  for (const close of closing.reverse()) await close();
});

async function startGateway(): Promise<{ plane: ExplicitPlane; notices: string[] }> {
  const listen = endpoint(GATEWAY, 0);
  const notices: string[] = [];
  let engine: Engine;
  let plane: ExplicitPlane;
  const queue: Input[] = [];
  let isBusy = false;
  // One input at a time, as the daemon has it: what the plane answers meanwhile waits its turn.
  const run = (input: Input): void => {
    queue.push(input);
    if (isBusy) return;
    isBusy = true;
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      for (const output of engine.handle(Date.now(), next)) carryOut(output);
    isBusy = false;
  };
  const carryOut = (output: Output): void => {
    if (output.kind === 'send') plane.send(output.flow, output.bytes);
    else if (output.kind === 'signalling') plane.signalling(output.command);
    else if (output.kind === 'media') plane.media(output.command);
  };
  const handler: PlaneHandler = {
    packet: (flow, bytes, externalAddress, innerAddress) =>
      run({
        kind: 'packet',
        flow,
        bytes,
        ...(externalAddress && { externalAddress }),
        ...(innerAddress && { innerAddress }),
      }),
    opened: (id) => run({ kind: 'opened', id }),
    failed: (id, reason) => run({ kind: 'failed', id, reason }),
    closed: (connection) => run({ kind: 'closed', connection }),
    admits: (local, remote) => engine.admits('tcp', local, remote),
    limit: () => {},
    notice: (code, text) => notices.push(`${code} ${text}`),
  };
  plane = await createExplicitPlane({ listen: [listen] }, handler);
  engine = new Engine({
    media: 'relay',
    own: plane.addresses,
    signallingPorts: { low: 22_300, high: 22_399 },
    mediaPorts: { low: 22_400, high: 22_599 },
  });
  closing.push(() => plane.stop());
  return { plane, notices };
}

test('a phone registers over TCP, is called over its connection and by a new one, with audio both ways', async () => {
  const { plane } = await startGateway();
  const gateway = plane.addresses[0]!;
  const { port } = await freePorts(PROVIDER, 1);
  const there = await TcpWire.open((make) => make(), PROVIDER, port);
  // It names a port on which it does not listen, as phones do that know no more than their own connection.
  const here = await TcpWire.open((make) => make(), PHONE, (await freePorts(PHONE, 1)).port, false);
  closing.push(
    () => there.close(),
    () => here.close(),
  );
  const provider = await Provider.open(
    { address: PROVIDER, port, mediaAddress: '127.0.2.2', hertz: 1000 },
    boundSocket,
    there,
  );
  const alice = await Agent.open(
    {
      user: 'alice',
      domain: `${PROVIDER}:${port}`,
      address: PHONE,
      outbound: gateway,
      outboundAlways: true,
      hertz: 440,
      onCall: 'answer',
    },
    boundSocket,
    here,
  );
  closing.push(
    () => provider.close(),
    () => alice.close(),
  );
  await alice.register();
  assert.match(provider.contactOf('alice') ?? '', /^sip:alice@127\.0\.0\.1:\d+;transport=tcp$/);
  for (const isNew of [false, true]) {
    if (isNew) there.connections.clear();
    const seen = alice.calls.entries.length;
    const call = await provider.call('alice');
    const called = await alice.incoming(2000, seen);
    await call.reached('confirmed');
    await Promise.all([called.media.hear(1000, 3000), call.media.hear(440, 3000)]);
    await (isNew ? call : called).hangup();
    await (isNew ? called : call).reached('ended');
  }
  assert.deepEqual([...alice.violations, ...provider.agent.violations], []);
  assert.deepEqual([here.made, here.accepted], [1, 0]);
  const [connection] = here.connections.values();
  const closed = once(connection!, 'close');
  connection!.end();
  await closed;
});
