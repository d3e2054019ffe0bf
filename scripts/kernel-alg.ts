/**
 * Plays the scenarios through the kernel's own SIP helper and writes what came of it. Needs root and a kernel with
 * nf_conntrack_sip; takes about 20 seconds.
 *
 *   node scripts/kernel-alg.ts            writes docs/explanation/kernel-alg-compared.md
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { namespaceObstacle } from '../demo/namespace.ts';
import { kernelPage } from '../test/sockets/kernel-page.ts';
import { kernelObstacle, runKernelHelper } from '../test/sockets/kernel-run.ts';

const page = fileURLToPath(new URL('../docs/explanation/kernel-alg-compared.md', import.meta.url));

const obstacle = namespaceObstacle() ?? kernelObstacle();
if (obstacle === undefined) {
  mkdirSync(dirname(page), { recursive: true });
  writeFileSync(page, kernelPage(await runKernelHelper()));
  process.stdout.write(`wrote ${page}\n`);
} else {
  process.stderr.write(`not written: ${obstacle}\n`);
  process.exitCode = 1;
}
