/** `sipalg router check|off|on`: one procedure of one recipe, at one router, with whoever owns it asked before. */

import { setTimeout as wait } from 'node:timers/promises';
import { defaultStateDir, writeBackup } from '../routers/backup.ts';
import {
  type AlgState,
  type Change,
  type ChangeHooks,
  Changer,
  isDrivable,
  type Switching,
  type Target,
} from '../routers/change.ts';
import { type Credentials, type Device, openDevice } from '../routers/drive/device.ts';
import { RouterError } from '../routers/drive/failure.ts';
import { HostKeys } from '../routers/drive/host-keys.ts';
import { identify } from '../routers/identify/identify.ts';
import { defaultGateway, requireLocal } from '../routers/identify/place.ts';
import { KeptValues } from '../routers/kept.ts';
import type { Procedure, Recipe } from '../routers/schema.ts';
import { defaultPorts, type Way, waysOf } from '../routers/ways.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';
import { askSecret, askText, confirm } from './question.ts';
import { recipeDirectory, recipesFrom } from './router.ts';
import { checkPlanText, handText, isVerified, planText } from './router-plan.ts';

export interface DeviceOptions {
  readonly recipe?: string;
  readonly procedure?: string;
  readonly recipes?: string;
  readonly user?: string;
  readonly port?: string;
  readonly timeout?: string;
  readonly stateDir?: string;
  readonly yes?: boolean;
  readonly unverified?: boolean;
  readonly dryRun?: boolean;
  readonly defaultCredentials?: boolean;
  readonly public?: boolean;
  readonly json?: boolean;
}

/** A router, the recipe for it, and how it is reached. */
export interface Handle {
  readonly host: string;
  readonly recipe: Recipe;
  /** The best that a program can go; undefined where only a person can. */
  readonly procedure: Procedure | undefined;
  readonly ways: readonly Way[];
}

export interface Switched extends Change {
  readonly backup: string | undefined;
}

const CONNECT_MS = 10_000;
const ANSWER_MS = 30_000;

export async function routerCheck(host: string | undefined, options: DeviceOptions): Promise<number> {
  const handle = await findHandle(host, options, 'off');
  if (handle.procedure === undefined) return byHand(handle, 'off', options);
  if (options.dryRun === true) return dryRun(handle, undefined, options);
  const changer = await openChanger(handle, handle.procedure, options, { backUp: () => {} });
  let state: AlgState;
  try {
    state = await changer.check();
  } finally {
    changer.close();
  }
  if (options.json === true) printJson({ ...head(handle), state, exchanges: changer.exchanges });
  else process.stdout.write(`${STATES[state]} (${handle.host}, ${handle.recipe.id})\n`);
  return state === 'on' ? exitCode.negative : exitCode.ok;
}

const STATES: Readonly<Record<AlgState, string>> = {
  on: 'The SIP ALG is on.',
  off: 'The SIP ALG is off.',
  absent: 'There is no SIP ALG on this device.',
};

export async function routerSwitch(
  target: Target,
  host: string | undefined,
  options: DeviceOptions,
): Promise<number> {
  const handle = await findHandle(host, options, target);
  if (handle.procedure === undefined) return byHand(handle, target, options);
  if (options.dryRun === true) return dryRun(handle, target, options);
  const change = await switchRouter(handle, target, options);
  if (change === undefined) {
    process.stderr.write('Nothing was sent.\n');
    return exitCode.negative;
  }
  if (options.json === true) printJson({ ...head(handle), ...change });
  else process.stdout.write(changeText(change));
  return exitCode.ok;
}

/** Shows, asks, switches, and keeps it. Undefined where the answer was no. */
export async function switchRouter(
  handle: Handle,
  target: Target,
  options: DeviceOptions,
): Promise<Switched | undefined> {
  const session = await openSession(handle, target, options);
  if (session === undefined) return undefined;
  try {
    return { ...(await session.changer.change(target)), backup: session.backup() };
  } finally {
    session.changer.close();
  }
}

/** A router that has been switched, and waits for what the wire says before it is told to keep it. */
export interface Trial {
  readonly switching: Switching;
  /** What a person has to do for states made under the old setting. */
  readonly flushed: readonly string[];
  keep(): Promise<Switched>;
  undo(): Promise<AlgState>;
  close(): void;
}

/** Shows, asks, switches. Undefined where the answer was no. */
export async function tryRouter(
  handle: Handle,
  target: Target,
  options: DeviceOptions,
): Promise<Trial | undefined> {
  const session = await openSession(handle, target, options);
  if (session === undefined) return undefined;
  const { changer, backup } = session;
  try {
    const switching = await changer.switchTo(target);
    const flushed = switching.changed ? await changer.flush() : [];
    return {
      switching,
      flushed,
      keep: async () => {
        const left = switching.changed
          ? [...(await changer.keep(switching)), ...flushed, ...changer.leftBehind(target)]
          : [];
        return {
          ...switching,
          saved: !switching.changed || changer.isSaved,
          left,
          exchanges: changer.exchanges,
          backup: backup(),
        };
      },
      undo: () => changer.undo(switching),
      close: () => changer.close(),
    };
  } catch (error) {
    changer.close();
    throw error;
  }
}

