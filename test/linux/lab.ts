/**
 * Phones – router – provider in network namespaces that each test makes and removes.
 *
 *   phone A 10.0.0.2 ── lan0 ┐                    ┌ 198.51.100.2   the provider
 *   phone B 10.0.1.2 ── lan1 ┤ router             ├ 198.51.100.3   its media
 *                            └ wan0 198.51.100.1 ─┴ 198.51.100.66  a stranger
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { AgentEvent, Request } from './agent.ts';

const PATH = `${process.env.PATH ?? ''}:/usr/sbin:/sbin`;
const AGENT = fileURLToPath(new URL('./agent.ts', import.meta.url));

export const A = '10.0.0.2';
export const B = '10.0.1.2';
export const B_ON_BRIDGE = '10.0.0.3';
export const WAN = '198.51.100.1';
export const PROVIDER = '198.51.100.2';
export const MEDIA = '198.51.100.3';
export const STRANGER = '198.51.100.66';

export interface RouterOptions {
  /** Statements after `oifname "wan0"`; default `masquerade`. */
  readonly nat?: string;
  /** Drop what is forwarded or comes in and is not known, but media that we mapped. */
  readonly firewall?: boolean;
  /** Both phones in one network behind `br0`; B is then 10.0.0.3. */
  readonly bridge?: boolean;
  /** Rules of the operator's prerouting nat chain. */
  readonly forwards?: readonly string[];
  readonly sysctls?: Readonly<Record<string, string>>;
}

/** Why the lab cannot run here, or undefined. */
export function labObstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root';
  for (const program of ['ip', 'nft', 'conntrack'])
    if (sh(program, ['-V']).status === null) return `needs the program ${program}`;
  const probe = `sipalg-probe-${process.pid}`;
  if (sh('ip', ['netns', 'add', probe]).status !== 0) return 'cannot make network namespaces';
  sh('ip', ['netns', 'del', probe]);
  return undefined;
}

function sh(program: string, args: readonly string[], input = ''): ReturnType<typeof spawnSync> {
  return spawnSync(program, args, { input, encoding: 'utf8', env: { ...process.env, PATH } });
}

function must(program: string, args: readonly string[], input = ''): string {
  const result = sh(program, args, input);
  if (result.status !== 0) throw new Error(`${program} ${args.join(' ')}: ${String(result.stderr)}`);
  return String(result.stdout);
}

interface Reply {
  readonly reply: number;
  readonly error?: string;
  readonly result?: unknown;
}

/** One process in one namespace. */
export class Agent {
  readonly child: ChildProcess;
  readonly #events: AgentEvent[] = [];
  readonly #waiters = new Set<() => void>();
  readonly #replies = new Map<number, (message: Reply) => void>();
  readonly #ready: Promise<void>;
  #next = 0;
  stderr = '';

  constructor(namespace: string) {
    this.child = spawn('ip', ['netns', 'exec', namespace, process.execPath, AGENT], {
      stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
      env: { ...process.env, PATH },
    });
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk.toString();
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#ready = promise;
    this.child.once('exit', () => reject(new Error(`agent ended: ${this.stderr}`)));
    this.child.on('message', (message: object) => {
      if ('ready' in message) resolve();
      else if ('reply' in message) {
        this.#replies.get(message.reply as number)?.(message as Reply);
        this.#replies.delete(message.reply as number);
      } else {
        this.#events.push(message as AgentEvent);
        for (const wake of this.#waiters) wake();
      }
    });
  }

  async ready(): Promise<this> {
    await this.#ready;
    return this;
  }

  async do(request: Request): Promise<unknown> {
    const id = this.#next++;
    const { promise, resolve } = Promise.withResolvers<Reply>();
    this.#replies.set(id, resolve);
    this.child.send({ id, request });
    const reply = await promise;
    if (reply.error !== undefined) throw new Error(reply.error);
    return reply.result;
  }

  bind(address: string, port: number): Promise<unknown> {
    return this.do({ op: 'bind', local: { address, port } });
  }

  send(from: [string, number], to: [string, number], text: string): Promise<unknown> {
    return this.do({
      op: 'send',
      local: { address: from[0], port: from[1] },
      remote: { address: to[0], port: to[1] },
      text,
    });
  }

  /** The first event that fits, now or within the time; it and no other is taken out. */
  async wait<T extends AgentEvent = AgentEvent>(
    fits: (event: AgentEvent) => boolean,
    what: string,
    timeoutMs = 3_000,
  ): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const look = (): void => {
      const index = this.#events.findIndex((event) => fits(event));
      if (index < 0) return;
      resolve(this.#events.splice(index, 1)[0] as T);
    };
    const timer = setTimeout(
      () => reject(new Error(`no ${what} within ${timeoutMs} ms; seen ${JSON.stringify(this.#events)}`)),
      timeoutMs,
    );
    this.#waiters.add(look);
    try {
      look();
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#waiters.delete(look);
    }
  }

  datagram(text: string, timeoutMs?: number) {
    return this.wait<AgentEvent & { event: 'datagram' }>(
      (event) => event.event === 'datagram' && event.text === text,
      `datagram "${text}"`,
      timeoutMs,
    );
  }

  packet(text: string, timeoutMs?: number) {
    return this.wait<AgentEvent & { event: 'packet' }>(
      (event) => event.event === 'packet' && event.text === text,
      `packet "${text}"`,
      timeoutMs,
    );
  }

  opened(id: number) {
    return this.wait((event) => event.event === 'opened' && event.id === id, `opened ${id}`);
  }

  notice(code: string, timeoutMs?: number) {
    return this.wait((event) => event.event === 'notice' && event.code === code, `notice ${code}`, timeoutMs);
  }

  /** What has come and was not waited for. */
  seen(text: string): boolean {
    return this.#events.some((event) => 'text' in event && event.text === text);
  }

  kill(signal: NodeJS.Signals): Promise<void> {
    const gone = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.kill(signal);
    return signal === 'SIGKILL' || signal === 'SIGTERM' ? gone : Promise.resolve();
  }
}

let count = 0;

export class Lab {
  readonly #prefix = `sl${process.pid}x${count++}`;
  readonly #agents: Agent[] = [];
  a!: Agent;
  b!: Agent;
  provider!: Agent;
  router!: Agent;

