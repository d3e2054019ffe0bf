/** What preflight has to know of this machine, read from /proc, /sys, nft, ip and iptables-save. Nothing is changed. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { addressOf, type Endpoint } from '../core/net/address.ts';
import { FAMILIES, type Family, IPV4 } from './family.ts';
import { addressesOf } from './interfaces.ts';
import type { Json } from './json.ts';
import { shareExpression } from './phone-share.ts';
import { type PolicyRule, parseRules, ROUTE_TABLE } from './policy-route.ts';
import { type Run, readRulesetAside, runAside } from './program.ts';
import { renderRuleset, TABLE, WATCH_GROUP } from './ruleset.ts';

export interface InterfaceFacts {
  readonly addresses: readonly string[];
  readonly bridge: boolean;
  readonly up: boolean;
}

export interface MachineFacts {
  /** The effective set, as bits. */
  readonly capabilities: bigint;
  readonly programs: { readonly nft: boolean; readonly ip: boolean };
  readonly missingFeatures: readonly { readonly feature: string; readonly problem: string }[];
  readonly interfaces: ReadonlyMap<string, InterfaceFacts>;
  /** By its dotted name; undefined where the kernel has none. */
  readonly sysctl: (name: string) => string | undefined;
  readonly modules: ReadonlySet<string>;
  /** As `nft -j list ruleset` prints it. */
  readonly ruleset: Json;
  /** Rules of iptables that assign the SIP helper, as iptables-save prints them. */
  readonly iptablesHelpers: readonly string[];
  readonly rules: readonly PolicyRule[];
  /** Routes in our routing table that are not ours. */
  readonly foreignRoutes: readonly string[];
  readonly udpSockets: readonly Endpoint[];
}

export interface FactOptions {
  readonly internal: readonly string[];
  readonly external: readonly string[];
  readonly sipPorts?: readonly number[];
  readonly routeTable?: number;
  /** How many engines share the phones. Default 1. */
  readonly engines?: number;
}

export async function gatherFacts(options: FactOptions): Promise<MachineFacts> {
  // First of all: what a gateway that starts meanwhile opens, is not there yet.
  const atOnce = {
    capabilities: parseCapabilities(readText('/proc/self/status')),
    interfaces: readInterfaces(),
    modules: new Set(readDirectory('/sys/module')),
    udpSockets: parseUdpSockets(readText('/proc/net/udp') + readText('/proc/net/udp6')),
  };
  const [nft, ip] = await Promise.all([
    runAside('nft', ['--version']).then(isFine),
    runAside('ip', ['-V']).then(isFine),
  ]);
  const [missingFeatures, ruleset, iptablesHelpers, rules, foreignRoutes] = await Promise.all([
    nft ? probeFeatures(options) : [],
    nft ? readRulesetAside() : undefined,
    readIptablesHelpers(),
    ofBoth(async ({ option }) => parseRules((await runAside('ip', [option, '-j', 'rule', 'show'])).stdout)),
    ofBoth(({ option }) => readForeignRoutes(option, options.routeTable ?? ROUTE_TABLE)),
  ]);
  return {
    ...atOnce,
    programs: { nft, ip },
    missingFeatures,
    sysctl: (name) => {
      const text = readText(`/proc/sys/${name.replaceAll('.', '/')}`).trim();
      return text === '' ? undefined : text;
    },
    ruleset,
    iptablesHelpers,
    rules,
    foreignRoutes,
  };
}

function isFine({ status }: Run): boolean {
  return status === 0;
}

async function ofBoth<T>(read: (family: Family) => Promise<readonly T[]>): Promise<T[]> {
  return (await Promise.all(FAMILIES.map(read))).flat();
}

async function readIptablesHelpers(): Promise<string[]> {
  const programs = ['iptables-save', 'iptables-legacy-save'];
  const saved = await Promise.all(programs.map((program) => runAside(program, [])));
  return saved.flatMap(({ stdout }) => parseIptablesHelpers(stdout));
}

async function readForeignRoutes(option: string, table: number): Promise<string[]> {
  const { stdout } = await runAside('ip', [option, 'route', 'show', 'table', String(table)]);
  return stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('local default dev lo'));
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readDirectory(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** CapEff of /proc/self/status. */
export function parseCapabilities(status: string): bigint {
  const match = /^CapEff:\s*([0-9a-f]+)$/m.exec(status);
  return match === null ? 0n : BigInt(`0x${match[1]}`);
}

/** Local endpoints of /proc/net/udp and udp6: words of 32 bits in host order (little-endian), the port as a number. */
export function parseUdpSockets(text: string): Endpoint[] {
  const found: Endpoint[] = [];
  for (const match of text.matchAll(/^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) /gm)) {
    const octets = Buffer.from(match[1] ?? '', 'hex').swap32();
    found.push({ address: addressOf(octets), port: Number.parseInt(match[2] ?? '', 16) });
  }
  return found;
}

