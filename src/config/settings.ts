/**
 * The configuration as a person sees and changes it: what is in force, where it comes from, and changes that are
 * validated as the file is and written back to it, with everything else in the file as it was.
 */
import {
  chownSync,
  readFileSync,
  realpathSync,
  renameSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { parse as parseToml } from 'smol-toml';
import { addTable, setValue, type TomlValue } from './edit.ts';
import type { PolicyMode } from './gateway-config.ts';
import { type ConfigOverrides, overriddenValues, parseConfig, runnableProblems } from './load.ts';
import { Locations } from './location.ts';
import { formatPrefix, parsePrefix } from './prefix.ts';
import type { Problem } from './problem.ts';
import { configKeys } from './schema.ts';

/** Where the configuration of a running gateway comes from. */
export interface ConfigSource {
  /** Changes are written there; it need not exist yet. */
  readonly file: string;
  /** What the command line says wins over the file. */
  readonly overrides: ConfigOverrides;
}

export interface Setting {
  readonly key: string;
  readonly value: unknown;
  readonly from: 'default' | 'file' | 'command line';
  /** In the file. */
  readonly line?: number;
  readonly summary: string;
  readonly unit?: string;
  readonly fallback: unknown;
  /** Where only some words are allowed. */
  readonly words?: readonly string[];
  readonly option?: string;
  /** Followed with the next start and not before. */
  readonly needsRestart: boolean;
}

/** What the process is built on cannot change under it. */
const atStart: readonly string[] = ['state-dir', 'console.listen', 'console.names'];

type Table = Record<string, unknown>;

export function settingsOf(source: ConfigSource): Setting[] {
  const text = readOrEmpty(source.file);
  const raw = parsed(text);
  const locations = new Locations(text);
  const overridden = overriddenValues(source.overrides);
  return configKeys
    .filter((key) => !key.repeated)
    .map(({ path, fallback, note, words }): Setting => {
      const key = path.join('.');
      const written = valueAt(raw, path);
      const isOverridden = overridden.has(key);
      const line = written === undefined ? undefined : locations.key(path)?.line;
      const isHidden = note.secret === true && written !== undefined;
      return {
        key,
        value: isHidden ? '…' : isOverridden ? overridden.get(key) : (written ?? fallback ?? null),
        from: isOverridden ? 'command line' : written === undefined ? 'default' : 'file',
        ...(line === undefined ? {} : { line }),
        summary: note.summary,
        ...(note.unit === undefined ? {} : { unit: note.unit }),
        fallback: fallback ?? null,
        ...(words === undefined ? {} : { words }),
        ...(note.option === undefined ? {} : { option: note.option }),
        needsRestart: atStart.includes(key),
      };
    });
}

/** Writes one value into the file. What is wrong with it, if anything: then the file is as it was. */
export function changeSetting(source: ConfigSource, key: string, value: TomlValue): readonly Problem[] {
  const known = configKeys.find((one) => !one.repeated && one.path.join('.') === key);
  if (known === undefined)
    return [
      problem(source, 'config/unknown-key', `there is no key "${key}"`, 'GET /api/v1/settings lists them'),
    ];
  if (overriddenValues(source.overrides).has(key))
    return [
      problem(
        source,
        'config/duplicate',
        `the command line says what ${key} is, and wins over the file`,
        `start the gateway without ${known.note.option ?? 'that option'}`,
      ),
    ];
  return write(source, (text) => setValue(text, known.path, value));
}

/** The mode of one phone, or of a network of phones. */
export function changePhone(source: ConfigSource, address: string, mode: PolicyMode): readonly Problem[] {
  const prefix = parsePrefix(address);
  if (prefix === undefined)
    return [
      problem(source, 'config/not-a-prefix', `"${address}" is no address`, 'name an address or a network'),
    ];
  return changeEntry(source, 'phone', (entry) => samePrefix(entry.address, formatPrefix(prefix)), {
    address: formatPrefix(prefix),
    mode,
  });
}

/** The mode of one provider, by its name in the file or by its address. */
export function changeProvider(source: ConfigSource, name: string, mode: PolicyMode): readonly Problem[] {
  const prefix = parsePrefix(name);
  const isNamed = listAt(parsed(readOrEmpty(source.file)), 'provider').some((entry) => entry.name === name);
  if (!isNamed && prefix === undefined)
    return [
      problem(
        source,
        'config/not-a-prefix',
        `there is no provider "${name}"`,
        'name one of the file, or an address',
      ),
    ];
  return changeEntry(source, 'provider', (entry) => entry.name === name, {
    name,
    addresses: [name],
    mode,
  });
}

function changeEntry(
  source: ConfigSource,
  table: 'phone' | 'provider',
  isMeant: (entry: Table) => boolean,
  entry: Readonly<Record<string, TomlValue>> & { readonly mode: PolicyMode },
): readonly Problem[] {
  return write(source, (text) => {
    const index = listAt(parsed(text), table).findIndex(isMeant);
    return index < 0 ? addTable(text, table, entry) : setValue(text, [table, index, 'mode'], entry.mode);
  });
}

function write(source: ConfigSource, change: (text: string) => string | undefined): readonly Problem[] {
  let text: string;
  try {
    text = readOrEmpty(source.file);
  } catch (error) {
    return [
      problem(
        source,
        'config/not-readable',
        `the file cannot be read (${codeOf(error)})`,
        'check the rights on it',
      ),
    ];
  }
  const next = change(text);
  if (next === undefined)
    return [
      problem(
        source,
        'config/not-editable',
        'the file is written in a way that cannot be changed from here for certain',
        'change it with an editor and send the gateway SIGHUP; tables with headers ([log], [[phone]]) can be changed from here',
      ),
    ];
  const { config, problems } = parseConfig(next, source.file, source.overrides);
  if (config === undefined) return problems;
  const obstacles = runnableProblems(config, source.file);
  if (obstacles.length > 0 || next === text) return obstacles;
  try {
    replace(source.file, next);
    return [];
  } catch (error) {
    return [
      problem(
        source,
        'config/not-writable',
        `the file cannot be written (${codeOf(error)})`,
        'give the user that runs the gateway the right to write it and its directory, or change it with an editor and send SIGHUP',
      ),
    ];
  }
}

/** In one step: nobody ever reads half of it. Rights and owner stay, and so does a link. */
function replace(file: string, text: string): void {
  let target = file;
  let mode = 0o600;
  let owner: { readonly uid: number; readonly gid: number } | undefined;
  try {
    target = realpathSync(file);
    const found = statSync(target);
    mode = found.mode & 0o777;
    owner = found;
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
  const draft = `${target}.new`;
  try {
    writeFileSync(draft, text, { mode });
    if (owner !== undefined && process.getuid?.() === 0) chownSync(draft, owner.uid, owner.gid);
    renameSync(draft, target);
  } catch (error) {
    try {
      unlinkSync(draft);
    } catch {
      // It was never made.
    }
    throw error;
  }
}

function problem({ file }: ConfigSource, code: Problem['code'], what: string, remedy: string): Problem {
  return { code, file, what, remedy };
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return '';
    throw error;
  }
}

/** Empty where it is not TOML: what is in force then is what was there before. */
function parsed(text: string): Table {
  try {
    return parseToml(text);
  } catch {
    return {};
  }
}

function valueAt(raw: Table, path: readonly string[]): unknown {
  return path.reduce<unknown>(
    (at, name) => (typeof at === 'object' && at !== null ? (at as Table)[name] : undefined),
    raw,
  );
}

function listAt(raw: Table, name: string): Table[] {
  const list = raw[name];
  return Array.isArray(list) ? (list as Table[]) : [];
}

function samePrefix(written: unknown, wanted: string): boolean {
  const prefix = typeof written === 'string' ? parsePrefix(written) : undefined;
  return prefix !== undefined && formatPrefix(prefix) === wanted;
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
