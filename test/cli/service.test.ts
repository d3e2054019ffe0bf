/** What the gateway tells the service manager, received as systemd does; and the commands that install the service. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import koffi from 'koffi';
import { Journal } from '../../demo/journal.ts';
import { Program } from '../../demo/program.ts';
import { root, sipalg } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sipalg-service-'));
after(() => rmSync(folder, { recursive: true, force: true }));

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000;

/** A datagram socket as systemd has it: Node has none of its own. */
class Manager {
  readonly told = new Journal<string>((text) => text);
  readonly #fd: number;
  readonly #poll: ReturnType<typeof koffi.node.poll>;
  readonly #close: (fd: number) => number;

  constructor(name: string) {
    const libc = koffi.load(null);
    const socket = libc.func('int socket(int domain, int type, int protocol)');
    const bind = libc.func('int bind(int fd, const uint8_t *address, uint32_t length)');
    const recv = libc.func('intptr_t recv(int fd, _Out_ uint8_t *bytes, size_t length, int flags)');
    this.#close = libc.func('int close(int fd)');
    this.#fd = socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
    const path = Buffer.from(name.startsWith('@') ? `\0${name.slice(1)}` : name);
    const address = Buffer.concat([Buffer.from([AF_UNIX, 0]), path]);
    assert.equal(bind(this.#fd, address, address.length), 0);
    this.#poll = koffi.node.poll(this.#fd, { readable: true }, () => {
      const bytes = Buffer.alloc(4096);
      const length = Number(recv(this.#fd, bytes, bytes.length, 0));
      if (length > 0) this.told.add(bytes.toString('utf8', 0, length));
    });
  }

  close(): void {
    this.#poll.stop();
    this.#poll.close();
    this.#close(this.#fd);
  }
}

for (const [kind, name] of [
  ['a path', join(folder, 'notify')],
  ['an abstract name', `@sipalg-test-${process.pid}`],
] as const)
  test(`the service manager at ${kind} hears ready, the watchdog, reload and stop`, async () => {
    const manager = new Manager(name);
    const listen = `127.61.${(process.pid >> 8) & 255}.${process.pid & 255}:15060`;
    const child: ChildProcess = spawn(
      `${root}bin/sipalg`,
      ['gateway', '--listen', listen, '--state-dir', join(folder, 'state'), '--json'],
      {
        env: { ...process.env, NOTIFY_SOCKET: name, WATCHDOG_USEC: '300000' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    const gateway = new Program('sipalg gateway', child);
    try {
      const ready = await manager.told.until((text) => text.startsWith('READY=1'), 20_000, 'ready');
      assert.match(ready, /^READY=1\nSTATUS=SIP goes through the gateway$/);
      const feeds = (): number => manager.told.entries.filter((text) => text === 'WATCHDOG=1').length;
      const fed = feeds();
      await manager.told.until(() => feeds() >= fed + 3, 5_000, 'the watchdog is fed');

      // A process that stands still feeds nothing.
      gateway.signal('SIGSTOP');
      await new Promise((resolve) => setTimeout(resolve, 300));
      const still = feeds();
      await new Promise((resolve) => setTimeout(resolve, 500));
      assert.equal(feeds(), still);
      gateway.signal('SIGCONT');

      let from = manager.told.entries.length;
      gateway.signal('SIGHUP');
      const reloading = await manager.told.until(
        (text) => text.startsWith('RELOADING=1'),
        5_000,
        'reload',
        from,
      );
      assert.match(reloading, /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
      await manager.told.until((text) => text.startsWith('READY=1'), 5_000, 'ready again', from);
      from = manager.told.entries.length;
      gateway.signal('SIGTERM');
      await manager.told.until((text) => text.startsWith('STOPPING=1'), 5_000, 'stopping', from);
      await gateway.exited();
    } finally {
      await gateway.stop();
      manager.close();
    }
  });

test('install-service --dry-run prints the unit with the options as given', () => {
  const { code, out } = sipalg([
    ...['install-service', '-i', 'br0', '-e', 'eth0', '--accept-chain', 'inet filter forward', '--dry-run'],
  ]);
  assert.equal(code, 0);
  assert.match(
    out,
    /^ExecStart=\S+\/bin\/sipalg gateway --internal br0 --external eth0 --accept-chain "inet filter forward"$/m,
  );
  assert.match(out, /^CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_BIND_SERVICE$/m);
});

test('install-service says what it cannot do', () => {
  const elsewhere = sipalg([
    'install-service',
    '-i',
    'br0',
    '-e',
    'eth0',
    '--state-dir',
    '/srv/sip',
    '--dry-run',
  ]);
  assert.equal(elsewhere.code, 2);
  assert.match(elsewhere.err, /not beneath \/var\/lib/);
  assert.equal(sipalg(['install-service', '--dry-run']).code, existsSync('/etc/sipalg/gateway.toml') ? 0 : 2);
});

test('without systemd both commands say so, and how it is done elsewhere', () => {
  assert.match(sipalg(['uninstall-service', '--dry-run']).out, /no service is installed/);
  // Where this machine runs systemd, its services are not ours to change.
  if (existsSync('/run/systemd/system')) return;
  const { code, err } = sipalg(['install-service', '-i', 'br0', '-e', 'eth0']);
  assert.equal(code, 3);
  assert.match(err, /cli\/no-systemd: this machine was not started by systemd/);
  assert.match(err, /OpenRC/);
  assert.match(err, /procd/);
});
