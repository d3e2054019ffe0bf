/**
 * Internal endpoints whose SIP the operator forwards himself (a PBX inside behind a port forward). They are never
 * intercepted: the PBX knows its own public address, and a second translation would break it.
 *
 * Found in three ways: written in the operator's nftables or iptables rules; flows of such forwards in the connection table; and,
 * while the gateway runs, learned by a rule of our own ruleset.
 */
import { type Address, type Endpoint, endpointKey, parseAddress } from '../core/net/address.ts';
import { type ConntrackEntry, IPS_DST_NAT } from './conntrack.ts';
import { field, type Json, list } from './json.ts';
import { TABLE } from './ruleset.ts';

/** Whether `port` is in what stands right of `dport`: a number, a range, or a set of both. */
export function containsPort(value: Json, port: number): boolean {
  if (typeof value === 'number') return value === port;
  const range = list(field(value, 'range'));
  if (range.length === 2) return Number(range[0]) <= port && port <= Number(range[1]);
  return list(field(value, 'set')).some((element) => containsPort(element, port));
}

/**
 * Static port forwards of SIP ports in what `nft -j list ruleset` prints: rules that `dnat` to an address, with a
 * destination port among `sipPorts` or with none (a whole host is forwarded).
 */
export function findForwards(
  ruleset: Json,
  sipPorts: readonly number[],
  transport: 'udp' | 'any' = 'udp',
): Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const item of list(field(ruleset, 'nftables'))) {
    const rule = field(item, 'rule');
    if (rule === undefined || field(rule, 'table') === TABLE) continue;
    const expressions = list(field(rule, 'expr'));
    const dnat = expressions.map((e) => field(e, 'dnat')).find((d) => d !== undefined);
    if (dnat === undefined) continue;
    const written = field(dnat, 'addr');
    const address = typeof written === 'string' ? parseAddress(written) : undefined;
    if (address === undefined) continue;
    let ports: readonly number[] = sipPorts;
    let tcpOnly = false;
    for (const expression of expressions) {
      const match = field(expression, 'match');
      const payload = field(field(match, 'left'), 'payload');
      if (field(payload, 'field') === 'dport') {
        ports = ports.filter((port) => containsPort(field(match, 'right'), port));
        if (field(payload, 'protocol') === 'tcp') tcpOnly = true;
      }
      if (
        field(field(field(match, 'left'), 'meta'), 'key') === 'l4proto' &&
        ['tcp', 6].includes(field(match, 'right') as string | number)
      )
        tcpOnly = true;
    }
    if (tcpOnly && transport === 'udp') continue;
    const target = field(dnat, 'port');
    for (const port of ports) {
      const e = { address, port: typeof target === 'number' ? target : port };
      found.set(endpointKey(e), e);
    }
  }
  return [...found.values()];
}

/** The same in what `iptables-save` prints; nft shows of such rules only that they are there. */
export function findIptablesForwards(
  save: string,
  sipPorts: readonly number[],
  transport: 'udp' | 'any' = 'udp',
): Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const line of save.split('\n')) {
    const destination = /^-A .*-j DNAT --to-destination (?:([\d.]+)|\[?([\da-f:.]+?)\]?)(?::(\d+))?$/.exec(
      line.trim(),
    );
    const [, address4, address6, target] = destination ?? [];
    const address = parseAddress(address4 ?? address6 ?? '');
    if (address === undefined || (transport === 'udp' && /(?:^| )-p tcp /.test(line))) continue;
    const wanted = / --dports? ([\d:,]+)/.exec(line)?.[1];
    const ranges = (wanted ?? '0:65535').split(',').map((part) => part.split(':').map(Number));
    for (const port of sipPorts) {
      if (!ranges.some(([first = 0, last = first]) => first <= port && port <= last)) continue;
      const e = { address, port: target === undefined ? port : Number(target) };
      found.set(endpointKey(e), e);
    }
  }
  return [...found.values()];
}

/**
 * Hosts to which SIP of any transport is forwarded. Their TCP connections leave from any port, so that the host is what
 * tells them.
 */
export function findForwardedHosts(ruleset: Json, save: string, sipPorts: readonly number[]): Address[] {
  const forwards = [
    ...findForwards(ruleset, sipPorts, 'any'),
    ...findIptablesForwards(save, sipPorts, 'any'),
  ];
  return [...new Set(forwards.map(({ address }) => address))];
}

/** Elements of the set of learned endpoints in what `nft -j list set inet sipalg forwarded` prints. */
export function readLearned(listing: Json): Endpoint[] {
  const found: Endpoint[] = [];
  for (const item of list(field(listing, 'nftables')))
    for (const element of list(field(field(item, 'set'), 'elem'))) {
      const value = field(field(element, 'elem'), 'val') ?? element;
      const [address, port] = list(field(value, 'concat'));
      const canonical = typeof address === 'string' ? parseAddress(address) : undefined;
      if (canonical !== undefined && typeof port === 'number') found.push({ address: canonical, port });
    }
  return found;
}

/** Internal endpoints with a live flow through one of the operator's forwards. */
export function forwardsInUse(entries: readonly ConntrackEntry[], sipPorts: readonly number[]): Endpoint[] {
  const found = new Map<string, Endpoint>();
  for (const entry of entries) {
    if ((entry.status & IPS_DST_NAT) === 0) continue;
    const inside = entry.reply.source;
    if (sipPorts.includes(inside.port)) found.set(endpointKey(inside), inside);
  }
  return [...found.values()];
}
