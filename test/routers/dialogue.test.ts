/**
 * Every procedure of every recipe that a program can go, played against a simulator of its device: over real SSH, telnet
 * and HTTP, when all goes well and when it does not.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadCatalogue, recipeFolder } from '../../src/routers/catalogue.ts';
import { Changer, isDrivable, type Target } from '../../src/routers/change.ts';
import { openDevice } from '../../src/routers/drive/device.ts';
import type { RouterErrorCode } from '../../src/routers/drive/failure.ts';
import { HostKeys } from '../../src/routers/drive/host-keys.ts';
import type { Procedure, Recipe } from '../../src/routers/schema.ts';
import { type Way, waysOf } from '../../src/routers/ways.ts';
import {
  httpSimulator,
  Machine,
  PASSWORD,
  type Simulator,
  sentText,
  sshSimulator,
  type Trouble,
  telnetSimulator,
  USER,
} from './simulator.ts';

const { recipes } = loadCatalogue(recipeFolder()!);
const stateDir = mkdtempSync(join(tmpdir(), 'sipalg-dialogue-'));
after(() => rmSync(stateDir, { recursive: true, force: true }));

const playable = recipes.flatMap((recipe) =>
  recipe.procedures
    .filter(
      (procedure) =>
        waysOf(procedure).length > 0 && isDrivable(procedure, 'off') && isDrivable(procedure, 'on'),
    )
    // Those that look something up, or log in to HTTP, have simulators of their own: values.test.ts, http-login.test.ts.
    .filter(
      ({ check, login }) =>
        (login?.requests ?? []).length === 0 &&
        check.every(({ take, optional }) => take.length === 0 || optional === true),
    )
    .flatMap((procedure) =>
      // A simulator has no certificate; HTTPS and HTTP differ in nothing else here.
      waysOf(procedure)
        .filter((way) => way !== 'https')
        .map((way) => ({ recipe, procedure, way })),
    ),
);

interface Played {
  readonly machine: Machine;
  readonly backups: number;
  readonly changer: Changer | undefined;
  readonly result: Awaited<ReturnType<Changer['change']>> | undefined;
  readonly error: (Error & { code?: RouterErrorCode }) | undefined;
}

async function simulate(way: Way, machine: Machine): Promise<Simulator> {
  if (way === 'ssh') return sshSimulator(machine);
  return way === 'telnet' ? telnetSimulator(machine) : httpSimulator(machine);
}

async function play(procedure: Procedure, way: Way, target: Target, trouble: Trouble): Promise<Played> {
  const machine = new Machine(procedure, target === 'off' ? 'on' : 'off', trouble);
  await using simulator = await simulate(way, machine);
  const settings = {
    host: '127.0.0.1',
    port: simulator.port,
    credentials: { user: USER, password: PASSWORD, agent: undefined },
    hostKeys: new HostKeys(mkdtempSync(join(stateDir, 'keys-'))),
    acceptHostKey: async () => true,
    connectMs: 5_000,
    answerMs: trouble === 'unknown-prompt' ? 2_500 : 10_000,
  };
  let backups = 0;
  let changer: Changer | undefined;
  try {
    const device = await openDevice(procedure, settings, [way]);
    changer = new Changer(device, procedure, {
      tell: () => {},
      backUp: () => {
        backups++;
        // What is written down was read before anything else was sent.
        assert.equal(machine.heard.length, procedure.check.length);
      },
      reopen: () => openDevice(procedure, settings, [way]),
    });
    const result = await changer.change(target);
    return { machine, backups, changer, result, error: undefined };
  } catch (error) {
    return { machine, backups, changer, result: undefined, error: error as Error };
  } finally {
    changer?.close();
  }
}

const nameOf = ({ recipe, procedure, way }: { recipe: Recipe; procedure: Procedure; way: Way }): string =>
  `${recipe.id}, ${procedure.id}, ${way}`;

test('there are procedures for a program to go', () => {
  assert.ok(playable.length >= 5, String(playable.length));
  for (const way of ['ssh', 'telnet', 'http'])
    assert.ok(
      playable.some((one) => one.way === way),
      way,
    );
});

describe('a router of the catalogue', { concurrency: 24 }, () => {
  for (const one of playable) {
    const { procedure, way } = one;
    test(`${nameOf(one)}: off, and on again, each read back`, async () => {
      const off = await play(procedure, way, 'off', 'none');
      assert.equal(off.error, undefined);
      assert.notEqual(off.result?.after, 'on');
      assert.equal(off.machine.state, 'off');
      assert.equal(off.backups, 1);
      // Exactly what the recipe has, in its order, and nothing else.
      const lines = [procedure.check, procedure.off, procedure.check, procedure.persist, procedure.flush]
        .flat()
        .filter(({ where }) => where === undefined)
        .map(sentText)
        .filter((line) => line !== undefined);
      assert.deepEqual(off.machine.heard, lines);
      const on = await play(procedure, way, 'on', 'none');
      assert.equal(on.error, undefined);
      assert.equal(on.result?.after, 'on');
      assert.equal(on.machine.state, 'on');
    });

    for (const trouble of ['refusal', 'surprise', 'unknown-prompt'] as const)
      test(`${nameOf(one)}: nothing is sent after ${trouble === 'refusal' ? 'a refusal' : trouble === 'surprise' ? 'a surprise' : 'a question that it does not know'}`, async (t) => {
        const step = procedure.off.find(({ where }) => where === undefined)!;
        if (step.optional === true) return t.diagnostic('its first step may fail');
        // Where only failures are named, or a body of HTTP may hold anything, other words are no surprise.
        const anythingGoes =
          step.answers.length > 0
            ? step.answers.every(({ means }) => means === 'failed')
            : step.request !== undefined;
        if (trouble === 'surprise' && anythingGoes) return t.diagnostic('the recipe names failures only');
        if (trouble === 'refusal' && !step.answers.some(({ means }) => means === 'failed') && anythingGoes)
          return;
        const { machine, error, result } = await play(procedure, way, 'off', trouble);
        assert.equal(result, undefined);
        const expected: RouterErrorCode[] =
          trouble !== 'unknown-prompt'
            ? ['routers/surprise']
            : way === 'http'
              ? ['routers/unreachable']
              : ['routers/unknown-prompt'];
        assert.ok(expected.includes(error!.code!), `${error!.code}: ${error!.message}`);
        assert.equal(machine.heard.length, procedure.check.length + 1, machine.heard.join('\n'));
      });

    test(`${nameOf(one)}: a wrong password is sent once, and nothing else`, async () => {
      const { machine, error } = await play(procedure, way, 'off', 'wrong-password');
      if (procedure.login?.kind === 'none') return;
      assert.equal(error?.code, 'routers/wrong-password');
      assert.doesNotMatch(error!.message, new RegExp(PASSWORD));
      assert.deepEqual(machine.heard, []);
    });

    test(`${nameOf(one)}: when it hangs up in the middle, it is asked anew, and set back`, async () => {
      const { machine, error, result } = await play(procedure, way, 'off', 'hang-up');
      // A device of one line had done nothing yet; what it says afterwards decides.
      if (result !== undefined) assert.notEqual(result.after, 'on');
      else
        assert.ok(
          ['routers/not-applied', 'routers/unreachable'].includes(error!.code!),
          `${error!.code}: ${error!.message}`,
        );
      if (error?.code === 'routers/not-applied') assert.equal(machine.state, 'on');
    });

    test(`${nameOf(one)}: when it does not come back, that is said`, async () => {
      const { error } = await play(procedure, way, 'off', 'hang-up-for-good');
      assert.ok(
        ['routers/hung-up', 'routers/unreachable'].includes(error!.code!),
        `${error!.code}: ${error!.message}`,
      );
    });

    test(`${nameOf(one)}: a setting that does not stick is set back, and is no success`, async () => {
      const { machine, error, changer } = await play(procedure, way, 'off', 'does-not-stick');
      assert.equal(error?.code, 'routers/not-applied', error?.message);
      assert.equal(machine.state, 'on');
      const back = procedure.on
        .filter(({ where }) => where === undefined)
        .map(sentText)
        .filter((line) => line !== undefined);
      assert.deepEqual(
        machine.heard.slice(-back.length - procedure.check.length, -procedure.check.length),
        back,
      );
      assert.equal(
        changer!.exchanges.some(({ phase }) => phase === 'persist'),
        false,
      );
    });
  }
});
