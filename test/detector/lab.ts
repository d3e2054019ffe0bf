/**
 * Phone – box – reflector, in three network namespaces: the box is whatever stands between a phone and the Internet.
 *
 *   client 192.168.77.10, .11 ── lan 192.168.77.1 [box] wan 203.0.113.1 ── server 203.0.113.10, .11
 *          fd77::10                  fd77::1            2001:db8:77::1            2001:db8:77::10
 *
 * With a carrier there is a second router between box and server, with a NAT of its own: the box is 100.64.0.2 there, and the
 * carrier 203.0.113.1. IPv6 ends at the box then.
 *
 * The programs are started as a user starts them: `sipalg reflector` in one namespace, `sipalg check` in another. What the
 * box does is an option: plain NAT, the kernel's SIP helper, nothing at all, or a program of the test's in its namespace.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Namespace, removeStaleNamespaces } from '../../demo/namespace.ts';
import { newDirectory } from '../../demo/run.ts';

export const CLIENT = '192.168.77.10';
export const SECOND_CLIENT = '192.168.77.11';
export const BOX_INSIDE = '192.168.77.1';
export const BOX_OUTSIDE = '203.0.113.1';
export const SERVER = '203.0.113.10';
export const SECOND_SERVER = '203.0.113.11';
/** Of the box, where there is a carrier behind it (RFC 6598). */
export const BOX_SHARED = '100.64.0.2';
export const CARRIER_INSIDE = '100.64.0.1';

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
const READY_MS = 20_000;
const CARRIER_MS = 5_000;
const pause = new Int32Array(new SharedArrayBuffer(4));

export interface BoxOptions {
  /** Statement of the box's postrouting chain; `none` routes and translates nothing. Default: masquerade. */
  readonly nat?: 'masquerade' | 'masquerade fully-random' | 'none';
  /** The kernel's own SIP helper on UDP port 5060. */
  readonly helper?: boolean;
  /** Lifetime of the box's UDP flows in seconds: one-way and two-way. Default: the kernel's. */
  readonly udpTimeouts?: readonly [oneWay: number, twoWay: number];
  /** More rules, as nft reads them. */
  readonly rules?: string;
  /** A router of the line's operator between box and server, and what it does. */
  readonly carrier?: Omit<BoxOptions, 'carrier'>;
}

export interface CheckRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export class BoxLab {
  readonly client = new Namespace('client');
  readonly box = new Namespace('box');
  readonly server = new Namespace('server');
  readonly carrier: Namespace | undefined;
  readonly #directory = newDirectory('reflector');
  readonly #children = new Set<ChildProcess>();

  constructor(options: BoxOptions = {}) {
    removeStaleNamespaces();
    this.carrier = options.carrier === undefined ? undefined : new Namespace('carrier');
    try {
      this.#link();
      this.#route(options);
      this.#translate(this.box, options);
      if (this.carrier !== undefined && options.carrier !== undefined)
        this.#translate(this.carrier, options.carrier);
      this.#awaitCarrier();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Starts a reflector; gives its invitation. */
  async reflector(...options: string[]): Promise<string> {
    const args = ['reflector', '--json', '--state-dir', this.#directory, ...options];
    const ready = await this.#ready(this.server, args);
    return ready.invitation as string;
  }

  /** Starts sipalg's own gateway in the box. */
  async gateway(...options: string[]): Promise<void> {
    const state = join(this.#directory, 'gateway');
    const args = ['gateway', '--internal', 'lan', '--external', 'wan', '--json', '--state-dir', state];
    await this.#ready(this.box, [...args, ...options]);
  }

  /** Starts sipalg and waits until it says that it is ready. */
  async #ready(space: Namespace, args: readonly string[]): Promise<Record<string, unknown>> {
    const child = this.start(space, args);
    let stderr = '';
    child.stderr!.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), READY_MS);
    const lines = createInterface({ input: child.stdout! });
    const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
    lines.on('line', (line) => {
      const said = JSON.parse(line) as Record<string, unknown>;
      if (said.msg === 'ready') resolve(said);
    });
    child.once('exit', () => reject(new Error(`sipalg ${args[0]} ended: ${stderr}`)));
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
    }
  }