export function parseIptablesHelpers(save: string): string[] {
  return save.split('\n').filter((line) => /^-A .*-j CT\b.*--helper sip\b/.test(line));
}

function readInterfaces(): Map<string, InterfaceFacts> {
  return new Map(
    readDirectory('/sys/class/net').map((name) => [
      name,
      {
        addresses: [...addressesOf([name])],
        bridge: existsSync(`/sys/class/net/${name}/bridge`),
        up: (Number.parseInt(readText(`/sys/class/net/${name}/flags`), 16) & 1) === 1,
      },
    ]),
  );
}

const PROBE = 'sipalg_probe';
/** Wanted for several engines only. */
export const SHARES = 'shares of the phones';

/** Each kernel feature alone, in a chain that no packet passes. */
const FEATURES: Readonly<Record<string, string>> = {
  'the nftables family inet': '',
  tproxy: 'chain c { udp dport 5060 tproxy ip to 127.0.0.1:5060 }',
  socket: 'chain c { socket transparent 1 socket wildcard 0 accept; }',
  'ct timeout': 'ct timeout t { protocol udp; l3proto ip; policy = { unreplied : 1, replied : 1 }; }',
  'rates in sets':
    'set s { type ipv4_addr; size 8; flags dynamic,timeout; timeout 1s; } chain c { update @s { ip saddr limit rate over 1/second burst 2 packets } drop; }',
  'counters in sets': 'set s { type ipv4_addr; size 8; counter; }',
  fib: 'chain c { fib daddr type != unicast return; }',
  'sets with timeouts': 'set s { type inet_proto; flags timeout; }',
  IPv6: `chain c { udp dport 5060 tproxy ip6 to [::1]:5060; ip6 saddr fe80::/10 log group ${WATCH_GROUP} queue-threshold 1; }`,
  [SHARES]: `chain c { udp dport 5060 tproxy ip to 127.0.0.1:${shareExpression(IPV4, 2)} map { 0 : 5060, 1 : 5061 }; }`,
  'nat maps': `map m { type ipv4_addr . inet_service : ipv4_addr . inet_service; flags timeout; }
    chain c { type nat hook postrouting priority 99; snat ip to ip saddr . udp sport map @m; }`,
};

/**
 * The real ruleset under another name, made and deleted in one transaction: the kernel judges all of it, and none of it
 * ever takes effect. (`nft --check` asks the kernel nothing.) If that fails, each feature alone, to name the culprit.
 */
async function probeFeatures(options: FactOptions): Promise<{ feature: string; problem: string }[]> {
  let text: string;
  try {
    text = renderRuleset({
      internal: options.internal,
      external: options.external,
      sipPorts: options.sipPorts ?? [5060],
      listenPort: 5060,
      listenPort6: 5060,
      others: Array.from({ length: (options.engines ?? 1) - 1 }, () => ({
        listenPort: 5060,
        listenPort6: 5060,
      })),
    });
  } catch {
    // What is wrong with the options themselves is told elsewhere.
    return [];
  }
  const whole = await tryTransaction(text.replaceAll(`table inet ${TABLE}`, `table inet ${PROBE}`));
  if (whole === undefined) return [];
  const missing: { feature: string; problem: string }[] = [];
  for (const [feature, body] of Object.entries(FEATURES)) {
    if (feature === SHARES && (options.engines ?? 1) === 1) continue;
    const problem = await tryTransaction(`table inet ${PROBE} {\n${body}\n}\n`);
    if (problem !== undefined) missing.push({ feature, problem });
  }
  return missing.length > 0 ? missing : [{ feature: 'the ruleset', problem: whole }];
}

async function tryTransaction(text: string): Promise<string | undefined> {
  const result = await runAside('nft', ['-f', '-'], `${text}\ndelete table inet ${PROBE}\n`);
  if (result.status === 0) return undefined;
  return result.stderr.split('\n')[0]?.replace(/^\/dev\/stdin:[\d:-]+ /, '') ?? 'refused';
}
