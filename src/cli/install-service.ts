/** `sipalg install-service` and `uninstall-service`: the gateway as a systemd service. */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, parse, resolve } from 'node:path';
import type { GatewayConfig } from '../config/gateway-config.ts';
import { renderServiceUnit, STATE_ROOT, UNIT_NAME, UNIT_PATH } from '../linux/service-unit.ts';
import { type ConfigOptions, configFrom } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError, UsageError } from './failure.ts';

export interface InstallOptions extends ConfigOptions {
  readonly dryRun?: boolean;
}

const DEFAULT_CONFIG = '/etc/sipalg/gateway.toml';
/** There while systemd is what this machine was started with (sd_booted(3)). */
const BOOTED = '/run/systemd/system';
const ELSEWHERE = `elsewhere, let the init system run \`sipalg gateway …\` in the foreground, as root or as a user with
CAP_NET_ADMIN and CAP_NET_BIND_SERVICE:
  OpenRC (/etc/init.d/sipalg): command=/path/to/bin/sipalg command_args="gateway -i IF -e IF" command_background=yes
                               pidfile=/run/sipalg.pid supervisor=supervise-daemon
  procd (/etc/init.d/sipalg):  procd_set_param command /path/to/bin/sipalg gateway -i IF -e IF
                               procd_set_param respawn
--dry-run prints the unit here as well`;

export async function installService(given: InstallOptions): Promise<number> {
  const options = withDefaultFile(given);
  const config = configFrom(options);
  if (config === undefined) return exitCode.usage;
  const program = programPath();
  const unit = renderServiceUnit({
    command: [program, 'gateway', ...argumentsOf(options)],
    stateDirectory: stateDirectory(config),
    privileged: config.mode === 'transparent' || config.listen.some(({ port }) => port < 1024),
  });
  if (options.dryRun === true) {
    process.stdout.write(unit);
    return exitCode.ok;
  }
  requireSystemd();
  requireReadable(program, options.config);
  write(() => {
    mkdirSync(dirname(UNIT_PATH), { recursive: true });
    writeFileSync(UNIT_PATH, unit, { mode: 0o644 });
  });
  systemctl('daemon-reload');
  systemctl('enable', UNIT_NAME);
  systemctl('restart', UNIT_NAME);
  process.stdout.write(
    `${UNIT_PATH} is written; the service runs, and starts with the machine\n  sipalg status    what it does\n  journalctl -u sipalg    its log\n`,
  );
  return exitCode.ok;
}

export async function uninstallService(options: Pick<InstallOptions, 'dryRun'>): Promise<number> {
  const there = existsSync(UNIT_PATH);
  if (options.dryRun === true) {
    process.stdout.write(there ? `would stop it and remove ${UNIT_PATH}\n` : 'no service is installed\n');
    return exitCode.ok;
  }
  if (!there) {
    process.stdout.write('no service is installed\n');
    return exitCode.ok;
  }
  requireSystemd();
  systemctl('disable', '--now', UNIT_NAME);
  write(() => rmSync(UNIT_PATH, { force: true }));
  systemctl('daemon-reload');
  process.stdout.write(
    `the service is stopped and removed: plain NAT; ${STATE_ROOT}/sipalg stays, with ports and the switch\n`,
  );
  return exitCode.ok;
}

/** Without interfaces on the command line, the file where one expects it. */
function withDefaultFile(options: InstallOptions): InstallOptions {
  const named = options.internal ?? options.external ?? options.listen ?? options.config;
  return named === undefined && existsSync(DEFAULT_CONFIG) ? { ...options, config: DEFAULT_CONFIG } : options;
}

/** The options as they were given, which win over the file at every start. */
function argumentsOf(options: InstallOptions): string[] {
  const repeated = (name: string, values: readonly (string | number)[] | undefined): string[] =>
    (values ?? []).flatMap((value) => [name, String(value)]);
  const once = (name: string, value: string | undefined): string[] =>
    value === undefined ? [] : [name, value];
  return [
    ...once('--config', options.config === undefined ? undefined : resolve(options.config)),
    ...repeated('--internal', options.internal),
    ...repeated('--external', options.external),
    ...repeated('--listen', options.listen),
    ...once('--state-dir', options.stateDir),
    ...repeated('--accept-chain', options.acceptChain),
    ...repeated('--sip-port', options.sipPort),
    ...once('--log-level', options.logLevel),
  ];
}

function stateDirectory({ stateDir }: GatewayConfig): string {
  if (!stateDir.startsWith(`${STATE_ROOT}/`))
    throw new UsageError(
      `the state directory ${stateDir} is not beneath ${STATE_ROOT}, where systemd keeps a service's state`,
      `name one there: --state-dir ${STATE_ROOT}/sipalg, which is the default`,
    );
  return stateDir.slice(STATE_ROOT.length + 1);
}

/** bin/sipalg of the installation that is running. */
function programPath(): string {
  const running = resolve(process.argv[1] ?? '');
  for (let at = dirname(running); at !== parse(at).root; at = dirname(at)) {
    const program = join(at, 'bin', 'sipalg');
    if (existsSync(program)) return program;
  }
  throw new EnvironmentError(
    'cli/not-readable',
    `bin/sipalg is not beside ${running}`,
    'install sipalg as a whole, and call it by its bin/sipalg',
  );
}

function requireSystemd(): void {
  if (existsSync(BOOTED)) return;
  throw new EnvironmentError('cli/no-systemd', 'this machine was not started by systemd', ELSEWHERE);
}

/** The service's user is not root: what it runs and reads has to be open to everybody. */
function requireReadable(...paths: readonly (string | undefined)[]): void {
  for (const path of paths) {
    if (path === undefined) continue;
    for (let at = resolve(path); ; at = dirname(at)) {
      const isDirectory = statSync(at).isDirectory();
      const wanted = isDirectory ? 0o001 : 0o004;
      const hidden = ['/root', '/home', '/run/user'].some((home) => at === home);
      if (hidden || (statSync(at).mode & wanted) === 0)
        throw new EnvironmentError(
          'cli/not-readable',
          `the service's user cannot read ${path}${at === resolve(path) ? '' : `, because of ${at}`}`,
          hidden
            ? 'home directories are closed to the service; put it into /opt or /usr/local, the configuration into /etc/sipalg'
            : `chmod o+rX ${at}`,
        );
      if (at === parse(at).root) break;
    }
  }
}

function write(change: () => void): void {
  try {
    change();
  } catch (error) {
    throw new EnvironmentError(
      'cli/not-permitted',
      `${UNIT_PATH} cannot be written (${(error as Error).message})`,
      'run it with sudo; --dry-run prints the unit',
    );
  }
}

function systemctl(...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync('systemctl', args, { encoding: 'utf8' });
  if (status === 0) return;
  throw new EnvironmentError(
    'cli/no-systemd',
    `systemctl ${args.join(' ')}: ${error?.message ?? stderr.trim()}`,
    'journalctl -u sipalg says more',
  );
}
