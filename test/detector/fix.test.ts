/**
 * `sipalg fix` as a user runs it, against a router that is one: a Linux router in a namespace with OpenSSH and the kernel's
 * own SIP helper. What is altered, and no more, and again, is seen on the wire. And UPnP by miniupnpd. Needs root.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { namespaceObstacle } from '../../demo/namespace.ts';
import { newDirectory } from '../../demo/run.ts';
import { BOX_INSIDE, BoxLab, helperObstacle } from './lab.ts';

const obstacle = namespaceObstacle() ?? helperObstacle();
const skip = obstacle === undefined ? false : obstacle;
const RECIPE = 'linux-nft-helper';
const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));
/** Where the recipe keeps the rules; the router of the lab has the file system of this machine. */
const KEPT_RULES = '/var/lib/sipalg-sip-helper.nft';
after(() => rmSync(KEPT_RULES, { force: true }));

interface Summary {
  readonly verdict: string;
  readonly faults: readonly string[];
  readonly figures: { readonly altered: number };
}

interface Fixed {
  readonly outcome: string;
  readonly router: string;
  readonly before: Summary | null;
  readonly after: Summary | null;
  readonly gone: readonly string[];
  readonly left: readonly string[];
  readonly change: { readonly before: string; readonly after: string; readonly backup: string } | null;
}

/** The keys of a user in an agent of his own, and OpenSSH in the box. */
class Keys implements Disposable {
  readonly directory = newDirectory('fix');
  readonly socket = join(this.directory, 'agent');
  readonly #children: ChildProcess[] = [];

