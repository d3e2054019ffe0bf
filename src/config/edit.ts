/**
 * Changes one value of a configuration file in its text, so that comments, order and everything else stay as they are.
 *
 * What comes out is parsed again: where anything but that one value differs, nothing is changed and the answer is undefined.
 */
import { isDeepStrictEqual } from 'node:util';
import { parse as parseToml } from 'smol-toml';
import { Locations, type Path } from './location.ts';

export type TomlValue = string | number | boolean | readonly TomlValue[];

type Table = Record<string, unknown>;

/** The text with the value at `path` set. Undefined: the text is written in a way that does not allow it safely. */
export function setValue(text: string, path: Path, value: TomlValue): string | undefined {
  const locations = new Locations(text);
  const extent = locations.extent(path);
  const table = path.slice(0, -1);
  const line = `${keyText(path.at(-1))} = ${tomlText(value)}`;
  const room = locations.room(table);
  const next =
    extent !== undefined
      ? text.slice(0, extent.start) + tomlText(value) + text.slice(extent.end)
      : room !== undefined
        ? insertLine(text, room, line)
        : table.every((name) => typeof name === 'string')
          ? appendLines(text, [`[${table.map(keyText).join('.')}]`, line])
          : undefined;
  return next !== undefined && becomes(text, next, (raw) => put(raw, path, value)) ? next : undefined;
}

/** The text with one more `[[name]]` at its end. */
export function addTable(
  text: string,
  name: string,
  entries: Readonly<Record<string, TomlValue>>,
): string | undefined {
  const lines = Object.entries(entries).map(([key, value]) => `${keyText(key)} = ${tomlText(value)}`);
  const next = appendLines(text, [`[[${keyText(name)}]]`, ...lines]);
  const isSafe = becomes(text, next, (raw) => {
    const list = raw[name];
    if (list === undefined) raw[name] = [entries];
    else if (Array.isArray(list)) list.push(entries);
  });
  return isSafe ? next : undefined;
}

function becomes(before: string, after: string, change: (raw: Table) => void): boolean {
  try {
    const wanted = plain(parseToml(before)) as Table;
    change(wanted);
    return isDeepStrictEqual(plain(parseToml(after)), plain(wanted));
  } catch {
    return false;
  }
}

/** Tables of the parser have no prototype; dates have one. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}

function put(raw: Table, path: Path, value: TomlValue): void {
  let at: unknown = raw;
  for (const name of path.slice(0, -1)) {
    const table = at as Table;
    table[name] ??= {};
    at = table[name];
  }
  (at as Table)[path.at(-1)!] = value;
}

function insertLine(text: string, at: number, line: string): string {
  const before = text.slice(0, at);
  const ending = text.includes('\r\n') ? '\r\n' : '\n';
  return `${before}${before === '' || before.endsWith('\n') ? '' : ending}${line}${ending}${text.slice(at)}`;
}

function appendLines(text: string, lines: readonly string[]): string {
  const ending = text.includes('\r\n') ? '\r\n' : '\n';
  const gap = text === '' ? '' : text.endsWith('\n') ? ending : ending + ending;
  return `${text}${gap}${lines.map((line) => line + ending).join('')}`;
}

function keyText(name: string | number | undefined): string {
  const text = String(name);
  return /^[A-Za-z0-9_-]+$/.test(text) ? text : JSON.stringify(text);
}

function tomlText(value: TomlValue): string {
  if (typeof value === 'string') return quoted(value);
  if (Array.isArray(value)) return `[${value.map(tomlText).join(', ')}]`;
  return String(value);
}

/** A basic string (toml.io, String): JSON's escapes are TOML's, but for DEL, which JSON leaves as it is. */
function quoted(text: string): string {
  return JSON.stringify(text).replaceAll('\u007f', '\\u007F');
}
