/**
 * What the gateway is compared with, each in a router of its own: plain NAT, the kernel's helper, a relay in C that changes
 * nothing, Kamailio with rtpengine, siproxd; and the gateway itself, on its kernel data plane and on ordinary sockets.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import type { Endpoint } from '../../src/core/net/address.ts';
import { Daemon } from './daemon.ts';
import { processTime } from './machine.ts';
import { BenchNetwork, EXTERNAL, PROVIDER, ROUTER } from './network.ts';

export const PEERS = [
  ...(['nat', 'helper', 'relay', 'siproxd', 'kamailio', 'sipalg', 'sipalg-listen'] as const),
  'sipalg-dgram',
] as const;
export type PeerName = (typeof PEERS)[number];

export const ABOUT: Readonly<Record<PeerName, string>> = {
  nat: 'masquerade alone; the provider answers to where a request came from',
  helper: "the kernel's own SIP helper (`nf_conntrack_sip`, `nf_nat_sip`), assigned by `ct helper`",
  relay:
    'a relay in C that changes nothing (`bench/gateway/peers/relay.c`): a socket for each phone, `recvmmsg`, `sendmmsg`',
  siproxd: 'siproxd as outbound proxy',
  kamailio: 'Kamailio as outbound proxy (`record_route`, `t_relay`), media by rtpengine in user space',
  sipalg: '`sipalg gateway`, as it is installed',
  'sipalg-listen':
    '`sipalg gateway` in explicit mode: the same engine on ordinary sockets, read and written in batches',
  'sipalg-dgram': 'the same on `node:dgram`, as where there is no Linux',
};

export interface Peer {
  readonly name: PeerName;
  readonly about: string;
  readonly network: BenchNetwork;
  /** Where phones send to. */
  readonly target: Endpoint;
  /** Whether it makes calls possible, and what the provider then sees in an offer. */
  readonly calls: boolean;
  readonly translates: boolean;
  /** The process that media crosses, where one does. */
  readonly mediaPid?: number;
  /** User and system time of its processes; 0 where it has none. */
  cpuS(): number;
  residentMb(): number;
  stop(): Promise<void>;
}

export interface PeerOptions {
  /** The program, where siproxd is to be measured. */
  readonly siproxd?: string | undefined;
}

/** Why a peer cannot be measured here, or undefined where it can. */
export function peerObstacle(name: PeerName, { siproxd }: PeerOptions): string | undefined {
  switch (name) {
    case 'relay':
      return compilerObstacle();
    case 'kamailio':
      for (const program of ['kamailio', 'rtpengine'])
        if (!hasProgram(program))
          return `the program "${program}" is missing (Debian: kamailio, rtpengine-daemon)`;
      return undefined;
    case 'siproxd':
      return siproxd === undefined ? 'no binary is named (--siproxd PATH; Debian 12 has none)' : undefined;
    default:
      return undefined;
  }
}

export async function startPeer(name: PeerName, phones: number, options: PeerOptions): Promise<Peer> {
  const network = new BenchNetwork(phones, name === 'helper' ? 'helper' : 'nat');
  try {
    return await start(name, network, options);
  } catch (error) {
    network.close();
    throw error;
  }
}

const IN_ROUTER: Endpoint = { address: ROUTER, port: 5060 };
const AT_PROVIDER: Endpoint = { address: PROVIDER, port: 5060 };

