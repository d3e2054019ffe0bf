/** Who may ask: each of the three questions keeps a stranger's page out by itself. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refuseStranger, refuseWithoutToken } from '../../src/console/guard.ts';

const admission = { token: 'T'.repeat(43), names: ['gateway.example'] };

function asked(method: string, fields: Readonly<Record<string, string>>) {
  return { method, header: (name: string) => fields[name] };
}

function codeOf(method: string, fields: Readonly<Record<string, string>>): string | undefined {
  return refuseStranger(asked(method, fields), admission)?.code;
}

test('by its address and by the names of the configuration, and by no other name', () => {
  for (const host of [
    '127.0.0.1:8060',
    '127.0.0.1',
    'localhost:8060',
    'LOCALHOST',
    '[::1]:8060',
    '192.168.1.1:8060',
    'gateway.example',
    'Gateway.Example:443',
  ])
    assert.equal(codeOf('GET', { host }), undefined, host);
  for (const host of [
    'evil.example:8060',
    'localhost.evil.example',
    '127.0.0.1.evil.example',
    '127.0.0.1:8060@evil.example',
    '[::1].evil.example',
    'localhost:8060, evil.example',
    '',
    ' localhost',
  ])
    assert.equal(codeOf('GET', { host }), 'console/wrong-host', host);
  assert.equal(codeOf('GET', {}), 'console/wrong-host');
});

test('what another page asks for is refused', () => {
  const host = '127.0.0.1:8060';
  const json = { host, 'content-type': 'application/json' };
  assert.equal(codeOf('POST', json), undefined);
  assert.equal(codeOf('POST', { ...json, origin: `http://${host}` }), undefined);
  assert.equal(codeOf('POST', { ...json, 'sec-fetch-site': 'same-origin' }), undefined);
  for (const origin of [
    'http://evil.example',
    'null',
    'http://127.0.0.1:9999',
    `http://${host}.evil.example`,
  ])
    assert.equal(codeOf('POST', { ...json, origin }), 'console/other-site', origin);
  for (const site of ['cross-site', 'same-site'])
    assert.equal(codeOf('GET', { host, 'sec-fetch-site': site }), 'console/other-site', site);
  // A link on another page opens the console, and no more.
  assert.equal(
    codeOf('GET', { host, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }),
    undefined,
  );
  // What a form can send.
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data'])
    assert.equal(codeOf('POST', { host, 'content-type': type }), 'console/not-json', type);
  assert.equal(codeOf('PUT', { host }), 'console/not-json');
});

test('the token, and nothing that is like it', () => {
  const { token } = admission;
  const refused = (authorization?: string): boolean =>
    refuseWithoutToken(asked('GET', authorization === undefined ? {} : { authorization }), admission) !==
    undefined;
  assert.equal(refused(`Bearer ${token}`), false);
  assert.equal(refused(`bearer ${token}`), false);
  for (const wrong of [
    undefined,
    '',
    'Bearer',
    'Bearer ',
    token,
    `Basic ${token}`,
    `Bearer ${token}x`,
    `Bearer ${token.slice(1)}`,
    `Bearer ${token.toLowerCase()}`,
    `Bearer ${'T'.repeat(100_000)}`,
  ])
    assert.equal(refused(wrong), true, String(wrong).slice(0, 60));
});
