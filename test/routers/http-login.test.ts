/** Logins to HTTP interfaces that take tokens, against simulators over real HTTP: when all goes well, and when it does not. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadCatalogue, recipeFolder } from '../../src/routers/catalogue.ts';
import { type Change, Changer, type Target } from '../../src/routers/change.ts';
import { openDevice } from '../../src/routers/drive/device.ts';
import type { RouterErrorCode } from '../../src/routers/drive/failure.ts';
import { HostKeys } from '../../src/routers/drive/host-keys.ts';
import type { Procedure } from '../../src/routers/schema.ts';
import { Hilink, httpDevice } from './hilink.ts';
import { PASSWORD, USER } from './simulator.ts';
import { UnifiConsole } from './unifi.ts';

const { recipes } = loadCatalogue(recipeFolder()!);
const stateDir = mkdtempSync(join(tmpdir(), 'sipalg-http-'));
after(() => rmSync(stateDir, { recursive: true, force: true }));

function procedureOf(recipe: string, id: string): Procedure {
  return recipes.find((one) => one.id === recipe)!.procedures.find((one) => one.id === id)!;
}

const hilink = procedureOf('huawei-e5330', 'hilink');
const older = procedureOf('huawei-e5330', 'hilink-older');
const unifi = procedureOf('ubiquiti-unifi', 'controller');
const sonic = procedureOf('sonicwall-sonicos', 'api');

interface Played {
  readonly change: Change | undefined;
  readonly error: (Error & { code?: RouterErrorCode }) | undefined;
  /** All that a person or a file would get to see. */
  readonly shown: string;
}

async function play(
  procedure: Procedure,
  device: { answer(request: IncomingMessage, body: string, response: ServerResponse): void },
  target: Target = 'off',
  password = PASSWORD,
): Promise<Played> {
  await using simulator = await httpDevice(device);
  const open = () =>
    openDevice(
      procedure,
      {
        host: '127.0.0.1',
        port: simulator.port,
        credentials: { user: USER, password, agent: undefined },
        hostKeys: new HostKeys(stateDir),
        acceptHostKey: async () => true,
        connectMs: 5_000,
        answerMs: 5_000,
      },
      ['http'],
    );
  const told: string[] = [];
  let changer: Changer | undefined;
  try {
    changer = new Changer(await open(), procedure, {
      tell: (_phase, line) => told.push(line),
      backUp: () => {},
      reopen: open,
    });
    const change = await changer.change(target);
    return { change, error: undefined, shown: JSON.stringify([told, change]) };
  } catch (error) {
    return { change: undefined, error: error as Error, shown: JSON.stringify([told, String(error)]) };
  } finally {
    changer?.close();
  }
}

