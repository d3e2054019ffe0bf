/** A browser that looks at the console of a gateway in the lab, and everything that it should not do, noted. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, chromium, type Page } from 'playwright-core';
import { ConsoleFront } from '../../demo/console-front.ts';
import type { Gateway } from '../../demo/gateway.ts';
import type { Lab } from './lab.ts';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export class Look {
  readonly page: Page;
  readonly address: string;
  /** Errors of the page, and warnings of its policy. */
  readonly complaints: string[] = [];
  /** Where the page has asked for something, but for its own origin. */
  readonly elsewhere: string[] = [];
  readonly dialogs: string[] = [];

  private constructor(page: Page, address: string) {
    this.page = page;
    this.address = address;
    const { origin } = new URL(address);
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') this.complaints.push(message.text());
    });
    page.on('pageerror', (error) => this.complaints.push(String(error)));
    page.on('request', (request) => {
      if (new URL(request.url()).origin !== origin) this.elsewhere.push(request.url());
    });
    page.on('dialog', (dialog) => {
      this.dialogs.push(dialog.message());
      void dialog.dismiss();
    });
  }

  /** Opens the console at the address that people get. */
  static async open(lab: Lab, gateway: Gateway): Promise<Look> {
    const front = await ConsoleFront.open(gateway, 0);
    lab.defer(() => front.close());
    const browser: Browser = await chromium.launch({
      executablePath: '/usr/bin/chromium',
      args: ['--no-sandbox'],
    });
    lab.defer(() => browser.close());
    const page = await browser.newPage({ viewport: { width: 1180, height: 800 } });
    page.setDefaultTimeout(10_000);
    const look = new Look(page, front.address);
    await page.goto(front.address);
    await page.getByRole('heading', { name: 'Overview' }).waitFor();
    return look;
  }

  /** Through the page's own links, as somebody who clicks. */
  async to(name: string): Promise<void> {
    await this.page.getByRole('navigation').getByRole('link', { name }).click();
    await this.page.getByRole('heading', { level: 1 }).waitFor();
  }

  /** What axe finds, in light and dark: rule and place. It is run beside the page's policy, which would not let it in. */
  async barriers(): Promise<string[]> {
    const found: string[] = [];
    for (const colorScheme of ['light', 'dark'] as const) {
      await this.page.emulateMedia({ colorScheme });
      const session = await this.page.context().newCDPSession(this.page);
      const expression = `${AXE};axe.run(document, { resultTypes: ['violations'] }).then((r) =>
        JSON.stringify(r.violations.map((v) => v.id + ': ' + v.nodes.map((n) => n.target.join(' ')).join(', '))))`;
      const { result } = await session.send('Runtime.evaluate', {
        expression,
        awaitPromise: true,
        allowUnsafeEvalBlockedByCSP: true,
      });
      await session.detach();
      found.push(...(JSON.parse(String(result.value)) as string[]).map((one) => `${colorScheme}: ${one}`));
    }
    return found;
  }
}
