/**
 * Reads the configuration: a TOML file, overridden by the command line. Either a whole configuration comes out, or all
 * of its problems.
 */
import { readFileSync } from 'node:fs';
import { parse as parseToml, TomlError } from 'smol-toml';
import * as v from 'valibot';
import { excessOf } from './bounds.ts';
import { contradictions } from './consistency.ts';
import { type GatewayConfig, gatewayConfig } from './gateway-config.ts';
import { Locations, type Path } from './location.ts';
import type { Problem, ProblemCode } from './problem.ts';
import { type ConfigKey, configKeys, configSchema, repeatedTables } from './schema.ts';
import { nearestWord } from './suggestion.ts';
import { refusalFrom } from './value.ts';

/** What the command line may say, in the forms that the file uses. An absent key leaves the file's value. */
export interface ConfigOverrides {
  readonly internal?: readonly string[] | undefined;
  readonly external?: readonly string[] | undefined;
  readonly listen?: readonly string[] | undefined;
  readonly advertise?: string | undefined;
  readonly stateDir?: string | undefined;
  readonly acceptChains?: readonly string[] | undefined;
  readonly sipPorts?: readonly number[] | undefined;
  readonly logLevel?: string | undefined;
  readonly reveal?: boolean | undefined;
  readonly console?: string | undefined;
}

export type LoadedConfig =
  | { readonly config: GatewayConfig; readonly problems?: never }
  | { readonly config?: never; readonly problems: readonly Problem[] };

const overridePaths: Readonly<Record<keyof ConfigOverrides, readonly [string, string?]>> = {
  internal: ['internal'],
  external: ['external'],
  listen: ['listen'],
  advertise: ['advertise'],
  stateDir: ['state-dir'],
  acceptChains: ['accept-chains'],
  sipPorts: ['signalling', 'ports'],
  logLevel: ['log', 'level'],
  reveal: ['log', 'reveal'],
  console: ['console', 'listen'],
};

type Table = Record<string, unknown>;

/** What the command line says, by key: `log.level`. */
export function overriddenValues(overrides: ConfigOverrides): ReadonlyMap<string, unknown> {
  return new Map(
    Object.entries(overridePaths).flatMap(([name, path]): [string, unknown][] => {
      const value = overrides[name as keyof ConfigOverrides];
      return value === undefined || (Array.isArray(value) && value.length === 0)
        ? []
        : [[path.join('.'), value]];
    }),
  );
}

/** Without a path only the defaults and `overrides` count. */
export function loadConfig(path?: string, overrides: ConfigOverrides = {}): LoadedConfig {
  if (path === undefined) return parseConfig('', 'command line', overrides);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    const problem: Problem = {
      code: 'config/not-readable',
      file: path,
      what: code === 'ENOENT' ? 'there is no such file' : `the file cannot be read (${code ?? error})`,
      remedy: 'check the path given with --config and the rights on the file',
    };
    return { problems: [problem] };
  }
  return parseConfig(text, path, overrides);
}

/** The same for a text; `file` is how problems name it. */
export function parseConfig(text: string, file: string, overrides: ConfigOverrides = {}): LoadedConfig {
  const excess = excessOf(text);
  if (excess !== undefined) return { problems: [{ code: 'config/too-long', file, ...excess }] };
  let raw: Table;
  try {
    raw = parseToml(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const problem: Problem = {
      code: 'config/syntax',
      file,
      line: error.line,
      column: error.column,
      what: `not TOML: ${error.message.replace(/^Invalid TOML document: /, '').split('\n')[0]}`,
      remedy: 'mend the syntax here (a text stands in quotes, a list in brackets); see https://toml.io',
    };
    return { problems: [problem] };
  }
  const overridden = applyOverrides(raw, overrides);
  const locations = new Locations(text);

  const problemAt = (
    path: Path,
    code: ProblemCode,
    what: string,
    remedy: string,
    at: 'key' | 'value',
  ): Problem => {
    const fromCommandLine = overridden.some((prefix) => prefix.every((name, i) => path[i] === name));
    if (fromCommandLine) return { code, file: 'command line', what, remedy };
    const location = locations[at](path);
    return { code, file, ...location, what, remedy };
  };

  const problems = unknownKeys(raw, problemAt);
  const result = v.safeParse(configSchema, raw);
  for (const issue of result.issues ?? []) {
    const path = (issue.path ?? []).map((item) => item.key as string | number);
    const { code, what, remedy, at } = explainIssue(issue, path);
    problems.push(problemAt(path, code, what, remedy, at));
  }
  if (result.success) {
    for (const { path, code, what, remedy } of contradictions(result.output)) {
      problems.push(problemAt(path, code, what, remedy, 'value'));
    }
    if (problems.length === 0) return { config: gatewayConfig(result.output) };
  }
  return {
    problems: problems.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0)),
  };
}

/** What is missing before this configuration can run. A file alone need not be complete: the command line adds to it. */
export function runnableProblems(config: GatewayConfig, file = 'command line'): Problem[] {
  if (config.mode === 'explicit' || (config.internal.length > 0 && config.external.length > 0)) return [];
  const what =
    config.internal.length === 0 && config.external.length === 0
      ? 'nothing says where the phones and the provider are'
      : config.internal.length === 0
        ? 'nothing says where the phones are'
        : 'nothing says where the provider is';
  const remedy =
    'give --internal IF and --external IF (or internal and external in the file); to run as outbound proxy without interception: --listen ADDR:PORT';
  return [{ code: 'config/no-mode', file, what, remedy }];
}

