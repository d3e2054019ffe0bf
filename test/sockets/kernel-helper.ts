/**
 * The kernel's own SIP helper in the router, with nothing of ours beside it: nf_conntrack_sip attached to the flows, as
 * nft does it (`ct helper … type "sip" protocol udp`), and nf_nat_sip doing the rewriting. Its settings are the kernel's.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { chain, type World } from './world.ts';

const SETTINGS = '/sys/module/nf_conntrack_sip/parameters';

export function attachHelper(world: World, ports: readonly number[]): void {
  // As routers have it: what nobody inside has asked for ends here, and leaves no entry that takes up a port.
  world.router.run(
    'nft',
    ['-f', '-'],
    `table ip firewall\ndelete table ip firewall\n${chain(
      'firewall',
      'filter hook input priority filter',
      'iifname "wan" ct state new drop',
    )}`,
  );
  const object = 'ct helper kernel-sip { type "sip" protocol udp; }';
  world.router.run(
    'nft',
    ['-f', '-'],
    `table ip helper\ndelete table ip helper\n${chain(
      'helper',
      'filter hook prerouting priority filter',
      `udp dport { ${ports.join(', ')} } ct helper set "kernel-sip"`,
      [object],
    )}`,
  );
}

/** Why there is no helper to compare with, or undefined. */
export function helperObstacle(world: World): string | undefined {
  try {
    attachHelper(world, [5060]);
    return undefined;
  } catch (error) {
    return `this kernel has no SIP helper: ${(error as Error).message.split('\n').at(-1)}`;
  }
}

/** `sip_direct_media=1` and the like; empty where the kernel does not tell. */
export function helperSettings(): string[] {
  try {
    return readdirSync(SETTINGS)
      .sort()
      .map((name) => `${name}=${readFileSync(`${SETTINGS}/${name}`, 'utf8').trim()}`);
  } catch {
    return [];
  }
}
