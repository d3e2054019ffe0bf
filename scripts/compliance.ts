/**
 * Writes docs/compliance: what the gateway does about each section, and the scenarios that prove it. A section is a gap
 * where a scenario of it says so; a page that is made of tests cannot claim what no test shows.
 *
 *   node scripts/compliance.ts            writes docs/compliance/*.md
 *   node scripts/compliance.ts --check    exit code 1 if a page is not what the scenarios say
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gapsOf, readScenario, scenarioPaths } from '../test/scenario/files.ts';
import { table as torture } from '../test/torture/table.ts';
import { type SectionNote, type Specification, specifications } from './compliance-sections.ts';

const folder = fileURLToPath(new URL('../docs/compliance/', import.meta.url));
const HEAD = '<!-- Generated from test/scenario by `node scripts/compliance.ts`. Do not edit. -->';

interface Proof {
  readonly path: string;
  readonly title: string;
  readonly gap: string | undefined;
}

interface Line extends SectionNote {
  readonly proofs: readonly Proof[];
  readonly status: 'pass' | 'gap' | 'n-a';
}

const problems: string[] = [];
const proofs = new Map<string, Proof[]>();
for (const path of scenarioPaths()) {
  const scenario = readScenario(path);
  for (const { rfc, section } of scenario.sources) {
    const key = `${rfc} ${section}`;
    const proof = { path, title: scenario.title, gap: gapsOf(scenario)[0] };
    const list = proofs.get(key);
    if (list === undefined) proofs.set(key, [proof]);
    else list.push(proof);
  }
}

const pages = new Map<string, string>();
const summary: string[] = [];
for (const specification of specifications) {
  const lines = linesOf(specification);
  pages.set(`rfc${specification.rfc}.md`, page(specification, lines));
  const count = (status: Line['status']): number => lines.filter((line) => line.status === status).length;
  summary.push(
    `| [RFC ${specification.rfc}](rfc${specification.rfc}.md) | ${specification.title} | ${count('pass')} | ${count('gap')} | ${count('n-a')} |`,
  );
}
for (const [key, list] of proofs)
  if (list.length > 0)
    problems.push(`${list[0]?.path}: RFC ${key.replace(' ', ' §')} is not in scripts/compliance-sections.ts`);
pages.set('README.md', index());

if (problems.length > 0) {
  process.stderr.write(`${problems.join('\n')}\n`);
  process.exit(1);
}
const names = new Set([...pages.keys(), ...readdirIfThere(folder)]);
const stale = [...names].filter((name) => readIfThere(join(folder, name)) !== pages.get(name));
if (process.argv.includes('--check')) {
  for (const name of stale)
    process.stderr.write(
      `docs/compliance/${name} is not what the scenarios say: node scripts/compliance.ts\n`,
    );
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  mkdirSync(folder, { recursive: true });
  for (const name of stale) {
    const text = pages.get(name);
    if (text === undefined) rmSync(join(folder, name));
    else writeFileSync(join(folder, name), text);
  }
  process.stdout.write(`docs/compliance: ${stale.length} of ${pages.size} pages written\n`);
}

function linesOf({ rfc, sections }: Specification): Line[] {
  const notes = new Map(sections.map((note) => [note.section, note]));
  for (const row of torture)
    if (row.rfc === rfc && row.section !== '' && !notes.has(row.section))
      notes.set(row.section, { section: row.section, text: `${capital(row.why)}.`, na: false });
  return [...notes.values()]
    .sort((a, b) => bySection(a.section, b.section))
    .map((note) => {
      const found = proofs.get(`${rfc} ${note.section}`) ?? [];
      proofs.set(`${rfc} ${note.section}`, []);
      if (found.length === 0 && !note.na) problems.push(`RFC ${rfc} §${note.section} has no scenario`);
      if (found.length > 0 && note.na) problems.push(`RFC ${rfc} §${note.section} is n-a and has a scenario`);
      const status = note.na ? 'n-a' : found.some((one) => one.gap !== undefined) ? 'gap' : 'pass';
      return { ...note, proofs: found, status };
    });
}

function page({ rfc, title }: Specification, lines: readonly Line[]): string {
  const rows = lines.map(({ section, text, status, proofs: found }) => {
    const links = found.map(
      (one) =>
        `[${cell(one.title)}](../../test/scenario/${one.path})${one.gap === undefined ? '' : ` (gap: ${cell(one.gap)})`}`,
    );
    return `| §${section} | ${cell(text)} | ${status} | ${links.join('<br>')} |`;
  });
  return `${HEAD}
# RFC ${rfc}: ${title}

[RFC ${rfc}](https://www.rfc-editor.org/rfc/rfc${rfc}). A scenario is one test; **gap** is one that does not hold yet.

| section | what the gateway does | status | scenarios |
|---|---|---|---|
${rows.join('\n')}
`;
}

function index(): string {
  return `${HEAD}
# What the gateway does about each RFC

Counted in sections. \`pass\`: each scenario of the section holds. \`gap\`: one of them is known not to hold yet, and says why.
\`n-a\`: not applicable, with the reason.

| RFC | about | pass | gap | n-a |
|---|---|---|---|---|
${summary.join('\n')}
`;
}

function bySection(a: string, b: string): number {
  const [left, right] = [a.split('.').map(Number), b.split('.').map(Number)];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? -1) - (right[i] ?? -1);
    if (difference !== 0) return difference;
  }
  return 0;
}

function capital(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '\\<').replaceAll('*', '\\*');
}

function readdirIfThere(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
