/**
 * Values that are looked up on the device: a FortiGate (a simulator) whose entry has a number of its own, which is deleted, and
 * put back as it was, by another run, from what was kept.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadCatalogue, recipeFolder } from '../../src/routers/catalogue.ts';
import { type ChangeHooks, Changer } from '../../src/routers/change.ts';
import { openDevice } from '../../src/routers/drive/device.ts';
import { HostKeys } from '../../src/routers/drive/host-keys.ts';
import { KeptValues } from '../../src/routers/kept.ts';
import type { Procedure } from '../../src/routers/schema.ts';
import { fillStep, shownLine } from '../../src/routers/values.ts';
import { FortiGate } from './fortigate.ts';
import { PASSWORD, sshSimulator, USER } from './simulator.ts';

const { recipes } = loadCatalogue(recipeFolder()!);
const procedure = procedureOf('fortinet-fortigate', 'console');
const stateDir = mkdtempSync(join(tmpdir(), 'sipalg-values-'));
after(() => rmSync(stateDir, { recursive: true, force: true }));

function procedureOf(recipe: string, id: string): Procedure {
  const found = recipes.find((one) => one.id === recipe)?.procedures.find((one) => one.id === id);
  assert.ok(found !== undefined, `${recipe} ${id}`);
  return found;
}

async function withChanger<T>(
  device: FortiGate,
  hooks: Partial<ChangeHooks>,
  work: (changer: Changer) => Promise<T>,
): Promise<T> {
  await using simulator = await sshSimulator(device);
  const open = () =>
    openDevice(
      device.procedure,
      {
        host: '127.0.0.1',
        port: simulator.port,
        credentials: { user: USER, password: PASSWORD, agent: undefined },
        hostKeys: new HostKeys(mkdtempSync(join(stateDir, 'keys-'))),
        acceptHostKey: async () => true,
        connectMs: 5_000,
        answerMs: 10_000,
      },
      ['ssh'],
    );
  const changer = new Changer(await open(), device.procedure, {
    tell: () => {},
    backUp: () => {},
    reopen: open,
    ...hooks,
  });
  try {
    return await work(changer);
  } finally {
    changer.close();
  }
}

describe('a FortiGate', { concurrency: 8 }, () => {
  test('the entry of sip is looked up, deleted, and put back as it was', async () => {
    const device = new FortiGate(procedure);
    const before = structuredClone([[...device.helpers], [...device.settings]]);
    const kept = new KeptValues(stateDir, '127.0.0.1', 'fortinet-fortigate', 'console');
    const off = await withChanger(
      device,
      { backUp: (_before, _exchanges, values) => kept.write(values) },
      (changer) => changer.change('off'),
    );
    assert.deepEqual([off.before, off.after, off.left], ['on', 'off', []]);
    assert.ok(device.heard.includes('delete 12'), device.heard.join('\n'));
    assert.deepEqual([...device.helpers.keys()], [1, 13]);
    assert.equal(device.settings.get('sip-expectation'), 'disable');

    // Days later, another process.
    const again = new KeptValues(stateDir, '127.0.0.1', 'fortinet-fortigate', 'console').read(procedure);
    assert.deepEqual(Object.fromEntries(again), {
      mode: 'proxy-based',
      helper: '12',
      protocol: '17',
      port: '5070',
      expectation: 'enable',
      trace: 'enable',
    });
    const on = await withChanger(device, { kept: again }, (changer) => changer.change('on'));
    assert.deepEqual([on.after, on.left], ['on', []]);
    assert.deepEqual(
      [new Map([...device.helpers].sort(([a], [b]) => a - b)), device.settings].map((m) => [...m]),
      before,
    );
  });

  test('switched off for a look at the wire, it is undone to what it was', async () => {
    const device = new FortiGate(procedure);
    device.settings.set('default-voip-alg-mode', 'kernel-helper-based');
    const before = [...device.settings];
    await withChanger(device, {}, async (changer) => {
      const switching = await changer.switchTo('off');
      assert.deepEqual([...device.helpers.keys()], [1, 13]);
      assert.equal(await changer.undo(switching), 'on');
    });
    assert.deepEqual([...device.settings], before);
    assert.deepEqual(device.helpers.get(12), { name: 'sip', protocol: '17', port: '5070' });
  });

  test('where nothing was kept, what can be put back is, and the rest is said', async () => {
    const device = new FortiGate(procedure);
    device.helpers.delete(12);
    device.settings.set('default-voip-alg-mode', 'kernel-helper-based');
    const on = await withChanger(device, {}, (changer) => changer.change('on'));
    assert.equal(on.after, 'on');
    assert.equal(device.settings.get('default-voip-alg-mode'), 'proxy-based');
    assert.match(
      on.left.join('\n'),
      /Nothing was kept of the number of the entry of the session helper whose name is sip/,
    );
    assert.ok(!device.heard.some((line) => line.startsWith('edit')));
  });

  test('a number that has been given to another entry meanwhile is left alone', async () => {
    const device = new FortiGate(procedure);
    device.helpers.set(12, { name: 'tftp', protocol: '17', port: '69' });
    device.settings.set('default-voip-alg-mode', 'kernel-helper-based');
    const kept = new Map([
      ['helper', '12'],
      ['protocol', '17'],
      ['port', '5060'],
    ]);
    await assert.rejects(
      withChanger(device, { kept }, (changer) => changer.change('on')),
      { code: 'routers/surprise' },
    );
    assert.equal(device.heard.at(-1), 'edit 12');
    assert.deepEqual(device.helpers.get(12), { name: 'tftp', protocol: '17', port: '69' });
  });

  test('a refusal in the middle ends it', async () => {
    const device = new FortiGate(procedure, 'refusal');
    await assert.rejects(
      withChanger(device, {}, (changer) => changer.change('off')),
      { code: 'routers/surprise' },
    );
    assert.equal(device.heard.at(-1), 'delete 12');
  });

  test('a value that is not what the recipe expects ends it before anything is changed', async () => {
    const device = new FortiGate(procedure);
    device.settings.set('default-voip-alg-mode', 'proxy-based;reboot');
    await assert.rejects(
      withChanger(device, {}, (changer) => changer.change('off')),
      { code: 'routers/surprise', message: /"proxy-based;reboot" for the value of default-voip-alg-mode/ },
    );
    assert.equal(device.heard.length, 1);
  });

  test('a policy with a VoIP profile is for a person, and nothing is sent before that is done', async () => {
    const device = new FortiGate(procedure);
    device.policies = ['set voip-profile "default"'];
    await assert.rejects(
      withChanger(device, {}, (changer) => changer.change('off')),
      { code: 'routers/by-hand', message: /VoIP profile/ },
    );
    assert.equal(device.heard.length, procedure.check.length);
  });
});

test('the older words of FortiOS look the entry up as well', async () => {
  const older = procedureOf('fortinet-fortigate', 'console-before-6-2');
  const device = new FortiGate(older);
  device.settings.set('sip-helper', 'enable');
  await withChanger(device, {}, (changer) => changer.change('off'));
  assert.deepEqual([...device.helpers.keys()], [1, 13]);
  assert.equal(device.settings.get('sip-helper'), 'disable');
});

test('kept values that somebody has edited are not typed into a router', () => {
  const kept = new KeptValues(
    mkdtempSync(join(stateDir, 'edited-')),
    '127.0.0.1',
    'fortinet-fortigate',
    'console',
  );
  kept.write(new Map([['helper', '12']]));
  writeFileSync(
    kept.path,
    JSON.stringify({ '127.0.0.1 fortinet-fortigate console': { helper: '12\nreboot' } }),
  );
  assert.throws(() => kept.read(procedure), { code: 'routers/surprise' });
  writeFileSync(kept.path, '{');
  assert.throws(() => kept.read(procedure), { code: 'routers/state-not-readable' });
});

test('a line shows what is not known yet, and is written with what is', () => {
  const step = procedure.off.find(({ send }) => send?.startsWith('delete'))!;
  assert.equal(shownLine(step.send!), 'delete HELPER');
  assert.equal(fillStep(step, new Map([['helper', '7']])).send, 'delete 7');
});
