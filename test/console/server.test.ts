/** The API of a gateway that runs (the explicit mode, which needs no root): who may ask, what it costs, and what a change does. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Program } from '../../demo/program.ts';
import { MOST_STREAMS } from '../../src/console/live.ts';
import { routes } from '../../src/console/routes.ts';
import { root, sipalg } from '../cli/program.ts';

const dir = mkdtempSync(join(tmpdir(), 'sipalg-console-'));
const file = join(dir, 'sipalg.toml');
const CONFIG = '# Ours.\n[log]\nlevel = "info" # as ever\n';
/** An address of 127/8 for every run, so that runs do not meet. */
const HOST = `127.62.${(process.pid >> 8) & 255}.${process.pid & 255}`;
const PORT = 8060;
let gateway: Program;
let token: string;

before(async () => {
  writeFileSync(file, CONFIG);
  gateway = new Program(
    'sipalg gateway',
    spawn(
      `${root}bin/sipalg`,
      [
        ...['gateway', '--listen', `${HOST}:15060`, '--state-dir', dir, '--config', file, '--json'],
        ...['--console', `${HOST}:${PORT}`],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    ),
  );
  await gateway.says(/"msg":"ready"/, 20_000);
  token = readFileSync(join(dir, 'console-token'), 'utf8').trim();
});

after(async () => {
  await gateway.stop();
  rmSync(dir, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
}

function ask(
  method: string,
  path: string,
  {
    body,
    headers = {},
  }: { readonly body?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request(
      {
        host: HOST,
        port: PORT,
        method,
        path,
        agent: false,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, text }),
        );
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

function codeIn({ text }: Answer): unknown {
  return (JSON.parse(text) as { error?: { code?: unknown } }).error?.code;
}

const put = (path: string, body: object): Promise<Answer> => ask('PUT', path, { body: JSON.stringify(body) });

test('the ready line and `sipalg console` have the address; token and address are nobody else’s to read', () => {
  const address = `http://${HOST}:${PORT}/#token=${token}`;
  assert.ok(gateway.lines.entries.some((line) => line.includes(`"console":"${address}"`)));
  assert.equal(sipalg(['console', '--state-dir', dir]).out, `${address}\n`);
  for (const name of ['console-token', 'console-address'])
    assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
  const nobody = sipalg(['console', '--state-dir', join(dir, 'nothing')]);
  assert.equal(nobody.code, 1);
  assert.match(nobody.err, /no gateway with a console runs/);
});

test('every route of the table is there, described, and shut without the token', async () => {
  const described = JSON.parse((await ask('GET', '/api/v1/openapi.json')).text) as {
    readonly openapi: string;
    readonly paths: Readonly<Record<string, Readonly<Record<string, object>>>>;
  };
  assert.match(described.openapi, /^3\.1/);
  for (const { id, method, path } of routes) {
    const shown = `/api/v1${path.replaceAll(/:(\w+)/g, '{$1}')}`;
    assert.ok(described.paths[shown]?.[method] !== undefined, `${method} ${shown}`);
    if (id === 'openapi') continue;
    const real = `/api/v1${path.replaceAll(/:\w+/g, 'x')}`;
    const options = method === 'get' || method === 'delete' ? {} : { body: '{}' };
    for (const authorization of ['', 'Bearer wrong']) {
      const refused = await ask(method.toUpperCase(), real, { ...options, headers: { authorization } });
      assert.deepEqual([refused.status, codeIn(refused)], [401, 'console/wrong-token'], id);
    }
  }
  assert.equal((await ask('GET', '/api/v1/overview')).status, 200);
  assert.equal((await ask('GET', '/api/v1/nothing')).status, 404);
});

test('another name, another site and a form are refused, with the right token too', async () => {
  const codes = async (method: string, headers: Readonly<Record<string, string>>) =>
    codeIn(await ask(method, '/api/v1/switch', { body: '{"position":"off"}', headers }));
  assert.equal(await codes('POST', { host: 'evil.example' }), 'console/wrong-host');
  assert.equal(await codes('POST', { origin: 'http://evil.example' }), 'console/other-site');
  assert.equal(await codes('POST', { 'sec-fetch-site': 'cross-site' }), 'console/other-site');
  assert.equal(await codes('POST', { 'content-type': 'text/plain' }), 'console/not-json');
  assert.equal((await ask('GET', '/', { headers: { host: 'evil.example' } })).status, 403);
  assert.equal(JSON.parse((await ask('GET', '/api/v1/overview')).text).switch, 'on');
});

test('every answer forbids what a page could be made to do', async () => {
  for (const path of ['/', '/api/v1/overview', '/api/v1/nothing']) {
    const { headers } = await ask('GET', path);
    assert.match(
      String(headers['content-security-policy']),
      /^default-src 'none'; script-src 'self'; style-src 'self';/,
    );
    assert.doesNotMatch(String(headers['content-security-policy']), /unsafe|\*|http/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.equal(headers['access-control-allow-origin'], undefined);
    assert.equal(headers['set-cookie'], undefined);
  }
});

test('bodies are bounded, and have to be JSON objects', async () => {
  const long = JSON.stringify({ position: 'x'.repeat(100_000) });
  assert.equal(codeIn(await ask('POST', '/api/v1/switch', { body: long })), 'console/too-long');
  assert.equal(
    codeIn(await ask('POST', '/api/v1/switch', { body: long, headers: { 'transfer-encoding': 'chunked' } })),
    'console/too-long',
  );
  for (const body of ['', '[]', '{', 'null', '{"position":"sideways"}']) {
    const { status } = await ask('POST', '/api/v1/switch', { body });
    assert.equal(status, 400, body);
  }
});

test('a setting is validated as the file is, written back with its comments, and followed', async () => {
  const wrong = await put('/api/v1/settings/log.level', { value: 'loud' });
  assert.equal(wrong.status, 422);
  const { error } = JSON.parse(wrong.text) as { readonly error: { readonly problems: readonly object[] } };
  assert.deepEqual(error.problems, [
    {
      code: 'config/not-one-of',
      file,
      line: 3,
      column: 9,
      what: 'log.level: "loud" is none of "error", "warn", "info", "debug"',
      remedy: 'write "error" or "warn" or "info" or "debug"',
    },
  ]);
  assert.equal(readFileSync(file, 'utf8'), CONFIG);
  const right = await put('/api/v1/settings/log.level', { value: 'debug' });
  assert.equal(right.status, 200);
  assert.equal(readFileSync(file, 'utf8'), CONFIG.replace('"info"', '"debug"'));
  const { settings } = JSON.parse(right.text) as {
    readonly settings: readonly {
      readonly key: string;
      readonly from: string;
      readonly value: unknown;
      readonly line?: number;
    }[];
  };
  const of = (key: string) => settings.find((one) => one.key === key);
  assert.deepEqual(
    [of('log.level')?.value, of('log.level')?.from, of('log.level')?.line],
    ['debug', 'file', 3],
  );
  assert.equal(of('listen')?.from, 'command line');
  assert.equal(of('media.ports')?.from, 'default');
  await gateway.says(/"msg":"reloaded"/, 2_000);
  // What the command line says, no file can change.
  assert.equal((await put('/api/v1/settings/listen', { value: ['127.0.0.1:5060'] })).status, 422);
  assert.equal((await put('/api/v1/settings/no.such', { value: 1 })).status, 422);
});

test('a phone and a provider get their switches in the file; what cannot be is refused with a reason', async () => {
  assert.equal((await put('/api/v1/phones/192.168.1.9', { mode: 'off' })).status, 200);
  assert.equal((await put('/api/v1/providers/198.51.100.5', { mode: 'assist' })).status, 200);
  assert.match(
    readFileSync(file, 'utf8'),
    /# as ever[\s\S]*\[\[phone\]\]\naddress = "192\.168\.1\.9"\nmode = "off"\n[\s\S]*\[\[provider\]\]\nname = "198\.51\.100\.5"/,
  );
  const { phones, providers } = JSON.parse((await ask('GET', '/api/v1/phones')).text);
  assert.deepEqual(phones, [{ address: '192.168.1.9', mode: 'off', rows: [] }]);
  assert.equal(providers[0].mode, 'assist');
  // In the explicit mode nothing can be observed.
  const observed = await put('/api/v1/phones/192.168.1.9', { mode: 'observe' });
  assert.equal(observed.status, 422);
  assert.match(observed.text, /config\/observe-explicit/);
  assert.equal((await put('/api/v1/phones/nonsense', { mode: 'off' })).status, 422);
  assert.equal((await put('/api/v1/phones/192.168.1.9', { mode: 'loud' })).status, 400);
});

test('the switch is followed when the answer comes, and is the one of `sipalg on`', async () => {
  const off = await ask('POST', '/api/v1/switch', { body: '{"position":"off"}' });
  assert.equal(JSON.parse(off.text).switch, 'off');
  assert.equal(readFileSync(join(dir, 'switch'), 'utf8'), 'off\n');
  assert.match(off.text, /switched off/);
  const on = await ask('POST', '/api/v1/switch', { body: '{"position":"on"}' });
  assert.equal(JSON.parse(on.text).switch, 'on');
});

test('a hundred idle event streams: the first few are served, the rest refused, and others still get answers', async () => {
  const sockets = Array.from({ length: 100 }, () => connect(PORT, HOST));
  try {
    const heads = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<string>((resolve) => {
            socket.on('error', () => resolve('refused'));
            socket.once('close', () => resolve('refused'));
            socket.once('data', (data) => resolve(data.toString().split('\r\n', 1)[0]!));
            socket.write(
              `GET /api/v1/live HTTP/1.1\r\nHost: ${HOST}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
            );
          }),
      ),
    );
    assert.equal(heads.filter((head) => head.includes(' 200 ')).length, MOST_STREAMS);
    assert.equal(heads.filter((head) => head.includes(' 503 ')).length, 100 - MOST_STREAMS);
    assert.equal((await ask('GET', '/api/v1/overview')).status, 200);
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

test('what does not end its request is hung up on', async () => {
  const socket = connect(PORT, HOST);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  socket.on('error', () => {});
  socket.resume();
  socket.write(`GET /api/v1/overview HTTP/1.1\r\nX: ${'x'.repeat(20_000)}`);
  await closed;
});

test('where the usual port is taken it is another one, and both gateways have a console', async () => {
  const gateways = [1, 2].map((n) => {
    const state = mkdtempSync(join(tmpdir(), 'sipalg-console-'));
    const args = ['gateway', '--listen', `${HOST}:${16_000 + n}`, '--state-dir', state, '--json'];
    const program = new Program(
      'sipalg gateway',
      spawn(`${root}bin/sipalg`, args, { stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    return { program, state };
  });
  try {
    const ready = await Promise.all(gateways.map(({ program }) => program.says(/"msg":"ready"/, 20_000)));
    const addresses = ready.map((line) => (JSON.parse(line) as { readonly console?: string }).console ?? '');
    for (const address of addresses) assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/#token=[\w-]{43}$/);
    assert.notEqual(new URL(addresses[0]!).port, new URL(addresses[1]!).port);
  } finally {
    for (const { program, state } of gateways) {
      await program.stop();
      rmSync(state, { recursive: true, force: true });
    }
  }
});
