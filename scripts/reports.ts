/**
 * Runs quick checks through boxes that exist and keeps what they say, as text, JSON and HTML. Needs root, the kernel's SIP helper and
 * Kamailio; takes about a minute.
 *
 *   node scripts/reports.ts    writes samples/reports/
 *
 * All addresses are those of the lab (RFC 1918, RFC 5737).
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { namespaceObstacle } from '../demo/namespace.ts';
import { KamailioBox } from '../test/detector/kamailio-box.ts';
import { BoxLab, type BoxOptions, helperObstacle } from '../test/detector/lab.ts';

interface Sample {
  readonly name: string;
  readonly box: BoxOptions;
  /** What is started in the box. */
  readonly start?: (lab: BoxLab) => Promise<unknown>;
}

const samples: readonly Sample[] = [
  { name: 'plain-nat', box: {} },
  { name: 'kernel-helper', box: { helper: true } },
  { name: 'kamailio-proxy', box: {}, start: (lab) => KamailioBox.start(lab) },
  { name: 'kamailio-rtpengine', box: {}, start: (lab) => KamailioBox.start(lab, { media: true }) },
  { name: 'sipalg-gateway', box: {}, start: (lab) => lab.gateway() },
];

const folder = fileURLToPath(new URL('../samples/reports/', import.meta.url));
const obstacle = namespaceObstacle() ?? helperObstacle();
if (obstacle === undefined) {
  mkdirSync(folder, { recursive: true });
  for (const { name, box, start } of samples) {
    using lab = new BoxLab(box);
    await start?.(lab);
    const invitation = await lab.reflector();
    const path = join(folder, name);
    const options = ['--quick', '--patience', '200', '--idle', '1'];
    const text = await lab.check(invitation, ...options, '--html', `${path}.html`);
    writeFileSync(`${path}.txt`, text.stdout.trimStart());
    writeFileSync(`${path}.json`, (await lab.check(invitation, ...options, '--json')).stdout);
    process.stdout.write(`wrote ${path}: exit code ${text.code}\n`);
  }
  process.exit();
}
process.stderr.write(`not written: ${obstacle}\n`);
process.exitCode = 1;