interface Session {
  readonly changer: Changer;
  readonly backup: () => string | undefined;
}

async function openSession(
  handle: Handle,
  target: Target,
  options: DeviceOptions,
): Promise<Session | undefined> {
  const { procedure, recipe, host } = handle;
  if (procedure === undefined) throw new UsageError(`${recipe.id} has nothing that a program could do`);
  const stateDir = options.stateDir ?? defaultStateDir();
  const store = new KeptValues(stateDir, host, recipe.id, procedure.id);
  const kept = target === 'on' ? store.read(procedure) : new Map<string, string>();
  process.stderr.write(planText(recipe, procedure, target, placeText(handle, options), kept));
  if (!(await isGranted(procedure, target, host, options))) return undefined;
  let backup: string | undefined;
  const changer = await openChanger(handle, procedure, options, {
    kept,
    backUp: (before, exchanges, restored) => {
      if (target === 'off') store.write(restored);
      const what = { stateDir, host, recipe, procedure, target, before, exchanges, at: new Date() };
      backup = writeBackup({ ...what, kept: target === 'off' ? restored : kept });
      process.stderr.write(`How it was, and the way back: ${backup}\n`);
    },
  });
  return { changer, backup: () => backup };
}

async function isGranted(
  procedure: Procedure,
  target: Target,
  host: string,
  options: DeviceOptions,
): Promise<boolean> {
  if (options.yes === true && (options.unverified === true || isVerified(procedure, target))) return true;
  return confirm(
    `Send this to ${host}?`,
    options.yes === true
      ? 'not everything here is verified: --yes --unverified sends it nevertheless'
      : '--yes sends it without a question, --dry-run shows it only',
  );
}

async function openChanger(
  { host, ways }: Handle,
  procedure: Procedure,
  options: DeviceOptions,
  hooks: Pick<ChangeHooks, 'backUp' | 'kept'>,
): Promise<Changer> {
  const credentials = await credentialsFor(procedure, ways, options);
  const hostKeys = new HostKeys(options.stateDir ?? defaultStateDir());
  const settings = {
    host,
    port: options.port === undefined ? undefined : readNumber('--port', options.port, 65_535),
    credentials,
    hostKeys,
    connectMs: CONNECT_MS,
    answerMs:
      options.timeout === undefined ? ANSWER_MS : readNumber('--timeout', options.timeout, 600) * 1000,
    acceptHostKey: async (fingerprint: string): Promise<boolean> => {
      process.stderr.write(
        `The host key of ${host} is ${fingerprint}; it was never seen before, and will be remembered.\n`,
      );
      return (
        options.yes === true ||
        (await confirm('Is that the key of your router?', '--yes takes a key that was never seen'))
      );
    },
  };
  const device = await openDevice(procedure, settings, ways);
  return new Changer(device, procedure, {
    ...hooks,
    tell: (phase, line) => {
      if (options.json !== true) process.stderr.write(`  ${phase}: ${line}\n`);
    },
    reopen: () => openAgain(() => openDevice(procedure, settings, [device.way])),
  });
}

/** A device that restarts needs a while. */
async function openAgain(open: () => Promise<Device>): Promise<Device> {
  const deadline = performance.now() + COME_BACK_MS;
  for (;;) {
    try {
      return await open();
    } catch (error) {
      const absent = error instanceof RouterError && error.code === 'routers/unreachable';
      if (!absent || performance.now() > deadline) throw error;
      await wait(BETWEEN_TRIES_MS);
    }
  }
}

const COME_BACK_MS = 180_000;
const BETWEEN_TRIES_MS = 3_000;

async function credentialsFor(
  procedure: Procedure,
  ways: readonly Way[],
  options: DeviceOptions,
): Promise<Credentials> {
  const login = procedure.login;
  const shipped = options.defaultCredentials === true ? login?.password : undefined;
  if (options.defaultCredentials === true && shipped === undefined)
    throw new UsageError(
      'this recipe knows no password that the device is shipped with',
      'leave out --default-credentials, and give the password when asked',
    );
  if (login?.kind === 'none') return { user: '', password: undefined, agent: undefined };
  const user = options.user ?? login?.user ?? (await askText('User name at the router?'));
  if (user === undefined || user === '') throw new UsageError('the login needs a user name', '--user NAME');
  const agent = ways.includes('ssh') ? process.env.SSH_AUTH_SOCK : undefined;
  const password = process.env.SIPALG_ROUTER_PASSWORD ?? shipped;
  if (password !== undefined) return { user, password, agent };
  // With an agent there may be no need for one.
  if (agent !== undefined && ways[0] === 'ssh') return { user, password: undefined, agent };
  return { user, password: await askSecret(`Password of "${user}" at the router?`), agent };
}

