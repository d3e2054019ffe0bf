/**
 * Takes the pictures of the console for docs/images from the demonstration, as a browser shows it: each page in light, some in dark
 * and at the width of a telephone. Needs root and Chromium; `--all` takes every page in every way, to look at.
 *
 *   node scripts/screenshots.ts [--to DIR] [--all]
 */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { type Browser, chromium, type Page } from 'playwright-core';

const root = fileURLToPath(new URL('..', import.meta.url));
const to = process.argv.indexOf('--to');
const folder = to < 0 ? join(root, 'docs', 'images') : resolve(process.argv[to + 1]!);
const DESKTOP = { width: 1120, height: 720 };
const all = process.argv.includes('--all');
const TELEPHONE = { width: 390, height: 844 };

interface Shot {
  readonly name: string;
  readonly path: string;
  /** What is waited for before the picture is taken. */
  readonly ready: (page: Page) => Promise<unknown>;
  /** Also in dark, and on a telephone. */
  readonly every?: boolean;
}

const shots: readonly Shot[] = [
  {
    name: 'overview',
    path: '/',
    ready: (page) => page.getByText('audio both ways').first().waitFor(),
    every: true,
  },
  { name: 'phones', path: '/phones', ready: (page) => page.getByText('can be called').first().waitFor() },
  { name: 'calls', path: '/calls', ready: (page) => page.locator('.call-row').nth(1).waitFor() },
  { name: 'call', path: '/calls', ready: openCall, every: true },
  { name: 'check', path: '/check', ready: runCheck },
  { name: 'routers', path: '/routers', ready: (page) => page.locator('.router-row').first().waitFor() },
  {
    name: 'router',
    path: '/routers/draytek-vigor-telnet',
    ready: (page) => page.getByText('Switch it off').first().waitFor(),
  },
  { name: 'settings', path: '/settings', ready: (page) => page.getByText('log.level').first().waitFor() },
];

mkdirSync(folder, { recursive: true });
const demo = spawn(join(root, 'bin', 'sipalg'), ['demo', '--json'], { stdio: ['ignore', 'pipe', 'inherit'] });
let browser: Browser | undefined;
try {
  const address = await consoleAddress();
  browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
  for (const scheme of ['light', 'dark'] as const)
    for (const [size, viewport] of [
      ['', DESKTOP],
      ['-telephone', TELEPHONE],
    ] as const) {
      const page = await browser.newPage({ viewport, colorScheme: scheme, deviceScaleFactor: 1 });
      await page.goto(address);
      await page.getByText('Switches for one phone').waitFor();
      for (const shot of shots) {
        if (!all && shot.every !== true && (size !== '' || scheme === 'dark')) continue;
        await page.goto(new URL(shot.path, address).href);
        await shot.ready(page);
        const file = join(folder, `console-${shot.name}${size}${scheme === 'dark' ? '-dark' : ''}.png`);
        await page.screenshot({ path: file });
        process.stdout.write(`${file}\n`);
      }
      await page.close();
    }
} finally {
  await browser?.close();
  demo.kill('SIGTERM');
  await new Promise((done) => demo.once('exit', done));
}

/** Once a call has ended, so that there is something to see. */
function consoleAddress(): Promise<string> {
  return new Promise((resolve, reject) => {
    let address: string | undefined;
    demo.once('exit', () => reject(new Error('the demonstration ended')));
    createInterface({ input: demo.stdout! }).on('line', (line) => {
      const said = JSON.parse(line) as {
        readonly kind: string;
        readonly address?: string;
        readonly text?: string;
      };
      if (said.kind === 'demo.console') address = said.address;
      if (said.kind === 'demo.step' && said.text?.startsWith('Call 3') === true && address !== undefined)
        resolve(address);
    });
  });
}

async function openCall(page: Page): Promise<void> {
  await page.locator('.call-row', { hasText: 'ended' }).first().click();
  await page.locator('.message .change').first().waitFor();
}

/** Once; afterwards its report is there. */
async function runCheck(page: Page): Promise<void> {
  await page.getByRole('heading', { name: 'Earlier checks' }).waitFor();
  const verdict = page.getByText('The verdict');
  if (!(await verdict.isVisible())) await page.getByRole('button', { name: 'Start the check' }).click();
  await verdict.waitFor({ timeout: 120_000 });
}
