/**
 * `UPDATE=1`: writes what arrived into a scenario instead of what was expected there, one check after the other. For a
 * change that is meant; the difference is what a reviewer reads. Checks with a gap are left alone.
 */
import { textOf } from '../../src/core/sip/octets.ts';
import type { StartDriver } from './driver.ts';
import { Mismatch, playScenario, type Seen } from './run.ts';
import { parseScenario } from './scenario.ts';

export async function updatedText(path: string, text: string, start: StartDriver): Promise<string> {
  let current = text;
  for (let n = 0; n < 100; n++) {
    const seen: Seen[] = [];
    let names: ReadonlyMap<string, string> = new Map();
    try {
      await playScenario(parseScenario(path, current), start, (one, known) => {
        seen.push(one);
        names = known;
      });
      return current;
    } catch (error) {
      const last = seen.at(-1);
      if (!(error instanceof Mismatch) || last === undefined || error.check !== last.check) throw error;
      if (last.check.gap !== undefined) throw error;
      const lines = current.split('\n');
      lines.splice(last.check.line - 1, last.check.end - last.check.line, ...block(last, names));
      const next = lines.join('\n');
      if (next === current) throw error;
      current = next;
    }
  }
  throw new Error(`${path}: does not settle`);
}

function block({ check, arrival, input }: Seen, names: ReadonlyMap<string, string>): string[] {
  const output = textOf(arrival.bytes, 0, arrival.bytes.length);
  const from = check.from === undefined ? '' : ` from ${check.from}`;
  const head = `=> ${check.at}${from}${check.on === undefined ? '' : ` on ${check.on}`}`;
  if (output === input) return [`${head} unchanged`];
  const before = linesOf(input);
  const after = linesOf(output);
  if (check.form === 'whole' || before.length !== after.length)
    return [head, ...after.map((line) => written('|', line, names))];
  const changes: string[] = [];
  before.forEach((line, i) => {
    if (line !== after[i]) changes.push(written('-', line, NO_NAMES), written('+', after[i]!, names));
  });
  return [head, ...changes];
}

const NO_NAMES: ReadonlyMap<string, string> = new Map();

function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function written(sign: string, line: string, names: ReadonlyMap<string, string>): string {
  const text = line.replace(/\r?\n$/, '');
  if (/[\x00-\x1f\x7f-\xff]/.test(text) || text.endsWith(' '))
    return `${sign}x ${[...line].map((c) => c.charCodeAt(0).toString(16).padStart(2, '0')).join(' ')}`;
  const kind = line.endsWith('\r\n') ? '' : line.endsWith('\n') ? 'lf' : '.';
  let named = text;
  for (const [name, value] of names)
    named = named.replace(new RegExp(`(?<!\\d)${value}(?!\\d)`, 'g'), `{${name}}`);
  return text === '' ? `${sign}${kind}` : `${sign}${kind} ${named}`;
}
