/**
 * Kamailio in a router of the lab, as the proxy that some routers are: SIP to port 5060 of anybody is turned to it, and it sends it
 * on. With rtpengine beside it (in user space, as the kernel module is not to be had everywhere) it is a session border
 * controller: media goes through the box, and the descriptions name it.
 */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Namespace } from '../../demo/namespace.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import { BOX_INSIDE, BOX_OUTSIDE, type BoxLab, CARRIER_INSIDE } from './lab.ts';

/** Why there is no Kamailio here, or false: what a test takes for `skip`. */
export const kamailioObstacle =
  spawnSync('kamailio', ['-v']).status === 0 ? false : 'kamailio is missing: apt-get install kamailio';
export const rtpengineObstacle =
  spawnSync('rtpengine', ['--version']).status === 0
    ? false
    : 'rtpengine is missing: apt-get install rtpengine-daemon';

const MODULES = '/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/';
const RTPENGINE_PORT = 2223;
/** Of the media that rtpengine relays. */
const MEDIA_PORTS = [30_000, 30_200] as const;
const READY_MS = 8_000;

export interface KamailioOptions {
  /** The media goes through rtpengine. */
  readonly media?: boolean;
  /** In which router. Default: the box. */
  readonly at?: 'box' | 'carrier';
}

export class KamailioBox {
  readonly #programs: Program[] = [];
  readonly #directory = newDirectory('kamailio');

  static async start(lab: BoxLab, { media = false, at = 'box' }: KamailioOptions = {}): Promise<KamailioBox> {
    const space = at === 'carrier' && lab.carrier !== undefined ? lab.carrier : lab.box;
    const inside = space === lab.box ? BOX_INSIDE : CARRIER_INSIDE;
    const box = new KamailioBox();
    try {
      if (media) await box.#startRtpengine(space, inside);
      await box.#startKamailio(space, inside, media);
      return box;
    } catch (error) {
      await box.close();
      throw error;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async close(): Promise<void> {
    await Promise.all(this.#programs.map((program) => program.stop()));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  async #startKamailio(space: Namespace, inside: string, media: boolean): Promise<void> {
    const file = join(this.#directory, 'kamailio.cfg');
    writeFileSync(file, configuration(inside, media));
    space.run(
      'nft',
      ['-f', '-'],
      [
        'table ip turn {',
        '  chain prerouting {',
        '    type nat hook prerouting priority dstnat - 1;',
        '    iifname "lan" udp dport 5060 redirect to :5060',
        '  }',
        '}',
        '',
      ].join('\n'),
    );
    // Its own firewall lets in what the relay has asked for.
    if (media)
      space.run('nft', [
        ...['insert', 'rule', 'inet', 'firewall', 'input'],
        ...['udp', 'dport', `${MEDIA_PORTS[0]}-${MEDIA_PORTS[1]}`, 'accept'],
      ]);
    const directory = this.#directory;
    const program = this.#add(
      'kamailio',
      space,
      ...['-f', file, '-DD', '-E', '-n', '1', '-m', '32', '-M', '4', '-Y', directory, '-w', directory],
    );
    await program.says(/proxy is up/, READY_MS);
  }

  async #startRtpengine(space: Namespace, inside: string): Promise<void> {
    const program = this.#add(
      'rtpengine',
      space,
      ...[
        '--foreground',
        '--log-stderr',
        '--log-level=6',
        '--table=-1',
        '--num-threads=1',
        '--delete-delay=0',
      ],
      ...[`--interface=inside/${inside}`, `--interface=outside/${BOX_OUTSIDE}`],
      ...[`--listen-ng=127.0.0.1:${RTPENGINE_PORT}`, `--pidfile=${join(this.#directory, 'rtpengine.pid')}`],
      ...[`--port-min=${MEDIA_PORTS[0]}`, `--port-max=${MEDIA_PORTS[1]}`],
    );
    await program.says(/Startup complete/, READY_MS);
  }

  #add(name: string, space: Namespace, ...args: readonly string[]): Program {
    const program = new Program(name, space.spawn(name, args, { stdio: ['ignore', 'pipe', 'pipe'] }));
    this.#programs.push(program);
    return program;
  }
}

function configuration(inside: string, media: boolean): string {
  const relayed = (direction: string): string =>
    media ? `rtpengine_manage("replace-origin replace-session-connection ${direction}");` : '';
  return `#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
mhomed=1
listen=udp:${inside}:5060
listen=udp:${BOX_OUTSIDE}:5060
mpath="${MODULES}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "sdpops.so"
loadmodule "xlog.so"
${media ? `loadmodule "rtpengine.so"\nmodparam("rtpengine", "rtpengine_sock", "udp:127.0.0.1:${RTPENGINE_PORT}")` : ''}
modparam("rr", "enable_double_rr", 0)
request_route {
  if (!mf_process_maxfwd_header("10")) exit;
  force_rport();
  loose_route();
  if (is_method("INVITE|SUBSCRIBE|REFER")) record_route();
  ${
    media
      ? `if (is_method("INVITE|UPDATE|PRACK|ACK|BYE|CANCEL")) {
    if ($Ri == "${inside}") { ${relayed('direction=inside direction=outside')} }
    else { ${relayed('direction=outside direction=inside')} }
    t_on_reply("1");
  }`
      : ''
  }
  if (is_method("ACK|CANCEL")) { forward(); exit; }
  t_relay();
  exit;
}
${media ? `onreply_route[1] { if (has_body("application/sdp")) { ${relayed('')} } }` : ''}
event_route[core:worker-one-init] {
  xlog("L_ALERT", "proxy is up\\n");
}
`;
}
