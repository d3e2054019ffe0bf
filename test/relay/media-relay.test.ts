/** The user-space relay on real sockets of both makes: both ways, in pairs, for nobody else, and shut at once. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { MappingId, MediaMapping } from '../../src/core/alg/io.ts';
import { type Endpoint, endpoint } from '../../src/core/net/address.ts';
import { MediaRelay, type MediaRelayOptions } from '../../src/gateway/explicit/media-relay.ts';
import { Tally } from '../../src/gateway/explicit/tally.ts';
import { bestSockets, portableSockets, type Sockets } from '../../src/gateway/explicit/udp-socket.ts';
import { freePorts, openPeer, type Peer } from './peer.ts';

const PHONE = '127.0.1.1';
const INNER = '127.0.0.10';
const EXTERNAL = '127.0.0.20';
const PROVIDER = '127.0.2.1';

const makes: readonly (readonly [string, Sockets])[] = [
  ['node:dgram', portableSockets],
  ['batches', await bestSockets()],
];

let sockets: Sockets;
let relay: MediaRelay;
let peers: Peer[];
let answers: Map<MappingId, (outcome: string) => void>;
let notice: (code: string) => void;

function start(options?: MediaRelayOptions): void {
  const answer = (id: MappingId, outcome: string): void => answers.get(id)?.(outcome);
  relay = new MediaRelay(
    { opened: (id) => answer(id, 'opened'), failed: (id, reason) => answer(id, reason) },
    new Tally((code) => notice(code)),
    { sockets, ...options },
  );
}

async function peer(address: string, port?: number): Promise<Peer> {
  const one = await openPeer(address, port);
  peers.push(one);
  return one;
}

function open(mapping: MediaMapping): Promise<string> {
  const answer = new Promise<string>((resolve) => answers.set(mapping.id, resolve));
  relay.command({ action: 'open', ...mapping });
  return answer;
}

const after = (first: Endpoint, offset: number): Endpoint => endpoint(first.address, first.port + offset);
const rtp = (text: string): Uint8Array => Buffer.from(`\x80\0${text.padEnd(10)}`, 'latin1');

async function call(
  id: MappingId,
  phone: Peer,
  provider: Peer,
  ports = 1,
): Promise<MediaMapping & { inner: Endpoint }> {
  const mapping = {
    id,
    internal: phone.at,
    external: await freePorts(EXTERNAL, ports),
    inner: await freePorts(INNER, ports),
    ports,
    sources: [provider.at],
  };
  assert.equal(await open(mapping), 'opened');
  return mapping;
}

for (const [make, own] of makes)
  describe(make, () => {
    beforeEach(() => {
      peers = [];
      answers = new Map();
      notice = () => {};
      sockets = own;
      start();
    });

    afterEach(async () => {
      await relay.stop();
      await Promise.all(peers.map((peer) => peer.close()));
    });

    describe('a call through the relay', () => {
      test('carries media both ways, each side seeing the endpoint that it was told', async () => {
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const { inner, external } = await call(1, phone, provider);
        phone.send(rtp('out'), inner);
        const out = await provider.receive();
        assert.deepEqual(Buffer.from(out.bytes), rtp('out'));
        assert.deepEqual(out.from, external);
        provider.send(rtp('in'), external);
        const back = await phone.receive();
        assert.deepEqual(Buffer.from(back.bytes), rtp('in'));
        assert.deepEqual(back.from, inner);
        const [stream] = relay.snapshot()[0]?.streams ?? [];
        assert.equal(stream?.internal.packets, 1);
        assert.equal(stream?.external.bytes, 12);
      });

      test('says of a call when its media begins and when it stops, once each', async () => {
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const { inner, external } = await call(1, phone, provider);
        assert.deepEqual([...relay.look()], [[1, 'idle']]);
        assert.deepEqual([...relay.look()], []);
        provider.send(rtp('in'), external);
        await phone.receive();
        assert.deepEqual([...relay.look()], [[1, 'flowing']]);
        phone.send(rtp('out'), inner);
        await provider.receive();
        assert.deepEqual([...relay.look()], []);
        assert.deepEqual([...relay.look()], [[1, 'idle']]);
      });

      test('carries RTCP on the port after RTP', async () => {
        const phone = await peer(PHONE, (await freePorts(PHONE, 2)).port);
        const phoneRtcp = await peer(PHONE, phone.at.port + 1);
        const provider = await peer(PROVIDER, (await freePorts(PROVIDER, 2)).port);
        const providerRtcp = await peer(PROVIDER, provider.at.port + 1);
        const { inner, external } = await call(1, phone, provider, 2);
        phoneRtcp.send('report', after(inner, 1));
        const out = await providerRtcp.receive();
        assert.deepEqual([out.text, out.from], ['report', after(external, 1)]);
        providerRtcp.send('answer', after(external, 1));
        const back = await phoneRtcp.receive();
        assert.deepEqual([back.text, back.from], ['answer', after(inner, 1)]);
      });

      test('does not hear a stranger, and says in its counters that it did not', async () => {
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const stranger = await peer('127.0.3.1');
        const { inner, external } = await call(1, phone, provider);
        stranger.send(rtp('injected'), external);
        stranger.send(rtp('injected'), inner);
        provider.send(rtp('true'), external);
        assert.deepEqual(Buffer.from((await phone.receive()).bytes), rtp('true'));
        phone.send(rtp('true'), inner);
        assert.deepEqual(Buffer.from((await provider.receive()).bytes), rtp('true'));
        const stream = relay.snapshot()[0]?.streams[0];
        assert.equal(stream?.external.drops['source-not-advertised'], 1);
        assert.equal(stream?.internal.drops['source-not-advertised'], 1);
      });

      test('follows the answer of a later offer', async () => {
        const phone = await peer(PHONE);
        const first = await peer(PROVIDER);
        const second = await peer('127.0.2.2');
        const mapping = await call(1, phone, first);
        first.send(rtp('ringing'), mapping.external);
        await phone.receive();
        relay.command({ action: 'update', ...mapping, sources: [second.at] });
        phone.send(rtp('hello'), mapping.inner);
        assert.deepEqual((await second.receive()).from, mapping.external);
        first.send(rtp('late'), mapping.external);
        second.send(rtp('now'), mapping.external);
        assert.deepEqual(Buffer.from((await phone.receive()).bytes), rtp('now'));
      });

      test('what goes back follows a latch that moves, also in the middle of a stream', async () => {
        const phone = await peer(PHONE);
        const otherPort = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const { inner, external } = await call(1, phone, provider);
        for (const n of [1, 2, 3]) {
          await otherPort.send(rtp(`out ${n}`), inner);
          assert.equal(Buffer.from((await provider.receive()).bytes).toString('latin1', 2, 7), `out ${n}`);
          await provider.send(rtp(`in ${n}`), external);
          assert.equal(Buffer.from((await otherPort.receive()).bytes).toString('latin1', 2, 6), `in ${n}`);
        }
        await phone.send(rtp('out 4'), inner);
        await provider.receive();
        for (const n of [4, 5]) {
          await provider.send(rtp(`in ${n}`), external);
          assert.equal(Buffer.from((await phone.receive()).bytes).toString('latin1', 2, 6), `in ${n}`);
        }
        // The port that has lost the latch does not win it back, and nothing of it goes out.
        await otherPort.send(rtp('late'), inner);
        await phone.send(rtp('out 5'), inner);
        assert.equal(Buffer.from((await provider.receive()).bytes).toString('latin1', 2, 7), 'out 5');
        const [stream] = relay.snapshot()[0]?.streams ?? [];
        assert.equal(stream?.internal.packets, 5);
        assert.equal(stream?.internal.bytes, 60);
        assert.equal(stream?.internal.drops['latched-elsewhere'], 1);
        assert.equal(stream?.external.packets, 5);
        assert.ok(Date.now() - (stream?.external.lastMs ?? 0) < 5_000);
      });

      test('waits for a phone that names its port later', async () => {
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const mapping = {
          id: 1,
          internal: undefined,
          external: await freePorts(EXTERNAL, 1),
          inner: await freePorts(INNER, 1),
          ports: 1,
          sources: [provider.at],
        };
        assert.equal(await open(mapping), 'opened');
        relay.command({ action: 'update', ...mapping, internal: phone.at });
        provider.send(rtp('early'), mapping.external);
        assert.deepEqual((await phone.receive()).from, mapping.inner);
      });
    });

    describe('two phones behind the gateway', () => {
      test('each hear the inner endpoint that they were told, and nothing leaves the machine', async () => {
        const a = await peer('127.0.1.1');
        const b = await peer('127.0.1.2');
        const toA = await call(1, a, b);
        const toB = await call(2, b, a);
        a.send(rtp('from a'), toA.inner);
        const atB = await b.receive();
        assert.deepEqual([Buffer.from(atB.bytes), atB.from], [rtp('from a'), toB.inner]);
        b.send(rtp('from b'), toB.inner);
        const atA = await a.receive();
        assert.deepEqual([Buffer.from(atA.bytes), atA.from], [rtp('from b'), toA.inner]);
      });

      test('who know each other by their external endpoints hear each other too', async () => {
        const a = await peer('127.0.1.1');
        const b = await peer('127.0.1.2');
        const toA = await call(1, a, b);
        const toB = await call(2, b, a);
        relay.command({ action: 'update', ...toA, sources: [toB.external] });
        relay.command({ action: 'update', ...toB, sources: [toA.external] });
        a.send(rtp('from a'), toA.inner);
        assert.deepEqual((await b.receive()).from, toB.inner);
        b.send(rtp('from b'), toB.inner);
        assert.deepEqual((await a.receive()).from, toA.inner);
      });

      test('hear each other also where the advertised address is none of ours', async () => {
        start({ bindAt: (advertised) => endpoint(EXTERNAL, advertised.port) });
        const a = await peer('127.0.1.1');
        const b = await peer('127.0.1.2');
        const [first, second] = [await freePorts(EXTERNAL, 1), await freePorts(EXTERNAL, 1)];
        const toA = endpoint('203.0.113.7', first.port);
        const toB = endpoint('203.0.113.7', second.port);
        const inner = await freePorts(INNER, 1);
        assert.equal(
          await open({ id: 1, internal: a.at, external: toA, inner, ports: 1, sources: [toB] }),
          'opened',
        );
        const other = await freePorts(INNER, 1);
        assert.equal(
          await open({ id: 2, internal: b.at, external: toB, inner: other, ports: 1, sources: [toA] }),
          'opened',
        );
        a.send(rtp('from a'), inner);
        assert.deepEqual((await b.receive()).from, other);
      });

      test('an SDP that names the relay itself makes no loop', async () => {
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const mapping = await call(1, phone, provider);
        for (const own of [mapping.external, mapping.inner]) {
          relay.command({ action: 'update', ...mapping, sources: [own, provider.at] });
          const told = new Promise((resolve) => {
            notice = resolve;
          });
          phone.send(rtp('round'), mapping.inner);
          assert.equal(await told, 'media.loop');
          // A notice is told once a minute, so each case begins anew.
          await relay.stop();
          start();
          assert.equal(await open(mapping), 'opened');
        }
        provider.send(rtp('true'), mapping.external);
        assert.deepEqual(Buffer.from((await phone.receive()).bytes), rtp('true'));
      });
    });

    describe('opening and closing', () => {
      test('a port that is taken fails the whole mapping and leaves nothing bound', async () => {
        const phone = await peer(PHONE);
        const external = await freePorts(EXTERNAL, 2);
        const inner = await freePorts(INNER, 2);
        const squatter = await peer(EXTERNAL, external.port + 1);
        const mapping = { id: 1, internal: phone.at, external, inner, ports: 2, sources: [] };
        assert.match(await open(mapping), /EADDRINUSE/);
        assert.deepEqual(relay.snapshot(), []);
        await relay.stop();
        await squatter.close();
        peers.splice(peers.indexOf(squatter), 1);
        assert.equal(await open({ ...mapping, id: 2 }), 'opened');
      });

      test('closed means that nothing passes, also from who is latched', async () => {
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        const mapping = await call(1, phone, provider);
        provider.send(rtp('before'), mapping.external);
        await phone.receive();
        relay.command({ action: 'close', id: 1 });
        await provider.send(rtp('after'), mapping.external);
        // The same ports serve the next call, whose first packet is the next that the phone hears.
        await relay.stop();
        assert.equal(await open({ ...mapping, id: 2 }), 'opened');
        provider.send(rtp('next'), mapping.external);
        assert.deepEqual(Buffer.from((await phone.receive()).bytes), rtp('next'));
      });

      test('closed while it opens is answered, once, as failed', async () => {
        const phone = await peer(PHONE);
        const mapping = {
          id: 1,
          internal: phone.at,
          external: await freePorts(EXTERNAL, 1),
          inner: await freePorts(INNER, 1),
          ports: 1,
          sources: [],
        };
        const answer = open(mapping);
        relay.command({ action: 'close', id: 1 });
        assert.match(await answer, /closed/);
        await relay.stop();
        assert.equal(await open({ ...mapping, id: 2 }), 'opened');
      });

      test('is bounded', async () => {
        start({ maxMappings: 1, maxPorts: 2 });
        const phone = await peer(PHONE);
        const provider = await peer(PROVIDER);
        await call(1, phone, provider);
        const spare = { internal: phone.at, external: phone.at, inner: phone.at, sources: [] };
        assert.match(await open({ ...spare, id: 2, ports: 1 }), /1 media mappings are open/);
        relay.command({ action: 'close', id: 1 });
        assert.match(await open({ ...spare, id: 3, ports: 3 }), /3 ports/);
        assert.match(await open({ ...spare, id: 4, ports: 1, inner: undefined }), /inner/);
      });
    });
  });