describe('HiLink', { concurrency: 8 }, () => {
  for (const procedure of [hilink, older])
    test(`${procedure.id}: off and on, with the port that the device had`, async () => {
      const device = new Hilink('none', procedure === older);
      const off = await play(procedure, device);
      assert.equal(off.error, undefined);
      assert.deepEqual([off.change?.before, off.change?.after], ['on', 'off']);
      assert.deepEqual(device.sip, { status: '0', port: '5070' });
      assert.equal(device.logins, 1);
      const on = await play(procedure, device, 'on');
      assert.equal(on.change?.after, 'on');
      // Nothing was kept for this device, so it is the usual port.
      assert.deepEqual(device.sip, { status: '1', port: '5060' });
    });

  test('the password is not sent, and neither it nor a token is shown', async () => {
    const device = new Hilink();
    const { shown } = await play(hilink, device);
    assert.ok(!device.heard.join('\n').includes(PASSWORD));
    for (const secret of [PASSWORD, Buffer.from(PASSWORD).toString('base64'), 'SessionID='])
      assert.ok(!shown.includes(secret), secret);
  });

  test('a wrong password is tried once, and nothing after it', async () => {
    const device = new Hilink();
    const { error } = await play(hilink, device, 'off', 'not-the-password');
    assert.equal(error?.code, 'routers/wrong-password');
    assert.equal(device.logins, 1);
    assert.match(device.heard.at(-1)!, /^POST \/api\/user\/login/);
  });

  test('a session that has run out is made anew, once, and the request goes again', async () => {
    const device = new Hilink('expires');
    const { change } = await play(hilink, device);
    assert.equal(change?.after, 'off');
    assert.equal(device.logins, 2);
    assert.equal(device.heard.filter((line) => line.startsWith('POST /api/security/sip')).length, 2);
  });

  test('one that runs out again at once is given up', async () => {
    const device = new Hilink('expires-always');
    const { error } = await play(hilink, device);
    assert.equal(error?.code, 'routers/refused');
    assert.equal(device.logins, 2);
    assert.match(device.heard.at(-1)!, /^POST \/api\/security\/sip/);
  });

  for (const trouble of ['refusal', 'surprise'] as const)
    test(`nothing is sent after a ${trouble}`, async () => {
      const device = new Hilink(trouble);
      const { error } = await play(hilink, device);
      assert.equal(error?.code, 'routers/surprise');
      assert.match(device.heard.at(-1)!, /^POST \/api\/security\/sip/);
      assert.equal(device.sip.status, '1');
    });

  test('a setting that does not stick is set back, and is no success', async () => {
    const device = new Hilink('does-not-stick');
    const { error } = await play(hilink, device);
    assert.equal(error?.code, 'routers/not-applied');
    const posts = device.heard.filter((line) => line.startsWith('POST /api/security/sip'));
    assert.match(posts.at(-1)!, /<SipStatus>1<\/SipStatus><SipPort>5070</);
  });

  test('when it hangs up in the middle, it is asked anew, and set back', async () => {
    const device = new Hilink('hang-up');
    const { error } = await play(hilink, device);
    assert.equal(error?.code, 'routers/not-applied');
    assert.equal(device.logins, 3);
    assert.equal(device.sip.status, '1');
  });

  test('a device without the setting has no ALG', async () => {
    const { change } = await play(hilink, new Hilink('not-supported'));
    assert.deepEqual([change?.before, change?.changed], ['absent', false]);
  });

  test('the login of another generation is a surprise, and no password goes there', async () => {
    const device = new Hilink('none', true);
    const { error } = await play(hilink, device);
    assert.equal(error?.code, 'routers/surprise');
    assert.equal(device.logins, 0);
  });
});

describe('UniFi OS', { concurrency: 4 }, () => {
  test('off and on, with the id that the console has', async () => {
    const device = new UnifiConsole();
    const off = await play(unifi, device);
    assert.equal(off.error, undefined);
    assert.equal(off.change?.after, 'off');
    assert.equal(device.sipModule, false);
    assert.ok(device.heard.includes(`PUT /proxy/network/api/s/default/rest/setting/usg/${device.id}`));
    const on = await play(unifi, device, 'on');
    assert.equal(on.change?.after, 'on');
    assert.equal(device.sipModule, true);
  });

  test('a session that lasts for one answer only', async () => {
    const device = new UnifiConsole(1);
    const { change } = await play(unifi, device);
    assert.equal(change?.after, 'off');
    assert.ok(device.logins >= 3);
  });

  test('a wrong password, with quotation marks in it, is tried once', async () => {
    const device = new UnifiConsole();
    const { error } = await play(unifi, device, 'off', 'a"b\\c');
    assert.equal(error?.code, 'routers/wrong-password');
    assert.equal(device.logins, 1);
  });
});

test('SonicOS: a session by HTTP authentication, and what is pending takes effect before it is read back', async () => {
  const state = { enable: true, pending: undefined as boolean | undefined, session: false };
  const heard: string[] = [];
  const device = {
    answer(request: IncomingMessage, body: string, response: ServerResponse): void {
      heard.push(`${request.method} ${request.url}`);
      const right = `Basic ${Buffer.from(`${USER}:${PASSWORD}`).toString('base64')}`;
      const say = (status: number, value: object): void => {
        response.statusCode = status;
        response.end(JSON.stringify(value));
      };
      if (request.url === '/') return say(200, {});
      if (request.headers.authorization !== right) return say(401, { status: { success: false } });
      if (request.url === '/api/sonicos/auth') state.session = true;
      if (!state.session) return say(401, { status: { success: false } });
      if (request.method === 'GET') return say(200, { voip: { sip: { enable: state.enable } } });
      if (request.method === 'PUT')
        state.pending = (JSON.parse(body) as { voip: { sip: { enable: boolean } } }).voip.sip.enable;
      if (request.url === '/api/sonicos/config/pending') state.enable = state.pending ?? state.enable;
      return say(200, { status: { success: true } });
    },
  };
  const { change, error } = await play(sonic, device);
  assert.equal(error, undefined);
  assert.equal(change?.after, 'off');
  assert.equal(state.enable, false);
  const wrong = await play(sonic, device, 'on', 'nonsense');
  assert.equal(wrong.error?.code, 'routers/wrong-password');
});
