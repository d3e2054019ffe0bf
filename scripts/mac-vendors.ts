/**
 * Writes recipes/mac-vendors.txt: the MAC prefixes of those who make routers, from the public register of the IEEE (MA-L)
 * as Debian packages it (ieee-data). Run it after an update of that package.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const REGISTER = '/usr/share/ieee-data/oui.csv';
const makers =
  /^(?:2wire|actiontec|adtran|alcatel(?:-lucent)?\b(?! (?:space|alenia))|arcadyan|arris group|askey|asustek|avm (?:gmbh|audio)|barracuda|belkin|billion electric|bintec comm|calix|check point soft|cisco\b|comtrend|compal broadband|d-link|draytek|eero|f5 networks|fortinet|gemtek|google, inc|hitron tech|huawei tech|juniper networks|keenetic|lancom|linksys|meraki|mitrastar|netgear|nokia\b(?! (?:multimedia|danmark|wireless))|palo alto|peplink|pepwave|routerboard|mikrotik|sagemcom|sercomm|sonicwall|sophos|space exploration|starlink|technicolor|teltonika|uab "teltonika|tenda tech|the linksys|thomson telecom|thomson inc|tp-link|ubee|ubiquiti|untangle|vantiva|vodafone|watchguard tech|xiaomi|zte|zyxel)/i;

const vendors = new Map<string, string[]>();
for (const line of readFileSync(REGISTER, 'utf8').split('\n')) {
  const found = /^MA-L,([0-9A-F]{6}),(?:"((?:[^"]|"")*)"|([^,]*)),/.exec(line);
  const name = (found?.[2] ?? found?.[3] ?? '').replaceAll('""', '"').trim();
  if (found === null || !makers.test(name)) continue;
  vendors.set(name, [...(vendors.get(name) ?? []), found[1]!.toLowerCase()]);
}
const lines = [...vendors]
  .sort(([a], [b]) => (a.toLowerCase() < b.toLowerCase() ? -1 : 1))
  .map(([name, prefixes]) => `${name}\t${prefixes.sort().join(' ')}`);
const head = [
  '# Who the first three octets of a MAC address belong to: makers of routers only.',
  '# Source: IEEE Registration Authority, MA-L, https://standards-oui.ieee.org/oui/oui.csv, as in Debian ieee-data 20220827.',
  '# Written by scripts/mac-vendors.ts. A name, a tab, its prefixes.',
];
writeFileSync(
  join(import.meta.dirname, '..', 'recipes', 'mac-vendors.txt'),
  `${[...head, ...lines].join('\n')}\n`,
);