async function start(name: PeerName, network: BenchNetwork, options: PeerOptions): Promise<Peer> {
  const about = ABOUT[name];
  const processes = (pids: readonly number[]): Pick<Peer, 'cpuS' | 'residentMb'> => ({
    cpuS: () =>
      sum(
        pids.flatMap(withChildren).map((pid) => {
          const t = processTime(pid);
          return t === undefined ? 0 : t.userS + t.systemS;
        }),
      ),
    residentMb: () => sum(pids.flatMap(withChildren).map(residentMb)),
  });
  switch (name) {
    case 'nat':
    case 'helper':
      return {
        ...{ name, about, network, target: AT_PROVIDER, calls: true, translates: name === 'helper' },
        ...{ cpuS: () => 0, residentMb: () => 0 },
        stop: async () => network.close(),
      };
    case 'sipalg':
    case 'sipalg-listen':
    case 'sipalg-dgram': {
      const listen = name === 'sipalg' ? undefined : IN_ROUTER;
      // No load of a test may be mistaken for a flood.
      const daemon = await Daemon.start(network, 'info', {
        config:
          '[limits]\nmessages-per-second-per-phone = 1000000\nmessages-per-second-per-provider = 1000000\n',
        listen,
        portableSockets: name === 'sipalg-dgram',
      });
      return {
        ...{ name, about, network, target: listen ?? AT_PROVIDER, calls: true, translates: true },
        mediaPid: daemon.pid,
        cpuS: () => daemon.cpuS(),
        residentMb: () => daemon.memory().residentMb,
        stop: async () => {
          await daemon.stop();
          network.close();
        },
      };
    }
    case 'relay': {
      const program = compiled('relay');
      const relay = new Program(
        'relay',
        network.router.spawn(program, [ROUTER, EXTERNAL, PROVIDER, '20000'], {
          stdio: ['ignore', 'pipe', 'pipe'],
        }),
      );
      await relay.says(/ready/, 5_000);
      return {
        ...{ name, about, network, target: IN_ROUTER, calls: false, translates: false },
        ...processes([relay.pid!]),
        stop: async () => {
          await relay.stop('SIGKILL');
          network.close();
        },
      };
    }
    case 'kamailio': {
      const directory = newDirectory('kamailio');
      const file = join(directory, 'kamailio.cfg');
      writeFileSync(file, KAMAILIO);
      const pipes = { stdio: ['ignore', 'pipe', 'pipe'] as ('ignore' | 'pipe')[] };
      const rtpengine = new Program(
        'rtpengine',
        network.router.spawn('rtpengine', RTPENGINE_ARGUMENTS, pipes),
      );
      await listens(network, 22_222);
      const kamailio = new Program(
        'kamailio',
        network.router.spawn(
          'kamailio',
          ['-f', file, '-DD', '-E', '-m', '512', '-M', '16', '-Y', directory, '-w', directory],
          pipes,
        ),
      );
      await kamailio.says(/outbound proxy is up/, 8_000);
      return {
        ...{ name, about, network, target: IN_ROUTER, calls: true, translates: true },
        ...processes([kamailio.pid!, rtpengine.pid!]),
        mediaPid: rtpengine.pid!,
        stop: async () => {
          await kamailio.stop();
          await rtpengine.stop();
          network.close();
          rmSync(directory, { recursive: true, force: true });
        },
      };
    }
    case 'siproxd': {
      const directory = newDirectory('siproxd');
      const file = join(directory, 'siproxd.conf');
      writeFileSync(file, `${SIPROXD.join('\n')}\nregistration_file = ${directory}/registrations\n`);
      const siproxd = new Program(
        'siproxd',
        network.router.spawn(options.siproxd!, ['--config', file], { stdio: ['ignore', 'pipe', 'pipe'] }),
      );
      // It says nothing when it is ready.
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      if (!siproxd.running)
        throw new Error(`siproxd has ended: ${siproxd.lines.entries.slice(-5).join(' | ')}`);
      return {
        ...{ name, about, network, target: IN_ROUTER, calls: true, translates: true },
        ...processes([siproxd.pid!]),
        stop: async () => {
          await siproxd.stop('SIGKILL');
          network.close();
          rmSync(directory, { recursive: true, force: true });
        },
      };
    }
  }
}

/** Why nothing can be compiled here, or undefined. */
export function compilerObstacle(): string | undefined {
  return hasProgram('cc') ? undefined : 'there is no C compiler (Debian: apt-get install gcc libc6-dev)';
}