  /** Runs `sipalg check` to its end. */
  async check(invitation: string, ...options: string[]): Promise<CheckRun> {
    const child = this.start(this.client, ['check', invitation, ...options]);
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name]!.on('data', (chunk: Buffer) => {
        texts[name] += chunk.toString();
      });
    const code = await new Promise<number>((resolve) =>
      child.once('close', (status) => resolve(status ?? -1)),
    );
    return { code, ...texts };
  }

  /** Starts sipalg in a namespace. */
  start(space: Namespace, args: readonly string[]): ChildProcess {
    const child = space.spawn(process.execPath, [MAIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  nft(rules: string): void {
    this.box.run('nft', ['-f', '-'], rules);
  }

  close(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const space of [this.client, this.box, this.server, this.carrier]) space?.remove();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #link(): void {
    const cable = (
      space: Namespace,
      link: string,
      peer: Namespace,
      own: readonly string[],
      theirs: readonly string[],
      end = 'eth0',
    ): void => {
      space.run(
        'ip',
        ['-batch', '-'],
        [
          `link add ${link} type veth peer name ${end} netns ${peer.name}`,
          ...own.map((address) => `addr add ${address} dev ${link}`),
          `link set ${link} up`,
          '',
        ].join('\n'),
      );
      peer.run(
        'ip',
        ['-batch', '-'],
        [
          'link set lo up',
          ...theirs.map((address) => `addr add ${address} dev ${end}`),
          `link set ${end} up`,
          '',
        ].join('\n'),
      );
    };
    this.box.run('ip', ['link', 'set', 'lo', 'up']);
    cable(
      this.box,
      'lan',
      this.client,
      [`${BOX_INSIDE}/24`, 'fd77::1/64 nodad'],
      [`${CLIENT}/24`, `${SECOND_CLIENT}/24`, 'fd77::10/64 nodad'],
    );
    const servers = [`${SERVER}/24`, `${SECOND_SERVER}/24`, '2001:db8:77::10/64 nodad'];
    if (this.carrier === undefined) {
      cable(this.box, 'wan', this.server, [`${BOX_OUTSIDE}/24`, '2001:db8:77::1/64 nodad'], servers);
      return;
    }
    this.carrier.run('ip', ['link', 'set', 'lo', 'up']);
    cable(this.carrier, 'lan', this.box, [`${CARRIER_INSIDE}/24`], [`${BOX_SHARED}/24`], 'wan');
    cable(this.carrier, 'wan', this.server, [`${BOX_OUTSIDE}/24`], servers);
    this.box.run('ip', ['route', 'add', 'default', 'via', CARRIER_INSIDE]);
    this.carrier.enter(() => writeFileSync('/proc/sys/net/ipv4/ip_forward', '1'));
  }

  /** Linux tells some time after a link is up that it runs, and until then Node does not list its addresses. */
  #awaitCarrier(): void {
    const until = performance.now() + CARRIER_MS;
    const isListed = (): boolean =>
      [this.client, this.server].every((space) => space.enter(() => networkInterfaces().eth0 !== undefined));
    while (!isListed() && performance.now() < until) Atomics.wait(pause, 0, 0, 5);
  }

  #route({ nat, udpTimeouts }: BoxOptions): void {
    this.client.run('ip', ['route', 'add', 'default', 'via', BOX_INSIDE]);
    this.client.run('ip', ['-6', 'route', 'add', 'default', 'via', 'fd77::1']);
    if (nat === 'none') this.server.run('ip', ['route', 'add', '192.168.77.0/24', 'via', BOX_OUTSIDE]);
    if (this.carrier === undefined)
      this.server.run('ip', ['-6', 'route', 'add', 'fd77::/64', 'via', '2001:db8:77::1']);
    this.box.enter(() => {
      const set = (key: string, value: number): void => writeFileSync(`/proc/sys/net/${key}`, String(value));
      set('ipv4/ip_forward', 1);
      set('ipv6/conf/all/forwarding', 1);
      set('ipv4/conf/all/send_redirects', 0);
      if (udpTimeouts !== undefined) {
        set('netfilter/nf_conntrack_udp_timeout', udpTimeouts[0]);
        set('netfilter/nf_conntrack_udp_timeout_stream', udpTimeouts[1]);
      }
    });
  }

  #translate(space: Namespace, { nat = 'masquerade', helper = false, rules = '' }: BoxOptions): void {
    // As routers have it: what nobody inside has asked for ends here.
    const lines = [
      'table inet firewall {',
      '  chain input { type filter hook input priority filter; iifname "wan" ct state new drop; }',
      '  chain forward {',
      `    type filter hook forward priority filter; policy ${nat === 'none' ? 'accept' : 'drop'};`,
      '    ct state established,related accept',
      '    iifname "lan" accept',
      '    ct status dnat accept',
      '  }',
      '}',
    ];
    if (nat !== 'none')
      lines.push(
        'table ip nat {',
        '  chain prerouting { type nat hook prerouting priority dstnat; }',
        `  chain postrouting { type nat hook postrouting priority srcnat; oifname "wan" ${nat}; }`,
        '}',
      );
    if (helper)
      lines.push(
        'table ip helper {',
        '  ct helper kernel-sip { type "sip" protocol udp; }',
        '  chain prerouting {',
        '    type filter hook prerouting priority filter;',
        '    udp dport 5060 ct helper set "kernel-sip"',
        '  }',
        '}',
      );
    space.run('nft', ['-f', '-'], `${lines.join('\n')}\n${rules}`);
  }
}

/** Why the kernel's helper cannot be had here, or undefined. */
export function helperObstacle(): string | undefined {
  const result = spawnSync('unshare', ['-n', 'nft', '-f', '-'], {
    input: 'table ip helper {\n ct helper kernel-sip {\n type "sip" protocol udp;\n }\n }\n',
    encoding: 'utf8',
  });
  return result.status === 0 ? undefined : `this kernel has no SIP helper: ${result.stderr}`;
}