  static async make(options: RouterOptions = {}): Promise<Lab> {
    const lab = new Lab();
    try {
      lab.#build(options);
      [lab.a, lab.b, lab.provider, lab.router] = (await Promise.all(
        ['a', 'b', 'p', 'r'].map((name) => lab.agent(name)),
      )) as [Agent, Agent, Agent, Agent];
      return lab;
    } catch (error) {
      lab.close();
      throw error;
    }
  }

  name(short: string): string {
    return `${this.#prefix}${short}`;
  }

  async agent(short: string): Promise<Agent> {
    const agent = new Agent(this.name(short));
    this.#agents.push(agent);
    return agent.ready();
  }

  /** Runs a program in a namespace; its output. */
  run(short: string, line: string, input = ''): string {
    return must('ip', ['netns', 'exec', this.name(short), 'sh', '-c', line], input);
  }

  nft(text: string): void {
    must('ip', ['netns', 'exec', this.name('r'), 'nft', '-f', '-'], text);
  }

  close(): void {
    for (const agent of this.#agents) agent.child.kill('SIGKILL');
    for (const short of ['a', 'b', 'p', 'r']) sh('ip', ['netns', 'del', this.name(short)]);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #build(options: RouterOptions): void {
    for (const short of ['a', 'b', 'p', 'r']) {
      must('ip', ['netns', 'add', this.name(short)]);
      must('ip', ['-n', this.name(short), 'link', 'set', 'lo', 'up']);
    }
    const cable = (outer: string, router: string, addresses: readonly string[], own?: string): void => {
      must('ip', [
        ...['-n', this.name('r'), 'link', 'add', router, 'type', 'veth'],
        ...['peer', 'name', 'eth0', 'netns', this.name(outer)],
      ]);
      must('ip', [
        ...['-n', this.name('r')],
        ...(own === undefined
          ? ['link', 'set', router, 'master', 'br0']
          : ['addr', 'add', own, 'dev', router]),
      ]);
      must('ip', ['-n', this.name('r'), 'link', 'set', router, 'up']);
      for (const address of addresses)
        must('ip', ['-n', this.name(outer), 'addr', 'add', address, 'dev', 'eth0']);
      must('ip', ['-n', this.name(outer), 'link', 'set', 'eth0', 'up']);
    };
    if (options.bridge === true) {
      must('ip', ['-n', this.name('r'), 'link', 'add', 'br0', 'type', 'bridge']);
      must('ip', ['-n', this.name('r'), 'addr', 'add', '10.0.0.1/24', 'dev', 'br0']);
      must('ip', ['-n', this.name('r'), 'link', 'set', 'br0', 'up']);
      cable('a', 'lan0', [`${A}/24`]);
      cable('b', 'lan1', [`${B_ON_BRIDGE}/24`]);
    } else {
      cable('a', 'lan0', [`${A}/24`], '10.0.0.1/24');
      cable('b', 'lan1', [`${B}/24`], '10.0.1.1/24');
    }
    cable('p', 'wan0', [`${PROVIDER}/24`, `${MEDIA}/24`, `${STRANGER}/24`], `${WAN}/24`);
    must('ip', ['-n', this.name('a'), 'route', 'add', 'default', 'via', '10.0.0.1']);
    const gatewayOfB = options.bridge === true ? '10.0.0.1' : '10.0.1.1';
    must('ip', ['-n', this.name('b'), 'route', 'add', 'default', 'via', gatewayOfB]);
    const sysctls = {
      'net.ipv4.ip_forward': '1',
      ...(options.bridge === true
        ? { 'net.bridge.bridge-nf-call-iptables': '0', 'net.bridge.bridge-nf-call-ip6tables': '0' }
        : {}),
      ...options.sysctls,
    };
    for (const [key, value] of Object.entries(sysctls)) this.run('r', `sysctl -qw ${key}=${value}`);
    this.nft(`
      table ip nat {
        chain pre { type nat hook prerouting priority dstnat; ${(options.forwards ?? []).join('; ')}; }
        chain post { type nat hook postrouting priority srcnat; oifname "wan0" ${options.nat ?? 'masquerade'}; }
      }`);
    if (options.firewall === true)
      this.nft(`
      table inet filter {
        chain input { type filter hook input priority filter; policy drop;
          ct state established,related accept; iifname { "lo", "lan0", "lan1", "br0" } accept; }
        chain forward { type filter hook forward priority filter; policy drop;
          ct state established,related accept; iifname { "lan0", "lan1", "br0" } accept; ct status dnat accept; }
      }`);
  }
}
