/** The console in a browser, in front of the real gateway: what a person sees and does there is what happens. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { first } from '../../demo/message.ts';
import { addresses } from '../../demo/network.ts';
import { Reflector } from '../../demo/reflector.ts';
import { Look } from './browser.ts';
import { eventually, inLab, labFile, talk } from './lab.ts';

const BOB = `sip:bob@${addresses.provider}`;
const HOSTILE = '"<img src=x onerror=alert(1)>\\u001b[2J" <sip:mallory@198.51.100.5>';

before(() => {
  execFileSync(process.execPath, ['scripts/build.ts', '--page', '--if-stale'], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
  });
});

labFile(
  'the console',
  ['chromium'],
  () => {
    test(
      'a call appears while it lives, with its ladder and its edits; the switches do what they say',
      {
        timeout: 90_000,
      },
      () =>
        inLab({}, async (lab) => {
          const gateway = await lab.startGateway({ config: '[log]\nreveal = true # for the test\n' });
          const provider = await lab.provider();
          const alice = await lab.phone({ rport: true });
          const seen: { method: string; via: string; contact: string }[] = [];
          provider.agent.wire.onRequest = wrap(provider.agent.wire.onRequest, (request) =>
            seen.push({
              method: request.start.split(' ')[0]!,
              via: first(request, 'via'),
              contact: first(request, 'contact'),
            }),
          );
          const look = await Look.open(lab, gateway);
          const { page } = look;
          assert.equal(await page.getByText('No phone has been seen yet.').count(), 1);
          await alice.register();

          await test('the call is live: who, what was corrected, and who hears whom', async () => {
            await look.to('Calls');
            const inside = await alice.call(BOB);
            const outside = await provider.agent.incoming();
            await inside.reached('ringing');
            outside.answer();
            await outside.reached('confirmed');
            await talk(inside, outside);
            const row = page.getByRole('link', {
              name: /alice@198\.51\.100\.5.*bob@198\.51\.100\.5.*talking/s,
            });
            await row.waitFor();
            await row.click();
            await page.getByText('Both sides hear each other.').waitFor();
            // The counters are the kernel's, both ways.
            for (const way of ['from the phone', 'to the phone'])
              assert.ok(
                Number(
                  /\d+/.exec((await page.locator('.direction', { hasText: way }).textContent()) ?? '')?.[0],
                ) > 0,
              );
            await page
              .getByRole('button', { name: /^INVITE bob.*from the phone to the provider, \d edits/ })
              .click();
            const invite = seen.find(({ method }) => method === 'INVITE')!;
            const after = await page.locator('.line.after').allTextContents();
            const clean = (line: string | undefined): string => (line ?? '').replace(/^\+\s*/, '');
            assert.equal(clean(after.find((line) => line.includes('Via:'))), `Via: ${invite.via}`);
            assert.equal(
              clean(after.find((line) => line.includes('Contact:'))),
              `Contact: ${invite.contact}`,
            );
            const change = page.locator('.change', { hasText: 'Contact:' });
            assert.equal((await change.locator('del').textContent()) ?? '', `${addresses.phone1}:5060`);
            assert.match((await change.textContent()) ?? '', /RFC 3261 §8\.1\.1\.8/);
            assert.match((await change.textContent()) ?? '', /contact\.host-port/);
            // Its end shows without anybody asking.
            await inside.hangup();
            await page.getByRole('button', { name: /^BYE / }).waitFor();
            await page.locator('.heading').getByText('ended').waitFor();
            await page.getByText('Both sides heard each other.').waitFor();
          });

          await test('one-way audio is said in words, on the call and on the overview', async () => {
            const inside = await alice.call(BOB, { talk: false });
            const outside = await provider.agent.incoming(3_000, 1);
            await inside.reached('ringing');
            outside.answer();
            await outside.reached('confirmed');
            await inside.media.hear(outside.hertz, 3_000);
            await look.to('Overview');
            const words = /One-way audio: the provider sends, but nothing comes from the phone/;
            await page.getByRole('heading', { name: 'What needs attention' }).waitFor();
            await page.locator('.attention').getByText(words).waitFor();
            await page.locator('.attention').getByRole('link', { name: 'Look' }).first().click();
            await page.locator('.verdict.bad').getByText(words).waitFor();
            assert.equal(await page.locator('.direction.silent').count(), 1);
            await inside.hangup();
          });

          await test('header fields full of markup are text', async () => {
            alice.wire
              .request(
                `MESSAGE ${BOB} SIP/2.0`,
                [
                  ['From', `${HOSTILE};tag=1`],
                  ['To', `<${BOB}>`],
                  ['Call-ID', '<script>alert(2)</script>'],
                  ['CSeq', '1 MESSAGE'],
                  ['Subject', '</div><script>alert(3)</script>'],
                ],
                '',
                { address: addresses.provider, port: 5060 },
              )
              .final(2_000)
              .catch(() => {});
            await look.to('Calls');
            await page.getByRole('button', { name: /^Other/ }).click();
            await page.locator('.call-row').first().click();
            await page.getByText('</div><script>alert(3)</script>').waitFor();
            await page.getByText('<img src=x onerror=alert(1)>').first().waitFor();
            assert.equal(await page.locator('img, #page script').count(), 0);
            assert.deepEqual(look.dialogs, []);
          });

          await test('the switch: the next message passes unchanged, and after it is on again it does not', async () => {
            await look.to('Overview');
            const power = page.getByRole('switch', { name: 'The whole gateway' });
            await power.click();
            await page.getByText('Off: your router treats phones like everything else').waitFor();
            assert.equal(readFileSync(join(gateway.stateDir, 'switch'), 'utf8'), 'off\n');
            const from = seen.length;
            alice.register(300, 500).catch(() => {});
            await eventually(() => seen.length > from, 4_000, 'a REGISTER through plain NAT');
            assert.match(seen[from]!.via, new RegExp(`UDP ${addresses.phone1}[:;]`));
            assert.match(seen[from]!.contact, new RegExp(`@${addresses.phone1}`));
            await power.click();
            await page.getByText('On: phone calls go through the gateway').waitFor();
            await alice.register();
            assert.match(seen.at(-1)!.contact, new RegExp(`@${addresses.routerExternal}`));
          });

          await test('the switch of one phone: it goes past the gateway, and the file says so', async () => {
            await look.to('Phones');
            const mode = page.getByRole('combobox', { name: `Phone ${addresses.phone1}` });
            await mode.selectOption('off');
            await page.getByText('left alone').waitFor();
            assert.match(
              readFileSync(join(gateway.stateDir, 'sipalg.toml'), 'utf8'),
              /reveal = true # for the test\n\n\[\[phone\]\]\naddress = "192\.168\.1\.10"\nmode = "off"\n/,
            );
            const from = seen.length;
            alice.register(300, 500).catch(() => {});
            await eventually(() => seen.length > from, 4_000, 'a REGISTER past the gateway');
            assert.match(seen[from]!.contact, new RegExp(`@${addresses.phone1}`));
            await mode.selectOption('auto');
            await page.getByText(/can be called|not registered/).waitFor();
          });

          await test('every page is free of barriers, complaints, and requests to anybody else', async () => {
            for (const [name, ready] of [
              ['Overview', 'The last calls'],
              ['Phones', 'What the switches mean'],
              ['Calls', 'Registrations'],
              ['Check', 'Earlier checks'],
              ['Routers', 'MikroTik'],
              ['Settings', 'log.reveal'],
            ] as const) {
              await look.to(name);
              await page.getByText(ready).first().waitFor();
              assert.deepEqual(await look.barriers(), [], name);
            }
            await look.to('Calls');
            await page.locator('.call-row').first().click();
            await page.locator('.message .change').first().waitFor();
            assert.deepEqual(await look.barriers(), [], 'a call');
            assert.deepEqual(look.complaints, []);
            assert.deepEqual(look.elsewhere, []);
            assert.deepEqual(look.dialogs, []);
          });

          await test('without the token there is a door and nothing else', async () => {
            await page.evaluate('localStorage.clear()');
            await page.goto(new URL('/calls', look.address).href);
            await page.getByRole('heading', { name: 'Open the console with its address' }).waitFor();
            await page.getByLabel('Address or token').fill('wrong');
            await page.getByRole('button', { name: 'Open' }).click();
            await page.getByRole('heading', { name: 'Open the console with its address' }).waitFor();
            await page.getByLabel('Address or token').fill(look.address);
            await page.getByRole('button', { name: 'Open' }).click();
            await page.getByRole('heading', { name: 'Calls' }).waitFor();
          });
        }),
    );

    test('a check from the console finds the ALG of the kernel', { timeout: 90_000 }, () =>
      inLab({ upstreamUdpTimeoutSeconds: 300 }, async (lab) => {
        lab.network
          .space('upstream')
          .run(
            'nft',
            ['-f', '-'],
            'table ip helper {\n ct helper kernel-sip { type "sip" protocol udp; }\n chain prerouting {\n  type filter hook prerouting priority filter;\n  udp dport 5060 ct helper set "kernel-sip"\n }\n}\n',
          );
        const gateway = await lab.startGateway();
        const reflector = await Reflector.open(lab.network);
        lab.defer(() => reflector.close());
        const look = await Look.open(lab, gateway);
        const { page } = look;
        await look.to('Check');
        await page.getByLabel('Reflector').fill('nonsense');
        await page.getByRole('button', { name: 'Start the check' }).click();
        await page.getByText('This is not what a reflector prints.').waitFor();
        await page.getByLabel('Reflector').fill(reflector.invitation);
        await page.getByRole('button', { name: 'Start the check' }).click();
        // Its steps are told as they are done.
        await page.getByText('The check runs').waitFor();
        await page.getByText('The path, with nothing on it that looks like SIP').waitFor();
        await page.getByRole('heading', { name: 'The verdict' }).waitFor({ timeout: 60_000 });
        assert.match(
          (await page.locator('.verdict.big').textContent()) ?? '',
          /alters SIP, and it does harm/,
        );
        assert.ok((await page.locator('.finding').count()) > 0);
        assert.match((await page.getByRole('main').textContent()) ?? '', /SDP-[A-Z]+/);
        assert.deepEqual(
          look.complaints.filter((text) => !text.includes('422')),
          [],
        );
        assert.deepEqual(look.elsewhere, []);
      }),
    );
  },
  2,
);

function wrap<Args extends readonly unknown[]>(
  handle: (...args: Args) => void,
  note: (...args: Args) => void,
): (...args: Args) => void {
  return (...args) => {
    note(...args);
    handle(...args);
  };
}
