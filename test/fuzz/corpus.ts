/**
 * The corpus: for each target a folder with two files of one input a line, escaped as octets.ts says.
 *
 * grown.txt        what reached something new when it was found, made small; at most so many lines of so many octets
 * regressions.txt  what once broke something. `# text` before a line says what; `# gap: text` that it still does: the run
 *                  then has to fail, so that nobody mends it without taking the mark off. `# gap /regexp/: text`: every
 *                  failure with words like that is this one, whatever input leads to it; else one at the same place is.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { escapeInput, unescapeInput } from './octets.ts';

export const MOST_INPUTS = 300;
export const LONGEST_INPUT = 4096;

const folder = join(dirname(fileURLToPath(import.meta.url)), 'corpus');

export interface Regression {
  readonly about: string;
  /** Why it fails to this day; undefined where it must not. */
  readonly gap: string | undefined;
  /** Words by which the same failure is told from others. */
  readonly words: RegExp | undefined;
  readonly text: string;
}

export function readGrown(target: string): string[] {
  return linesOf(target, 'grown.txt').map(unescapeInput);
}

/** Sorted, so that two runs which found different things can be merged line by line. */
export function writeGrown(target: string, inputs: Iterable<string>): void {
  const lines = [...new Set(inputs)]
    .filter((text) => text.length < LONGEST_INPUT)
    .slice(0, MOST_INPUTS)
    .map(escapeInput)
    .sort();
  mkdirSync(join(folder, target), { recursive: true });
  writeFileSync(join(folder, target, 'grown.txt'), lines.map((line) => `${line}\n`).join(''));
}

export function readRegressions(target: string): Regression[] {
  const found: Regression[] = [];
  let about = '';
  for (const line of linesOf(target, 'regressions.txt')) {
    if (line.startsWith('# ')) {
      about = line.slice(2);
      continue;
    }
    const [, words, gap] = /^gap(?: \/(.*?)\/)?: (.*)$/.exec(about) ?? [];
    found.push({
      about,
      gap,
      words: words === undefined ? undefined : new RegExp(words),
      text: unescapeInput(line),
    });
  }
  return found;
}

function linesOf(target: string, file: string): string[] {
  try {
    // An input may be empty: then so is its line, and only the last line end ends the file.
    return readFileSync(join(folder, target, file), 'latin1')
      .replace(/\n$/, '')
      .split('\n');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