/** The recipe that was named, or the one that the device itself tells. */
export async function findHandle(
  given: string | undefined,
  options: DeviceOptions,
  target: Target,
  engine?: string,
): Promise<Handle> {
  const host = given ?? defaultGateway();
  const recipes = recipesFrom({ ...(options.recipes === undefined ? {} : { recipes: options.recipes }) });
  requireLocal(host, options.public === true);
  const recipe =
    options.recipe === undefined
      ? await identified(host, recipes, options, engine)
      : recipeNamed(recipes, options.recipe);
  return handleOf(host, recipe, target, options.procedure);
}

export function handleOf(host: string, recipe: Recipe, target: Target, named?: string): Handle {
  const { procedures } = recipe;
  const chosen = named === undefined ? undefined : procedures.find(({ id }) => id === named);
  if (named !== undefined && chosen === undefined)
    throw new UsageError(
      `${recipe.id} has no procedure "${named}"`,
      `it has: ${procedures.map(({ id }) => id).join(', ')}`,
    );
  const procedure = (chosen === undefined ? procedures : [chosen]).find(
    (one) => waysOf(one).length > 0 && isDrivable(one, target),
  );
  return { host, recipe, procedure, ways: procedure === undefined ? [] : waysOf(procedure) };
}

export function recipeNamed(recipes: readonly Recipe[], id: string): Recipe {
  const recipe = recipes.find((one) => one.id === id.toLowerCase());
  if (recipe === undefined)
    throw new UsageError(
      `there is no recipe "${id}"`,
      '`sipalg router list` shows all, `sipalg router search WORD` finds one',
    );
  return recipe;
}

async function identified(
  host: string,
  recipes: readonly Recipe[],
  options: DeviceOptions,
  engine: string | undefined,
): Promise<Recipe> {
  const { best, candidates } = await identify(host, {
    recipes,
    folder: recipeDirectory(options),
    snmp: false,
    engine,
  });
  if (best !== undefined) return best.recipe;
  const near = candidates.slice(0, 5).map(({ recipe }) => recipe.id);
  throw new RouterError(
    'routers/no-recipe',
    `${host} does not say clearly which router it is`,
    near.length === 0
      ? 'look at its label, `sipalg router search NAME`, and name the recipe with --recipe ID'
      : `it may be ${near.join(', ')}; name the recipe with --recipe ID. \`sipalg router identify ${host}\` shows what it says`,
  );
}

/** What a program cannot do is printed. That is no success. */
function byHand(handle: Handle, target: Target, options: DeviceOptions): number {
  const { recipe, host } = handle;
  const text = handText(recipe, target, host);
  if (options.json === true) printJson({ ...head(handle), sent: false, steps: text });
  else process.stdout.write(`${text}Nothing was sent: this is for you to do.\n`);
  return exitCode.negative;
}

/** Without a target, of a look only. */
function dryRun(handle: Handle, target: Target | undefined, options: DeviceOptions): number {
  const place = placeText(handle, options);
  const text =
    target === undefined
      ? checkPlanText(handle.recipe, handle.procedure!, place)
      : planText(handle.recipe, handle.procedure!, target, place);
  if (options.json === true) printJson({ ...head(handle), sent: false, plan: text });
  else process.stdout.write(`${text}Nothing was sent.\n`);
  return exitCode.ok;
}

function placeText({ host, ways }: Handle, { port }: DeviceOptions): string {
  return `${host}, by ${ways.map((way) => `${way} (port ${port ?? defaultPorts[way]})`).join(' or ')}`;
}

function head({ host, recipe, procedure }: Handle): object {
  return { schema: 'sipalg-router/1', host, recipe: recipe.id, procedure: procedure?.id ?? null };
}

export function changeText({ target, before, after, changed, left, saved }: Switched): string {
  if (!changed) return `${STATES[after]} Nothing had to be changed.\n`;
  const lines = [
    `The SIP ALG was ${before}; the device now says ${after}.`,
    ...left.map((task) => `Left to do: ${task}`),
    ...(saved ? [] : ['Whether it survives a restart is not known: restart the device, and check again.']),
    `Whether it is so on the wire: sipalg check REFLECTOR${target === 'off' ? '; back again: sipalg router on' : ''}`,
  ];
  return `${lines.join('\n')}\n`;
}

function readNumber(option: string, text: string, most: number): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value < 1 || value > most)
    throw new UsageError(`${option} ${text}: not a number from 1 to ${most}`);
  return value;
}

function printJson(value: object): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}
