/** What a capture, the ladder, metrics and a collector show of a real call, held against what tcpdump sees beside it. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { SIPALG } from '../../demo/gateway.ts';
import { Program } from '../../demo/program.ts';
import { readCapture } from '../../src/observe/capture/reader.ts';
import { eventually, type Lab, labFile, scenario, talk } from './lab.ts';

const run = promisify(execFile);
const METRICS = 'http://127.0.0.1:9160/metrics';
const COLLECTOR = 9060;
const CONFIG = `
[metrics]
listen = "127.0.0.1:9160"
[hep]
to = "udp:127.0.0.1:${COLLECTOR}"
reveal = true
`;
/** Prints the payload of each packet that it gets, in base64. */
const TAKE = `require('node:dgram').createSocket('udp4').on('message', (m) => console.log(m.toString('base64'))).bind(${COLLECTOR}, '127.0.0.1', () => console.log('ready'))`;
const READ = `fetch('${METRICS}').then((r) => r.text()).then((t) => process.stdout.write(t))`;

/** tcpdump on both sides of the router, from when it says that it listens. */
async function dumps(lab: Lab, folder: string): Promise<Program[]> {
  return Promise.all(
    ['br0', 'eth0'].map(async (name) => {
      const args = ['-i', name, '-U', '-w', join(folder, `${name}.pcap`), 'udp', 'port', '5060'];
      const program = new Program(
        'tcpdump',
        lab.network.spawn('router', 'tcpdump', args, { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      lab.defer(() => program.stop());
      await program.says(/listening on/, 5_000);
      return program;
    }),
  );
}

interface Seen {
  readonly bytes: Uint8Array;
  readonly source: { readonly address: string; readonly port: number };
  readonly destination: { readonly address: string; readonly port: number };
}

function rows(list: readonly Seen[]): string[] {
  return list
    .map(
      ({ source, destination, bytes }) =>
        `${source.address}:${source.port} ${destination.address}:${destination.port} ${Buffer.from(bytes).toString('latin1')}`,
    )
    .sort();
}

labFile('observe', ['conntrack', 'tcpdump'], () => {
  scenario(
    'a capture has the octets that were on both wires; metrics and a collector have the same call',
    { only: 'gateway', gateway: { config: CONFIG } },
    async (lab) => {
      const folder = mkdtempSync(join(tmpdir(), 'sipalg-wires-'));
      lab.defer(() => rmSync(folder, { recursive: true }));
      const collector = new Program(
        'collector',
        lab.network.spawn('router', process.execPath, ['-e', TAKE], { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      lab.defer(() => collector.stop());
      await collector.says(/ready/, 5_000);
      const listening = await dumps(lab, folder);

      const provider = await lab.provider();
      const alice = await lab.phone();
      await alice.register();
      const outside = await provider.call('alice');
      const inside = await alice.incoming();
      inside.answer();
      await outside.reached('confirmed');
      await talk(inside, outside);
      const metrics = lab.network.run('router', process.execPath, '-e', READ);
      await outside.hangup();
      await inside.reached('ended');

      const sipalg = async (...args: readonly string[]): Promise<Buffer> =>
        (
          await run(SIPALG, [...args, '--state-dir', lab.gateway!.stateDir], {
            encoding: 'buffer',
            maxBuffer: 16 * 1024 * 1024,
          })
        ).stdout;
      const captured = readCapture(await sipalg('capture', '-', '--past', '--reveal')).datagrams;
      await eventually(
        () => {
          const wires = ['br0', 'eth0'].flatMap(
            (name) => readCapture(readFileSync(join(folder, `${name}.pcap`))).datagrams,
          );
          return wires.length >= captured.length;
        },
        5_000,
        'tcpdump has all',
      );
      await Promise.all(listening.map((one) => one.stop()));
      const wires = ['br0', 'eth0'].flatMap(
        (name) => readCapture(readFileSync(join(folder, `${name}.pcap`))).datagrams,
      );
      assert.ok(captured.length >= 14, String(captured.length));
      assert.deepEqual(rows(captured), rows(wires));

      const invite = (await sipalg('trace', '--past')).toString();
      assert.match(invite, /◀─ INVITE ─+ 198\.51\.100\.5:5060/);
      assert.match(invite, /sdp\.media-port +\d+ → \d+ +RFC 8866 §5\.14/);

      const value = (name: string): number =>
        Number(new RegExp(`^${name.replaceAll(/[{}]/g, '\\$&')} (\\S+)$`, 'm').exec(metrics)?.[1]);
      assert.equal(value('sipalg_active'), 1);
      assert.equal(value('sipalg_registrations'), 1);
      assert.equal(value('sipalg_calls{state="confirmed"}'), 1);
      assert.ok(value('sipalg_media_packets_total{direction="from-phone"}') > 10, metrics);
      assert.ok(value('sipalg_media_packets_total{direction="to-phone"}') > 10);
      assert.ok(value('sipalg_heartbeats_total{to="kernel"}') >= 1);
      assert.equal(value('sipalg_rewrites_aborted_total'), 0);

      const taken = (): string[] => collector.lines.entries.filter((line) => /^SEVQM/.test(line));
      await eventually(() => taken().length >= captured.length, 5_000, 'the collector has all');
      const payloads = taken().map((line) => Buffer.from(line, 'base64').toString('latin1'));
      for (const { bytes } of captured)
        assert.ok(payloads.some((payload) => payload.includes(Buffer.from(bytes).toString('latin1'))));
    },
  );
});
