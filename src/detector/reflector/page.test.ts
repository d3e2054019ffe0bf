/** The reflector's page: for whoever has the token, a result for whoever has its link, and nothing for anybody else. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import { test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { shareResult } from '../check/share.ts';
import { parseInvitation } from '../control/invitation.ts';
import { makeIdentity } from './certificate.ts';
import { defaultLimits } from './limits.ts';
import { MOST_RESULT_OCTETS } from './page.ts';
import { Reflector } from './reflector.ts';
import { defaultResultLimits, Results } from './results.ts';

const TOKEN = 'a-token-of-some-length';
const HOST = '127.0.0.1';
const identity = makeIdentity('reflector', new Date());

async function started() {
  const reflector = await Reflector.start({
    addresses: [{ local: HOST, public: HOST }],
    controlPorts: [0],
    ports: { sip: 0, sipTls: 0, other: [], control: 0, media: [], stun: [], dns: [] },
    identity,
    token: TOKEN,
    version: 'test',
    limits: defaultLimits,
    tell: () => {},
  });
  return { reflector, [Symbol.asyncDispose]: () => reflector.close() };
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

function get(port: number, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: HOST, port, path, agent: false, rejectUnauthorized: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
      });
      response.once('end', () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('with the token: what it is, and the command to run', async () => {
  await using lab = await started();
  const { controlPort, invitation } = lab.reflector;
  const { status, headers, text } = await get(controlPort, `/${TOKEN}`);
  assert.equal(status, 200);
  assert.ok(text.includes(`sipalg check ${invitation}`));
  assert.match(text, /SIP ALG/);
  assert.match(String(headers['content-security-policy']), /^sandbox; default-src 'none'/);
});

test('without it not an octet comes, whatever is asked', async () => {
  await using lab = await started();
  const { controlPort } = lab.reflector;
  for (const text of [
    'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
    'GET /wrong-token-of-some-length HTTP/1.1\r\n\r\n',
    `GET /${TOKEN}x HTTP/1.1\r\n\r\n`,
    `GET /${TOKEN}/other HTTP/1.1\r\nHost: x\r\n\r\n`,
    'GET /results/AAAAAAAAAAAAAAAAAAAAAA HTTP/1.1\r\nHost: x\r\n\r\n',
    'POST /results HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx',
    'POST /wrong/results HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n',
    'GET /x HTTP/1.1\r\nHost: x\r\nExpect: nonsense\r\n\r\n',
    'GET / HTTP/1.1\r\nNo colon\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
  ]) {
    const socket = connectTls({ host: HOST, port: controlPort, rejectUnauthorized: false });
    let octets = 0;
    socket.on('data', (chunk: Buffer) => {
      octets += chunk.length;
    });
    socket.on('error', () => {});
    socket.write(text);
    await once(socket, 'close');
    assert.equal(octets, 0, text);
  }
});

test('a result is left, and seen by its link; the page of somebody else can do nothing', async () => {
  await using lab = await started();
  const invitation = parseInvitation(lab.reflector.invitation)!;
  const html = '<!doctype html><h1>Nothing altered SIP.</h1><script>alert(1)</script>';
  const { address, expiresAt } = await shareResult(invitation, html);
  assert.ok(Math.abs(expiresAt - Date.now() - defaultResultLimits.lifetimeMs) < 60_000);
  const { status, headers, text } = await get(invitation.port, new URL(address).pathname);
  assert.deepEqual([status, text], [200, html]);
  assert.match(
    String(headers['content-security-policy']),
    /^sandbox; default-src 'none'; style-src 'unsafe-inline'/,
  );
  // Another key, a wrong token, and too much.
  const other = makeIdentity('other', new Date());
  assert.notEqual(other.certificate, identity.certificate);
  await assert.rejects(shareResult({ ...invitation, pin: 'A'.repeat(43) }, html), /another key/);
  await assert.rejects(
    shareResult({ ...invitation, token: 'another-token-of-length' }, html),
    /takes no results/,
  );
  await assert.rejects(shareResult(invitation, 'x'.repeat(MOST_RESULT_OCTETS + 1)));
});

test('results expire, and the oldest make room for new ones', () => {
  const results = new Results({ results: 3, octets: 10, lifetimeMs: 1_000 });
  const text = (length: number): Uint8Array => new Uint8Array(length);
  const names = [1, 1, 1, 1].map((length, now) => results.add(text(length), now).name);
  assert.equal(results.count, 3);
  assert.equal(results.get(names[0]!, 4), undefined);
  assert.ok(results.get(names[1]!, 4) !== undefined);
  const big = results.add(text(9), 5);
  assert.equal(big.expiresAt, 1_005);
  assert.equal(results.count, 2);
  assert.equal(results.get(names[3]!, 1_003), undefined);
  assert.ok(results.get(big.name, 1_004) !== undefined);
  assert.equal(results.get(big.name, 1_005), undefined);
  assert.equal(results.count, 0);
});
