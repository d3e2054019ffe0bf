/** `sipalg reflector`: the other end of `sipalg check`, on a host on the Internet. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CONTROL_PORT } from '../detector/control/invitation.ts';
import { type NameRecords, namesOf } from '../detector/control/names.ts';
import { keptIdentity } from '../detector/reflector/identity.ts';
import { defaultLimits } from '../detector/reflector/limits.ts';
import { ownAddresses, parseOwnAddress } from '../detector/reflector/own-address.ts';
import { defaultPorts, Reflector, type ReflectorEvent } from '../detector/reflector/reflector.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';

export interface ReflectorOptions {
  readonly address?: readonly string[];
  readonly name?: string;
  readonly controlPort?: string;
  readonly stateDir?: string;
  readonly newToken?: boolean;
  readonly domain?: string;
  readonly json?: boolean;
}

/** Where 443 cannot be had, another port does as well: the invitation names it. */
const OTHER_CONTROL_PORT = 8443;

export async function reflector(options: ReflectorOptions, version: string): Promise<number> {
  const addresses = options.address?.map(readOwnAddress) ?? ownAddresses();
  const asked = options.controlPort === undefined ? undefined : readPort(options.controlPort);
  const identity = keptIdentity(options.stateDir ?? detectorStateDir(), new Date(), options.newToken);
  const say = options.json === true ? sayJson : sayText;
  const names = options.domain === undefined ? undefined : await keptNames(readDomain(options.domain));
  const running = await Reflector.start({
    addresses,
    name: options.name,
    controlPorts: asked === undefined ? [CONTROL_PORT, OTHER_CONTROL_PORT] : [asked],
    ports: defaultPorts,
    identity,
    token: identity.token,
    version,
    ...(names === undefined ? {} : { names: () => names.current }),
    limits: defaultLimits,
    tell: say,
  });
  const { invitation } = running;
  if (options.json === true) {
    const places = running.places.map(({ transport, role, address, port }) => ({
      transport,
      role,
      address,
      port,
    }));
    process.stdout.write(`${JSON.stringify({ msg: 'ready', invitation, places })}\n`);
  } else process.stdout.write(readyText(running, invitation));
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  names?.stop();
  await running.close();
  return exitCode.ok;
}

/** What the domain has for SIP, looked up again every few minutes. */
async function keptNames(domain: string): Promise<{ current: readonly NameRecords[]; stop(): void }> {
  const current = await namesOf(domain);
  if (current.length === 0)
    throw new UsageError(
      `--domain ${domain}: this machine’s resolver knows no address, SRV or NAPTR record of it`,
      'name the domain that stands behind the @ of your phones’ addresses, or leave it out',
    );
  const timer = setInterval(() => {
    void namesOf(domain).then((now) => {
      if (now.length > 0) kept.current = now;
    });
  }, NAMES_EVERY_MS);
  const kept = { current: current as readonly NameRecords[], stop: () => clearInterval(timer) };
  return kept;
}

const NAMES_EVERY_MS = 5 * 60_000;

function readDomain(text: string): string {
  if (
    /^(?=.{1,253}$)(?:[a-z0-9_](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i.test(
      text,
    )
  )
    return text;
  throw new UsageError(`--domain ${text}: not a domain name`, 'such as sip.example.com');
}

/** `/var/lib/sipalg` for root, else where the XDG base directory specification puts state. */
export function detectorStateDir(): string {
  if (process.getuid?.() === 0) return '/var/lib/sipalg';
  const { XDG_STATE_HOME } = process.env;
  return join(
    XDG_STATE_HOME === undefined || XDG_STATE_HOME === '' ? join(homedir(), '.local/state') : XDG_STATE_HOME,
    'sipalg',
  );
}

function readyText(running: Reflector, invitation: string): string {
  const byAddress = new Map<string, string[]>();
  for (const { transport, address, port } of running.places) {
    const list = byAddress.get(address) ?? [];
    list.push(`${transport}/${port}`);
    byAddress.set(address, list);
  }
  const lines = [...byAddress].map(([address, list]) => `  ${address}: ${list.join(' ')}\n`);
  return `The reflector listens, with the control channel on port ${running.controlPort}:
${lines.join('')}
On a machine behind the router in question:

  sipalg check ${invitation}

The same in plain words, for people to be sent there; browsers warn of the certificate, which is the reflector's own:

  https://${invitation.split('/', 2).join('/')}

A firewall in front of this host has to let these ports in. Whoever has this line may use the reflector; a new one comes
with --new-token. Ctrl-C ends it.
`;
}

function sayText(event: ReflectorEvent): void {
  const { event: name, ...rest } = event;
  const facts = Object.entries(rest).map(([key, value]) => `${key}=${value}`);
  process.stderr.write(`${new Date().toISOString()} ${name} ${facts.join(' ')}\n`);
}

function sayJson(event: ReflectorEvent): void {
  const { event: msg, ...rest } = event;
  process.stdout.write(`${JSON.stringify({ msg, ...rest })}\n`);
}

function readOwnAddress(text: string) {
  const own = parseOwnAddress(text);
  if (own === undefined)
    throw new UsageError(
      `--address ${text}: not an address`,
      'write ADDRESS, or LOCAL=PUBLIC where a cloud translates one to one, such as 10.0.0.4=203.0.113.10',
    );
  return own;
}

function readPort(text: string): number {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65_535)
    throw new UsageError(`--control-port ${text}: not a port`, 'a number from 1 to 65535');
  return port;
}
