/** What was read from a router before anything was changed, with the way back: one file a change, for its owner only. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { type AlgState, type Exchange, lineText, type Target } from './change.ts';
import type { Procedure, Recipe } from './schema.ts';
import { fillStep, type Values } from './values.ts';

/** More than that are not looked at; the oldest go. */
const MAX_BACKUPS = 200;

/** Where the commands for routers keep what they have to remember: $XDG_STATE_HOME/sipalg. */
export function defaultStateDir(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), '.local', 'state'), 'sipalg');
}

export interface Backup {
  readonly stateDir: string;
  readonly host: string;
  readonly recipe: Recipe;
  readonly procedure: Procedure;
  readonly target: Target;
  readonly before: AlgState;
  readonly exchanges: readonly Exchange[];
  /** What is put back. */
  readonly kept: Values;
  readonly at: Date;
}

/** Gives the path of the file. */
export function writeBackup(backup: Backup): string {
  const { stateDir, host, at, recipe, procedure, target } = backup;
  const folder = join(stateDir, 'router-backups');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const old = readdirSync(folder).sort(byTime);
  for (const name of old.slice(0, Math.max(0, old.length - MAX_BACKUPS + 1))) rmSync(join(folder, name));
  const back: Target = target === 'off' ? 'on' : 'off';
  const text = [
    `${host}: SIP ALG was "${backup.before}" on ${at.toISOString()}, before it was switched ${target}`,
    `recipe ${recipe.id} (${recipe.vendor}), procedure ${procedure.id}`,
    '',
    'The way back:',
    `  sipalg router ${back} ${host} --recipe ${recipe.id} --procedure ${procedure.id}`,
    'or by hand:',
    ...procedure[back].map((step) => `  ${lineText(fillStep(step, backup.kept))}`),
    ...(backup.kept.size === 0 ? [] : ['', 'What is put back:']),
    ...procedure.values.flatMap(({ name, what }) =>
      backup.kept.has(name) ? [`  ${what}: ${backup.kept.get(name)}`] : [],
    ),
    '',
    'What the device said:',
    ...backup.exchanges.flatMap(({ sent, answer }) => [`> ${sent}`, answer]),
    '',
  ].join('\n');
  const stamp = at.toISOString().replaceAll(':', '').replace('.', '');
  const path = join(folder, `${host.replaceAll(':', '_')}-${stamp}.txt`);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

function byTime(a: string, b: string): number {
  const stamp = (name: string): string => name.slice(name.lastIndexOf('-20') + 1);
  return stamp(a) < stamp(b) ? -1 : 1;
}
