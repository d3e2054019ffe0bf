/** A reflector that speaks the protocol and lies: the check ends in time, with a report or a clear error, and prints nothing of it raw. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { createServer, type TLSSocket } from 'node:tls';
import { reportJson } from '../../src/cli/check-json.ts';
import { reportText } from '../../src/cli/check-text.ts';
import { Control } from '../../src/detector/check/control.ts';
import { Check } from '../../src/detector/check/run.ts';
import { pinOf } from '../../src/detector/control/invitation.ts';
import { PROTOCOL, toBase64 } from '../../src/detector/control/protocol.ts';
import { makeIdentity } from '../../src/detector/reflector/certificate.ts';

const HOST = '127.0.0.1';
const TAG = 'g'.repeat(30);
const identity = makeIdentity('reflector', new Date());
const pin = pinOf(identity.certificate);
const token = 't'.repeat(32);
/** Ports at which nobody listens, so that all that is said of them is a lie. */
const PLACES = [
  ...(['sip', 'other', 'control', 'media', 'media', 'media'] as const).map((role, i) => ({
    ...{ transport: 'udp', role, address: HOST, port: 9_100 + i },
  })),
  ...(['tcp', 'tls', 'wss'] as const).map((transport) => ({
    ...{ transport, role: 'sip', address: HOST, port: 1 },
  })),
].map((place, i) => ({ place: i, ...place }));

interface Order {
  readonly id: number;
  readonly kind: string;
  readonly bytes?: string;
  readonly place?: number;
}

/** A server with the right key, which welcomes everybody and does with each command what it is told. */
async function liar(answer: (order: Order, say: (line: object) => void) => void) {
  const sockets = new Set<TLSSocket>();
  const server = createServer({ key: identity.key, cert: identity.certificate }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    const say = (line: object): void => void socket.write(`${JSON.stringify(line)}\n`);
    let isWelcome = false;
    createInterface({ input: socket }).on('line', (line) => {
      if (isWelcome) return answer(JSON.parse(line) as Order, say);
      isWelcome = true;
      say({
        ...{ kind: 'welcome', protocol: PROTOCOL, version: '\x1b[2J', tag: TAG, lifetimeMs: 1e6, names: [] },
        ...{ you: { address: HOST, port: 1 }, places: PLACES },
      });
    });
  });
  server.listen(0, HOST);
  await once(server, 'listening');
  return {
    invitation: { host: HOST, port: (server.address() as AddressInfo).port, token, pin },
    [Symbol.asyncDispose]: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise<void>((resolve) => void server.close(() => resolve()));
    },
  };
}

const run = (invitation: Parameters<typeof Check.run>[0], ...steps: string[]) =>
  Check.run(invitation, {
    ...{ mode: 'quick', idleTimesMs: [50], tell: () => {} },
    only: steps.length === 0 ? undefined : new Set(steps),
    pace: { patienceMs: 50, tries: 2, gapMs: 0 },
  });

test('one that never answers is given up, with an error that says so', async () => {
  await using mute = await liar(() => {});
  const control = await Control.open(mute.invitation, 100);
  const outcome = await control.ask({ kind: 'ping' });
  assert.equal(outcome.ok ? '' : outcome.code, 'lost');
  const { code, message, hint } = await control.lost;
  assert.deepEqual(
    [code, message],
    ['detector/lost', 'the reflector has left a command without an answer for 0.1 s'],
  );
  assert.match(hint, /run it again/);
  control.close();
});

test('one that says that all is done and tells of nothing: no verdict', { timeout: 60_000 }, async () => {
  await using idle = await liar(({ id, kind }, say) => {
    if (kind !== 'end') say({ kind: kind === 'ping' ? 'pong' : 'done', id, at: 1 });
  });
  const { report } = await run(idle.invitation);
  assert.equal(report.verdict, 'inconclusive');
  assert.match(report.headline, /nothing can be said/);
});

test('one that tells of garbage, of floods, and of octets that nobody has sent', {
  timeout: 60_000,
}, async () => {
  const garbage = [
    '\x1b]0;owned\x07\x1b[2J'.repeat(60),
    `${TAG}gggg`.repeat(500),
    `SIP/2.0 200 \x1b[31mOK\r\nVia: ${'x'.repeat(9_000)}\r\n\r\n`,
    `REGISTER sip:${TAG}gggg@x SIP/2.0\r\nX-Probe: ${TAG}gggh\r\nContact: <sip:\x00@\x1b[5m>\r\n\r\n`,
  ].map((text) => toBase64(Buffer.from(text, 'latin1')));
  let serial = 0;
  let chatter: NodeJS.Timeout | undefined;
  await using loud = await liar(({ id, kind }, say) => {
    // Without being asked, and about every place at once.
    chatter ??= setInterval(() => {
      for (let i = 0; i < 40; i++)
        say({
          ...{ kind: 'datagram', place: i % PLACES.length, at: serial++ },
          ...{ from: { address: HOST, port: 1 + (serial % 60_000) }, bytes: garbage[i % garbage.length] },
        });
      say({ kind: 'limit', code: '\x1b[2J', why: '\x1b[2J' });
    }, 5);
    if (kind === 'end') return;
    say(
      kind === 'ping' ? { kind: 'pong', id, at: Number.MAX_SAFE_INTEGER } : { kind: 'done', id, at: -1e15 },
    );
  });
  const outcome = await run(loud.invitation, 'matrix', 'size', 'nat', 'place').catch(
    (error: unknown) => error as Error & { code?: string },
  );
  clearInterval(chatter);
  if (outcome instanceof Error) return assert.match(outcome.code ?? outcome.message, /^detector\//);
  const text = reportText(outcome.report, (same) => same, false);
  assert.doesNotMatch(text, /[\x00-\x08\x0b-\x1f\x7f]/);
  assert.ok(reportJson(outcome.report, undefined).length < 4_000_000);
});
