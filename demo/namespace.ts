/**
 * Network namespaces of our own: made, entered for the length of one synchronous call, and removed.
 *
 * A socket belongs to the namespace in which it was created, whoever uses it later. So the peers of the demo and of the
 * lab all live in one process: it steps into a namespace (setns, this thread only), creates the socket, and steps back.
 *
 * A name begins with the name of the run (`run.ts`), so that what a crashed run left behind can be told.
 */
import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { readdirSync, readlinkSync } from 'node:fs';
import koffi from 'koffi';
import { isStale, runName } from './run.ts';

const CLONE_NEWNET = 0x4000_0000;
const O_RDONLY_CLOEXEC = 0o2000000;
const NETNS_DIR = '/run/netns';

const libc = koffi.load(null);
const open = libc.func('int open(const char *path, int flags)');
const close = libc.func('int close(int fd)');
const setns = libc.func('int setns(int fd, int type)');

let serial = 0;
const living = new Set<Namespace>();

export class Namespace {
  readonly name: string;
  readonly role: string;
  readonly #fd: number;
  #closed = false;

  constructor(role: string) {
    this.role = role;
    this.name = `${runName}-${++serial}${role}`;
    execFileSync('ip', ['netns', 'add', this.name]);
    this.#fd = open(`${NETNS_DIR}/${this.name}`, O_RDONLY_CLOEXEC);
    if (this.#fd < 0) throw new Error(`the namespace ${this.name} cannot be opened`);
    living.add(this);
  }

  /** Runs `work`, which must be synchronous, inside the namespace. */
  enter<T>(work: () => T): T {
    if (this.#closed) throw new Error(`the namespace ${this.name} is gone`);
    const home = open('/proc/thread-self/ns/net', O_RDONLY_CLOEXEC);
    if (home < 0 || setns(this.#fd, CLONE_NEWNET) !== 0) throw new Error(`${this.name} cannot be entered`);
    try {
      return work();
    } finally {
      if (setns(home, CLONE_NEWNET) !== 0) process.abort();
      close(home);
    }
  }

  /** Runs a program to its end and gives what it printed. */
  run(program: string, args: readonly string[], input?: string): string {
    return execFileSync('ip', ['netns', 'exec', this.name, program, ...args], {
      encoding: 'utf8',
      input: input ?? '',
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  /** Starts a program. `ip netns exec` becomes the program, so the process id is the program's own. */
  spawn(program: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    return spawn('ip', ['netns', 'exec', this.name, program, ...args], options);
  }

  /** A bound UDP socket. */
  socket(address: string, port: number): Promise<Socket> {
    return this.enter(() => boundSocket(address, port));
  }

  remove(): void {
    if (this.#closed) return;
    this.#closed = true;
    living.delete(this);
    close(this.#fd);
    removeNamespace(this.name);
  }
}

/**
 * A bound UDP socket in the namespace of the caller. Addresses are literals and looked up synchronously, so that the
 * file descriptor is made before this function returns.
 */
export function boundSocket(address: string, port: number): Promise<Socket> {
  const family = address.includes(':') ? 6 : 4;
  const lookup = (host: string, _options: unknown, done: (e: null, a: string, f: number) => void): void =>
    done(null, host, family);
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: lookup as never,
    recvBufferSize: 1 << 20,
  });
  return new Promise((resolve, reject) => {
    socket.once('error', (error) => reject(new Error(`UDP ${address}:${port}: ${error.message}`)));
    socket.bind(port, address, () => {
      socket.removeAllListeners('error');
      // ICMP errors and unreachable private addresses are part of the game.
      socket.on('error', () => {});
      resolve(socket);
    });
  });
}

/** Ends what still runs inside (all of it was started there by the run that made the namespace) and removes it. */
function removeNamespace(name: string): void {
  try {
    const pids = execFileSync('ip', ['netns', 'pids', name], { encoding: 'utf8' }).split('\n');
    for (const pid of pids.map(Number)) if (pid > 0 && pid !== process.pid) process.kill(pid, 'SIGKILL');
  } catch {
    // It ended by itself in between.
  }
  execFileSync('ip', ['netns', 'del', name], { stdio: 'ignore' });
}

/** Removes the namespaces of runs that are no longer alive; gives their names. */
export function removeStaleNamespaces(): string[] {
  let names: string[];
  try {
    names = readdirSync(NETNS_DIR);
  } catch {
    return [];
  }
  return names.filter((name) => {
    if (!isStale(name)) return false;
    try {
      removeNamespace(name);
      return true;
    } catch {
      // Another run was faster.
      return false;
    }
  });
}

/** Why namespaces cannot be had here, or undefined where they can. */
export function namespaceObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces exist on Linux only';
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const program of ['ip', 'nft']) {
    try {
      execFileSync(program, ['-V'], { stdio: 'ignore' });
    } catch {
      return `the program "${program}" is missing`;
    }
  }
  try {
    readlinkSync('/proc/self/ns/net');
    new Namespace('probe').remove();
  } catch (error) {
    return `network namespaces cannot be made here: ${(error as Error).message}`;
  }
  return undefined;
}

process.on('exit', () => {
  for (const namespace of [...living]) {
    try {
      namespace.remove();
    } catch {
      // The next run removes it.
    }
  }
});