function hasProgram(name: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${name}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

const binaries = new Map<string, string>();

/** The program of `peers/NAME.c`. */
export function compiled(name: 'relay' | 'rtp'): string {
  const known = binaries.get(name);
  if (known !== undefined) return known;
  const directory = newDirectory(name);
  const binary = join(directory, name);
  const source = fileURLToPath(new URL(`peers/${name}.c`, import.meta.url));
  execFileSync('cc', ['-O2', '-o', binary, source], { stdio: ['ignore', 2, 2] });
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  binaries.set(name, binary);
  return binary;
}

/** Waits until a program in the router holds a UDP port. */
async function listens(network: BenchNetwork, port: number): Promise<void> {
  const entry = `:${port.toString(16).toUpperCase().padStart(4, '0')} `;
  for (const deadline = performance.now() + 8_000; ; ) {
    const sockets = network.router.enter(() => readFileSync('/proc/thread-self/net/udp', 'latin1'));
    if (sockets.includes(entry)) return;
    if (performance.now() > deadline) throw new Error(`nothing listens at UDP port ${port}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** A process and all that it has started, as far as they live. */
function withChildren(pid: number): number[] {
  const file = `/proc/${pid}/task/${pid}/children`;
  if (!existsSync(file)) return [pid];
  const children = readFileSync(file, 'latin1').trim().split(' ').filter(Boolean).map(Number);
  return [pid, ...children.flatMap(withChildren)];
}

function residentMb(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1] ?? 0) / 1024;
  } catch {
    return 0;
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

const MODULES = '/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/';
const RTPENGINE_CONTROL = '127.0.0.1:22222';
const RTPENGINE_ARGUMENTS = [
  ...['--foreground', '--log-stderr', '--log-level=5', '--table=-1', '--num-threads=2', '--config-file=none'],
  ...[`--interface=int/${ROUTER}`, `--interface=ext/${EXTERNAL}`, `--listen-ng=${RTPENGINE_CONTROL}`],
  ...['--port-min=16384', '--port-max=60000'],
];

/** An outbound proxy for phones behind NAT, as its documentation has it; nothing is looked up in a data base. */
const KAMAILIO = `#!KAMAILIO
debug=0
log_stderror=yes
children=2
auto_aliases=no
dns=no
rev_dns=no
mhomed=1
disable_tcp=yes
listen=udp:${ROUTER}:5060
listen=udp:${EXTERNAL}:5060
mpath="${MODULES}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "nathelper.so"
loadmodule "xlog.so"
loadmodule "rtpengine.so"
modparam("rtpengine", "rtpengine_sock", "udp:${RTPENGINE_CONTROL}")
modparam("rr", "enable_full_lr", 1)
request_route {
  if (!mf_process_maxfwd_header("70")) { sl_send_reply("483", "Too Many Hops"); exit; }
  force_rport();
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  if (has_totag()) loose_route();
  if (is_method("INVITE")) {
    if (has_body("application/sdp")) rtpengine_offer("replace-origin replace-session-connection direction=int direction=ext");
    t_on_reply("ANSWER");
  }
  if (is_method("BYE")) rtpengine_delete();
  if (!t_relay()) sl_reply_error();
}
onreply_route[ANSWER] {
  if (has_body("application/sdp")) rtpengine_answer("replace-origin replace-session-connection direction=ext direction=int");
}
event_route[core:worker-one-init] { xlog("L_ALERT", "outbound proxy is up\\n"); }
`;

const SIPROXD = [
  'if_inbound = lan',
  'if_outbound = eth0',
  'sip_listen_port = 5060',
  'daemonize = 0',
  'silence_log = 4',
  'rtp_proxy_enable = 1',
  'rtp_port_low = 16384',
  'rtp_port_high = 60000',
  'rtp_timeout = 300',
];