  async open(): Promise<void> {
    this.#generate('user');
    this.#children.push(
      await until(
        spawn('ssh-agent', ['-D', '-a', this.socket], { stdio: ['ignore', 'pipe', 'pipe'] }),
        /agent/i,
      ),
    );
    execFileSync('ssh-add', ['-q', join(this.directory, 'user')], {
      env: { ...process.env, SSH_AUTH_SOCK: this.socket },
      stdio: 'ignore',
    });
  }

  #generate(name: string): void {
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(this.directory, name)]);
  }

  /** With a host key of its own at each call. */
  async startServer(lab: BoxLab, name: string): Promise<ChildProcess> {
    this.#generate(name);
    mkdirSync('/run/sshd', { recursive: true });
    const file = join(this.directory, `${name}.conf`);
    const lines = [
      'Port 22',
      `ListenAddress ${BOX_INSIDE}`,
      `HostKey ${join(this.directory, name)}`,
      `AuthorizedKeysFile ${join(this.directory, 'user.pub')}`,
      'PermitRootLogin yes',
      'StrictModes no',
      'UsePAM no',
      'PidFile none',
    ];
    writeFileSync(file, `${lines.join('\n')}\n`);
    const server = lab.box.spawn('/usr/sbin/sshd', ['-D', '-e', '-f', file], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#children.push(server);
    return until(server, /Server listening/);
  }

  [Symbol.dispose](): void {
    for (const child of this.#children) child.kill('SIGKILL');
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** Waits until a program has said something. */
async function until(child: ChildProcess, sign: RegExp): Promise<ChildProcess> {
  let said = '';
  await new Promise<void>((resolve, reject) => {
    for (const stream of [child.stdout!, child.stderr!])
      stream.on('data', (chunk: Buffer) => {
        said += chunk.toString();
        if (sign.test(said)) resolve();
      });
    child.once('exit', (code) => reject(new Error(`${child.spawnfile} ended with ${code}: ${said}`)));
  });
  return child;
}

async function run(
  lab: BoxLab,
  keys: Keys,
  ...args: string[]
): Promise<{ code: number; stdout: string; stderr: string }> {
  process.env.SSH_AUTH_SOCK = keys.socket;
  const child = lab.start(lab.client, args);
  delete process.env.SSH_AUTH_SOCK;
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]!.on('data', (chunk: Buffer) => {
      texts[name] += chunk.toString();
    });
  const code = await new Promise<number>((resolve) => child.once('close', (status) => resolve(status ?? -1)));
  return { code, ...texts };
}

const QUICK = ['--quick', '--patience', '200', '--idle', '1'];

test('the kernel’s helper is found on the wire, switched off over SSH, gone from the wire, and brought back', {
  skip,
}, async () => {
  using lab = new BoxLab({ helper: true });
  using keys = new Keys();
  await keys.open();
  const server = await keys.startServer(lab, 'first');
  const invitation = await lab.reflector();
  const state = join(keys.directory, 'state');
  const device = ['--recipe', RECIPE, '--state-dir', state, '--yes', '--json'];
  const rules = (): number => lab.box.run('nft', ['list', 'ruleset']).split('ct helper set').length - 1;
  assert.equal(rules(), 1);

  const first = await run(lab, keys, 'fix', invitation, ...QUICK, ...device);
  assert.equal(first.code, 0, first.stderr);
  const fixed = JSON.parse(first.stdout) as Fixed;
  assert.equal(fixed.outcome, 'mended');
  assert.equal(fixed.router, BOX_INSIDE);
  assert.equal(fixed.before?.verdict, 'faulty');
  assert.ok(fixed.before.figures.altered > 0);
  assert.equal(fixed.after?.verdict, 'unaltered');
  assert.equal(fixed.after.figures.altered, 0);
  assert.deepEqual(fixed.left, []);
  assert.deepEqual([fixed.change?.before, fixed.change?.after], ['on', 'off']);
  assert.equal(rules(), 0);
  const backup = readFileSync(fixed.change!.backup, 'utf8');
  assert.match(backup, /gives SIP to the helper:.*udp dport 5060 ct helper set "kernel-sip"/);
  assert.match(backup, new RegExp(`sipalg router on ${BOX_INSIDE} --recipe ${RECIPE}`));

  const again = await run(lab, keys, 'router', 'off', BOX_INSIDE, ...device);
  assert.equal((JSON.parse(again.stdout) as { changed: boolean }).changed, false);
  assert.equal(readdirSync(join(state, 'router-backups')).length, 1);

  const back = await run(lab, keys, 'router', 'on', BOX_INSIDE, ...device);
  assert.equal(back.code, 0, back.stderr);
  assert.equal(rules(), 1);
  const checked = await run(lab, keys, 'check', invitation, ...QUICK, '--json');
  assert.equal((JSON.parse(checked.stdout) as Summary).verdict, 'faulty');

  // Another key at the same place: somebody else, or a device that was reset. Nothing is sent to it.
  server.kill('SIGTERM');
  await new Promise((resolve) => server.once('exit', resolve));
  await keys.startServer(lab, 'second');
  const other = await run(lab, keys, 'router', 'off', BOX_INSIDE, ...device);
  assert.equal(other.code, 3);
  assert.match(other.stderr, /routers\/host-key-changed/);
  assert.equal(rules(), 1);
});

/** A recipe for the router of the lab, as somebody might have written it who was wrong. */
function wrongRecipe(keys: Keys, off: string, on: string): string {
  const folder = join(keys.directory, 'recipes');
  const flag = join(keys.directory, 'off');
  mkdirSync(join(folder, 'acme'), { recursive: true });
  const recipe = `id: acme-one
vendor: Acme
alg: { present: yes, default: on, canSwitchOff: yes, verified: true, sources: [LAB] }
procedures:
  - id: ssh
    kind: ssh
    title: What somebody thought
    verified: true
    sources: [LAB]
    login: { kind: user-password, user: root, verified: true, sources: [LAB] }
    check:
      - { send: 'test -e ${flag} && echo the ALG is off || echo the ALG is on', answers: [{ match: is off, means: off }, { match: is on, means: on }] }
    off:
      - { send: '${off}', silent: true }
      - { send: 'touch ${flag}', silent: true }
    persist:
      - { send: 'touch ${flag}.saved', silent: true }
    on:
      - { send: '${on}', silent: true }
      - { send: 'rm ${flag}', silent: true }
    saves: by-steps
    flush:
      - { send: conntrack -F, optional: true }
    reboot: no
    risk: { level: low, text: Nothing else changes. }
sources: [{ code: LAB, what: This test, date: 2026-11-22, grade: project }]
status: verified-on-wire
`;
  writeFileSync(join(folder, 'acme', 'one.yaml'), recipe);
  return folder;
}

/** A router without any interface for programs. */
function recipeByHand(keys: Keys): string {
  const folder = join(keys.directory, 'recipes');
  mkdirSync(join(folder, 'acme'), { recursive: true });
  const recipe = `id: acme-web
vendor: Acme
alg: { present: yes, default: on, canSwitchOff: yes, verified: true, sources: [LAB] }
procedures:
  - id: web
    kind: web
    title: On its page
    verified: true
    sources: [LAB]
    check: [{ menu: [NAT, ALG], see: a box }]
    off: [{ menu: [NAT, ALG] }, { set: { control: SIP ALG, to: unticked } }]
    on: [{ menu: [NAT, ALG] }, { set: { control: SIP ALG, to: ticked } }]
    saves: by-itself
    reboot: no
    risk: { level: low, text: Nothing else changes. }
sources: [{ code: LAB, what: This test, date: 2026-11-22, grade: project }]
status: verified-on-wire
`;
  writeFileSync(join(folder, 'acme', 'web.yaml'), recipe);
  return folder;
}

describe('what does not help is not kept', { concurrency: 2 }, () => {
  test('worse: from then on nothing comes through', { skip }, async () => {
    using lab = new BoxLab({ helper: true });
    using keys = new Keys();
    await keys.open();
    await keys.startServer(lab, 'only');
    const off =
      'nft add table ip worse; nft add chain ip worse f "{ type filter hook forward priority 0; }"; nft add rule ip worse f udp dport 5060 drop';
    const recipes = wrongRecipe(keys, off, 'nft delete table ip worse');
    const before = lab.box.run('nft', ['list', 'ruleset']);
    const state = join(keys.directory, 'state');
    const device = ['--recipes', recipes, '--recipe', 'acme-one', '--state-dir', state, '--yes', '--json'];
    const invitation = await lab.reflector();
    const { code, stdout, stderr } = await run(lab, keys, 'fix', invitation, ...QUICK, ...device);
    assert.equal(code, 1, stderr);
    const fixed = JSON.parse(stdout) as Fixed;
    assert.equal(fixed.outcome, 'undone', JSON.stringify([fixed.before, fixed.after, stderr], null, 1));
    assert.equal(fixed.change, null);
    // It was off in between, and it is as it was.
    assert.equal(readdirSync(join(state, 'router-backups')).length, 1);
    assert.equal(lab.box.run('nft', ['list', 'ruleset']), before);
    for (const file of ['off', 'off.saved'])
      assert.equal(existsSync(join(keys.directory, file)), false, file);
  });

  test('interrupted before the second look is done', { skip }, async () => {
    using lab = new BoxLab({ helper: true });
    using keys = new Keys();
    await keys.open();
    await keys.startServer(lab, 'only');
    const before = lab.box.run('nft', ['list', 'ruleset']);
    const recipes = wrongRecipe(keys, 'nft add table ip worse', 'nft delete table ip worse');
    const device = [
      '--recipes',
      recipes,
      '--recipe',
      'acme-one',
      '--state-dir',
      join(keys.directory, 'state'),
    ];
    const invitation = await lab.reflector();
    process.env.SSH_AUTH_SOCK = keys.socket;
    const child = lab.start(lab.client, ['fix', invitation, ...QUICK, ...device, '--yes']);
    delete process.env.SSH_AUTH_SOCK;
    const texts = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr'] as const)
      child[name]!.on('data', (chunk: Buffer) => {
        texts[name] += chunk.toString();
        if (name === 'stderr' && /4\. Is it gone.*done:/s.test(texts.stderr) && !child.killed) {
          assert.notEqual(lab.box.run('nft', ['list', 'ruleset']), before);
          child.kill('SIGINT');
        }
      });
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 1, texts.stderr);
    assert.match(texts.stdout, /Interrupted before the second check was done/);
    assert.equal(lab.box.run('nft', ['list', 'ruleset']), before);
    assert.equal(existsSync(join(keys.directory, 'off.saved')), false);
  });

  test('a router that only a person can switch, at a terminal', { skip }, async () => {
    using lab = new BoxLab({ helper: true });
    using keys = new Keys();
    const recipe = ['--recipes', recipeByHand(keys), '--recipe', 'acme-web'];
    const args = ['fix', await lab.reflector(), ...QUICK, ...recipe];
    // A terminal of its own, by script(1) of util-linux.
    const command = [process.execPath, MAIN, ...args].join(' ');
    const child = lab.client.spawn('script', ['-qec', command, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    let screen = '';
    let answered = false;
    child.stdout!.on('data', (chunk: Buffer) => {
      screen += chunk.toString();
      if (answered || !screen.includes('Have you done it?')) return;
      answered = true;
      lab.box.run('nft', ['flush', 'table', 'ip', 'helper']);
      // As a restart would: flows keep the helper that they were given.
      lab.box.run('conntrack', ['-F']);
      child.stdin!.write('y');
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    assert.equal(code, 0, screen);
    assert.match(screen, /1\. open NAT → ALG/);
    assert.match(screen, /2\. set "SIP ALG" to unticked/);
    assert.match(screen, /Mended: the SIP ALG is off/);
  });
});

test('miniupnpd is heard: its SSDP answer, its description, NAT-PMP and PCP', { skip }, async () => {
  using lab = new BoxLab();
  using keys = new Keys();
  const file = join(keys.directory, 'miniupnpd.conf');
  const lines = [
    'ext_ifname=wan',
    'listening_ip=lan',
    'ext_ip=5.6.7.8',
    'enable_natpmp=yes',
    'enable_upnp=yes',
    'uuid=00000000-0000-0000-0000-000000000001',
    'manufacturer_name=Example',
    'model_name=Router 9',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  const pid = join(keys.directory, 'miniupnpd.pid');
  const server = lab.box.spawn('/usr/sbin/miniupnpd', ['-d', '-f', file, '-P', pid], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  await until(server, /Listening for NAT-PMP/);
  const { stdout, stderr } = await run(lab, keys, 'router', 'identify', '--json');
  server.kill('SIGTERM');
  const { evidence } = JSON.parse(stdout) as { evidence: { kind: string; value: string }[] };
  const seen = evidence.map(({ kind, value }) => `${kind}: ${value}`).join('\n');
  assert.match(seen, /^upnp: .*MiniUPnPd/m, stderr);
  assert.match(seen, /^upnp: Example \| Router 9/m);
  assert.match(seen, /^port-mapping: NAT-PMP, external address 5\.6\.7\.8$/m);
  assert.match(seen, /^port-mapping: PCP$/m);
});
