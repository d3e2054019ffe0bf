/** What a collector gets; sngrep, which takes HEP3 as Homer does, is the judge of the format. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import { textOf } from '../../src/core/sip/octets.ts';
import { readCapture } from '../../src/observe/capture/reader.ts';
import { encodeHep } from '../../src/observe/hep.ts';
import { HepExport, type HepOptions } from '../../src/observe/hep-export.ts';
import { maskMessage } from '../../src/observe/masking.ts';
import { request, respond } from '../engine/bench.ts';
import { Recorded } from './recorded.ts';

const missing = 'sngrep is missing: nothing judges the export to collectors (Debian: apt-get install sngrep)';
const isHere = spawnSync('sngrep', ['-V']).status === 0;
if (!isHere) process.stderr.write(`\n*** ${missing} ***\n\n`);
const skip = !isHere && missing;

const agent = { captureId: 77, password: undefined, reveal: false, notice: () => {} };

function traffic(bench: Recorded): void {
  bench.now = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
  const [sent] = bench.phone(request('REGISTER', { callId: 'both-sides' }));
  bench.provider(respond(200, sent!.text, { to: 'r' }), '203.0.113.1:5060');
}

/** Chunks of a packet by their type. */
function chunks(packet: Buffer): Map<number, Buffer> {
  assert.equal(packet.subarray(0, 4).toString(), 'HEP3');
  assert.equal(packet.readUInt16BE(4), packet.length);
  const found = new Map<number, Buffer>();
  for (let at = 6; at < packet.length; ) {
    const length = packet.readUInt16BE(at + 4);
    assert.equal(packet.readUInt16BE(at), 0);
    found.set(packet.readUInt16BE(at + 2), packet.subarray(at + 6, at + length));
    at += length;
  }
  return found;
}

async function udpCollector(): Promise<{
  port: number;
  packets: Buffer[];
  until(n: number): Promise<void>;
  close(): void;
}> {
  const socket = createSocket('udp4');
  const packets: Buffer[] = [];
  socket.on('message', (packet) => packets.push(packet));
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return {
    port: socket.address().port,
    packets,
    async until(n) {
      while (packets.length < n) await once(socket, 'message');
    },
    close: () => socket.close(),
  };
}

function exporter(
  bench: Recorded,
  transport: 'udp' | 'tcp',
  port: number,
  more: Partial<HepOptions> = {},
): HepExport {
  return new HepExport(bench.recorder, { ...agent, target: { transport, host: '127.0.0.1', port }, ...more });
}

test('over UDP: what came and what left, with addresses, times, and one correlation', async () => {
  const bench = new Recorded();
  const collector = await udpCollector();
  const hep = exporter(bench, 'udp', collector.port);
  traffic(bench);
  await collector.until(4);
  const seen = collector.packets.map(chunks);
  assert.deepEqual(
    seen.map((one) => [
      [...one.get(3)!].join('.'),
      [...one.get(4)!].join('.'),
      one.get(15)!.toString().split('\r\n')[0],
    ]),
    [
      ['192.168.1.50', '198.51.100.5', 'REGISTER sip:xxx@example.net SIP/2.0'],
      ['203.0.113.1', '198.51.100.5', 'REGISTER sip:xxx@example.net SIP/2.0'],
      ['198.51.100.5', '203.0.113.1', 'SIP/2.0 200 OK'],
      ['198.51.100.5', '192.168.1.50', 'SIP/2.0 200 OK'],
    ],
  );
  for (const one of seen) {
    assert.equal(one.get(17)!.toString(), 'both-sides');
    assert.equal(one.get(12)!.readUInt32BE(), 77);
    assert.equal(one.get(9)!.readUInt32BE() * 1_000 + one.get(10)!.readUInt32BE() / 1_000, bench.now);
  }
  assert.deepEqual(hep.counts, { sent: 4, dropped: 0 });
  hep.close();
  collector.close();
});

test('over TCP packets follow one another; a collector that comes late gets what comes then', async () => {
  const bench = new Recorded();
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const hep = exporter(bench, 'tcp', (server.address() as AddressInfo).port, {
    password: 'key',
    reveal: true,
  });
  const [socket] = (await once(server, 'connection')) as [Socket];
  traffic(bench);
  let bytes = Buffer.alloc(0);
  const found: Map<number, Buffer>[] = [];
  for await (const chunk of socket as AsyncIterable<Buffer>) {
    bytes = Buffer.concat([bytes, chunk]);
    while (bytes.length >= 6 && bytes.length >= bytes.readUInt16BE(4)) {
      found.push(chunks(bytes.subarray(0, bytes.readUInt16BE(4))));
      bytes = bytes.subarray(bytes.readUInt16BE(4));
    }
    if (found.length >= 4) break;
  }
  assert.equal(found.length, 4);
  assert.equal(found[0]!.get(14)!.toString(), 'key');
  assert.equal(found[0]!.get(15)!.toString(), request('REGISTER', { callId: 'both-sides' }));
  hep.close();
  server.close();
});