/** Writes the overrides into the raw tables, and returns the paths that they took. */
function applyOverrides(raw: Table, overrides: ConfigOverrides): string[][] {
  const taken: string[][] = [];
  for (const [name, path] of Object.entries(overridePaths)) {
    const value = overrides[name as keyof ConfigOverrides];
    if (value === undefined || (Array.isArray(value) && value.length === 0)) continue;
    const [first, second] = path;
    if (second === undefined) raw[first] = value;
    else {
      const table = raw[first];
      if (table === undefined) raw[first] = { [second]: value };
      else if (isTable(table)) table[second] = value;
      // Else the file has something that is no table here, which is reported anyway.
      else continue;
    }
    taken.push(path.filter((part) => part !== undefined));
  }
  return taken;
}

type ProblemAt = (
  path: Path,
  code: ProblemCode,
  what: string,
  remedy: string,
  at: 'key' | 'value',
) => Problem;

function unknownKeys(raw: Table, problemAt: ProblemAt): Problem[] {
  const problems: Problem[] = [];
  const visit = (table: Table, path: Path): void => {
    const names = path.filter((part) => typeof part === 'string');
    const known = new Set(
      configKeys
        .filter((key) => names.every((name, i) => key.path[i] === name))
        .flatMap((key) => key.path[names.length] ?? []),
    );
    for (const [name, value] of Object.entries(table)) {
      const here = [...path, name];
      if (!known.has(name)) {
        problems.push(
          problemAt(
            here,
            'config/unknown-key',
            unknownText(name, names),
            unknownRemedy(name, names, [...known]),
            'key',
          ),
        );
        // A table in the place of a value is told of where the value is read.
      } else if (isTable(value)) {
        if (
          configKeys.some(
            (key) => key.path.length > here.length && here.every((part, i) => key.path[i] === part),
          )
        )
          visit(value, here);
      } else if (Array.isArray(value)) {
        for (const [i, item] of value.entries())
          if (isTable(item) && repeatedTables.includes(name)) visit(item, [...here, i]);
      }
    }
  };
  visit(raw, []);
  return problems;
}

function unknownText(name: string, table: readonly string[]): string {
  return table.length === 0 ? `unknown key "${name}"` : `unknown key "${name}" in [${table.join('.')}]`;
}

function unknownRemedy(name: string, table: readonly string[], known: readonly string[]): string {
  const near = nearestWord(name, known);
  if (near !== undefined) return `did you mean "${near}"?`;
  // The right key in the wrong table is the commonest slip after a misspelling.
  const elsewhere = configKeys.find((key) => key.path.at(-1) === name);
  if (elsewhere !== undefined) {
    const home = elsewhere.path.slice(0, -1).join('.');
    return home === ''
      ? 'it belongs to the top of the file, before the first [table]'
      : `it belongs into ${elsewhere.repeated ? `[[${home}]]` : `[${home}]`}`;
  }
  return table.length === 0
    ? `take it out; known are ${known.join(', ')}`
    : `take it out; known here are ${known.join(', ')}`;
}

interface ExplainedIssue {
  readonly code: ProblemCode;
  readonly what: string;
  readonly remedy: string;
  readonly at: 'key' | 'value';
}

function explainIssue(issue: v.BaseIssue<unknown>, path: Path): ExplainedIssue {
  const names = path.filter((part) => typeof part === 'string');
  const name = names.join('.');
  const key = configKeys.find((candidate) => candidate.path.join('.') === name);
  const refusal = refusalFrom(issue.message);
  if (refusal !== undefined) return { ...refusal, what: `${name}: ${refusal.what}`, at: 'value' };
  if (issue.type === 'object' && issue.received === 'undefined') {
    return {
      code: 'config/missing-key',
      what: `[[${names.slice(0, -1).join('.')}]] lacks "${names.at(-1)}"`,
      remedy: `add ${exampleOf(key)}`,
      at: 'key',
    };
  }
  if (issue.type === 'picklist' && typeof issue.input === 'string') {
    const words = key?.words ?? [];
    const near = nearestWord(issue.input, words);
    return {
      code: 'config/not-one-of',
      what: `${name}: "${issue.input}" is none of ${words.map((word) => `"${word}"`).join(', ')}`,
      remedy:
        near === undefined
          ? `write ${words.map((word) => `"${word}"`).join(' or ')}`
          : `did you mean "${near}"?`,
      at: 'value',
    };
  }
  const table = key === undefined ? names[0] : undefined;
  return {
    code: 'config/wrong-type',
    what: `${name}: ${typeName(issue.input)} stands where ${expectedName(issue.type)} belongs`,
    remedy:
      table === undefined
        ? `write it like this: ${exampleOf(key)}`
        : `begin a table with ${repeatedTables.includes(table) ? `[[${table}]]` : `[${table}]`} on a line of its own`,
    at: 'value',
  };
}

function exampleOf(key: ConfigKey | undefined): string {
  return key?.note.example ?? 'a value';
}

function expectedName(issueType: string): string {
  const names: Record<string, string> = {
    array: 'a list',
    string: 'a text',
    picklist: 'a text',
    number: 'a number',
    boolean: 'true or false',
    object: 'a table',
  };
  return names[issueType] ?? `a value of the type ${issueType}`;
}

function typeName(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Date) return 'a date';
  if (typeof value === 'string') return `the text "${value}"`;
  if (typeof value === 'object') return 'a table';
  return `${value}`;
}

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
