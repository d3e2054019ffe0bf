/** Who a MAC address belongs to, by its first three octets. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Undefined where the prefix is of nobody who makes routers, or made up (the locally administered bit, IEEE 802). */
export function macVendor(mac: string, folder: string): string | undefined {
  const prefix = mac
    .toLowerCase()
    .replaceAll(/[^0-9a-f]/g, '')
    .slice(0, 6);
  if (prefix.length < 6 || (Number.parseInt(prefix.slice(0, 2), 16) & 2) !== 0) return undefined;
  let text: string;
  try {
    text = readFileSync(join(folder, 'mac-vendors.txt'), 'utf8');
  } catch {
    return undefined;
  }
  return text
    .split('\n')
    .find(
      (line) =>
        !line.startsWith('#') &&
        line
          .slice(line.indexOf('\t') + 1)
          .split(' ')
          .includes(prefix),
    )
    ?.split('\t')[0];
}