/** Until it holds; what is awaited comes by the network, and nothing else tells of it. */
async function until(holds: () => boolean, what: () => string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!holds()) {
    assert.ok(performance.now() < deadline, what());
    await wait(10);
  }
}

test('nobody takes it over UDP: messages go on, losses are counted, and it is told once', async () => {
  const bench = new Recorded();
  const { port, close } = await udpCollector();
  close();
  const told: string[] = [];
  const hep = exporter(bench, 'udp', port, { notice: (code) => told.push(code) });
  for (let i = 0; i < 20; i++) bench.phone(request('OPTIONS', { cseq: i + 1 }));
  assert.equal(bench.sent.length, 20);
  await until(
    () => hep.counts.sent + hep.counts.dropped === 40 && hep.counts.dropped > 0,
    () => JSON.stringify(hep.counts),
  );
  assert.deepEqual(told, ['hep.unreachable']);
  hep.close();
});

test('nobody takes it over TCP: what is remembered comes later, what is not is counted', async () => {
  const bench = new Recorded({}, { messages: 5, octets: 1_000_000 });
  const { port, close } = await udpCollector();
  close();
  const told: string[] = [];
  const hep = exporter(bench, 'tcp', port, { retryMs: 50, notice: (code) => told.push(code) });
  await until(
    () => told.length > 0,
    () => 'nothing was told',
  );
  for (let i = 0; i < 20; i++) bench.phone(request('OPTIONS', { cseq: i + 1 }));
  assert.equal(bench.sent.length, 20);
  const server = createServer();
  server.listen(port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  let octets = 0;
  socket.on('data', (chunk: Buffer) => {
    octets += chunk.length;
  });
  await until(
    () => hep.counts.sent + hep.counts.dropped === 25 && octets > 0,
    () => JSON.stringify(hep.counts),
  );
  // Five that are remembered, both sides of each.
  assert.deepEqual(hep.counts, { sent: 10, dropped: 15 });
  hep.close();
  socket.destroy();
  server.close();
});

test('what the format cannot say is not sent; IPv6 has its own chunks', () => {
  const message = {
    transport: 'udp',
    source: { address: '2001:db8::1', port: 5060 },
    destination: { address: '2001:db8::2', port: 5060 },
    atMs: 1.5,
    correlation: undefined,
    bytes: new Uint8Array(10),
  } as const;
  const packet = chunks(Buffer.from(encodeHep(message, agent)!));
  assert.equal(packet.get(5)!.toString('hex'), '20010db8000000000000000000000001');
  assert.equal(packet.get(1)![0], 10);
  assert.equal(packet.get(10)!.readUInt32BE(), 1500);
  assert.equal(encodeHep({ ...message, bytes: new Uint8Array(65_500) }, agent), undefined);
});

test('sngrep takes it for what it is: both sides, octet by octet', { skip }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sipalg-hep-'));
  const collector = await udpCollector();
  const { port } = collector;
  collector.close();
  const file = join(folder, 'out.pcap');
  const child = spawn('sngrep', ['-F', '-N', '-q', '-L', `udp:127.0.0.1:${port}`, '-O', file], {
    stdio: 'ignore',
  });
  try {
    const bench = new Recorded();
    const hep = exporter(bench, 'udp', port);
    // It is there once it takes the first one; before, the port answers that nobody listens.
    const deadline = performance.now() + 10_000;
    for (let i = 0; (statSize(file) ?? 0) <= 24; i++) {
      assert.ok(performance.now() < deadline, 'sngrep writes nothing');
      bench.phone(request('OPTIONS', { callId: 'knock', cseq: i + 1 }));
      await wait(100);
    }
    traffic(bench);
    const wanted = bench.recorder
      .exchanges({ callId: 'both-sides' })
      .flatMap(({ received, sent }) => [received!, ...sent.map(({ bytes }) => bytes)])
      .map((bytes) => textOf(maskMessage(bytes), 0, bytes.length));
    let found: string[] = [];
    while (found.length < wanted.length) {
      assert.ok(performance.now() < deadline + 5_000, found.join('\n\n'));
      await wait(100);
      found = readCapture(readFileSync(file))
        .datagrams.map(({ bytes }) => textOf(bytes, 0, bytes.length))
        .filter((text) => text.includes('both-sides'));
    }
    assert.deepEqual(found, wanted);
    hep.close();
  } finally {
    child.kill();
    await once(child, 'exit');
    rmSync(folder, { recursive: true, force: true });
  }
});

function statSize(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}
