/** Recipes as text for a terminal. */
import { styleText } from 'node:util';
import type { Recipe } from '../routers/schema.ts';
import { isDriven } from '../routers/ways.ts';
import type { Block, Page } from './router-page.ts';

type Style = Parameters<typeof styleText>[0];

const WIDTH = 100;

export function pageText(page: Page, colour: boolean): string {
  const paint = (style: Style, text: string): string => (colour ? styleText(style, text) : text);
  const lines = ['', paint('bold', page.title), ''];
  for (const block of page.blocks) lines.push(...blockLines(block, paint));
  return `${lines
    .join('\n')
    .replaceAll(/\n{3,}/g, '\n\n')
    .trimEnd()}\n`;
}

function blockLines(block: Block, paint: (style: Style, text: string) => string): string[] {
  if (block.kind === 'heading')
    return ['', paint(block.level === 2 ? ['bold', 'underline'] : 'bold', block.text)];
  if (block.kind === 'text') {
    const lines = wrap(block.text, '  ');
    return block.warning === true ? lines.map((line) => paint('red', line)) : lines;
  }
  if (block.kind === 'list') return block.items.flatMap((item) => wrap(item, '    ', '  - '));
  return [
    '',
    `  ${paint('bold', block.title)}`,
    ...block.items.flatMap(({ text, code, see }, i) => [
      ...wrap(text, '       ', `    ${String(i + 1).padStart(2)}. `),
      ...(code === undefined ? [] : code.split('\n').map((line) => `         ${paint('cyan', line)}`)),
      ...(see === undefined ? [] : wrap(`See: ${see}`, '       ').map((line) => paint('dim', line))),
    ]),
    '',
  ];
}

/** Words are never broken, so that addresses can be copied. */
function wrap(text: string, indent: string, first = indent): string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text.split(/\s+/)) {
    if (!empty && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = indent;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  lines.push(line);
  return lines;
}

/** By which ways it is switched off, with a star where a program can go one of them. */
export function waysText({ procedures }: Recipe): string[] {
  const ways = procedures.filter(({ off }) => off.length > 0);
  return [...new Set(ways.map(({ kind }) => kind))].map((kind) => {
    const driven = ways.some((one) => one.kind === kind && isDriven(one, 'off'));
    return driven ? `${kind}*` : kind;
  });
}

export const STAR = '* `sipalg router off` does it itself; everything else is for a person.';

/** One line a recipe: id, whether it can be switched off, by which ways, how sure. */
export function listText(recipes: readonly Recipe[]): string {
  const rows = recipes.map((recipe) => [
    recipe.id,
    recipe.alg.canSwitchOff,
    waysText(recipe).join(' ') || '-',
    recipe.status,
    shorten(`${recipe.vendor}: ${recipe.names.slice(0, 3).join(', ')}`),
  ]);
  const table = [['ID', 'OFF?', 'BY', 'STATUS', 'ROUTER'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return `${table
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')}\n${rows.some((row) => row[2]!.includes('*')) ? `\n${STAR}\n` : ''}`;
}

function shorten(text: string): string {
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
}
