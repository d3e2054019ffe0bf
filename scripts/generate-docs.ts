/**
 * Writes the reference pages that come from tables in the code: a page that can be generated is never hand-written.
 *
 *   node scripts/generate-docs.ts            writes docs/reference/*.md
 *   node scripts/generate-docs.ts --check    exit code 1 if a page is not what the tables say
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { listMarkdown } from '../src/cli/router-markdown.ts';
import { ways } from '../src/cli/rules-table.ts';
import { problemCodes } from '../src/config/problem.ts';
import { type ConfigKey, configKeys } from '../src/config/schema.ts';
import { type Rule, rules } from '../src/core/alg/rules.ts';
import type { Fault } from '../src/core/detect/fault.ts';
import { faultGroups, faults } from '../src/core/detect/faults.ts';
import { remedies, remedyById } from '../src/core/detect/remedies.ts';
import { loadCatalogue } from '../src/routers/catalogue.ts';
import { lintRules } from '../src/routers/lint/lint.ts';
import { recipeProblemCodes } from '../src/routers/problem.ts';
import { type Recipe, recipeFields } from '../src/routers/schema.ts';
import * as recipeWords from '../src/routers/words.ts';

const folder = fileURLToPath(new URL('../docs/reference/', import.meta.url));

const pages: Readonly<Record<string, string>> = {
  'config.md': configPage(),
  'faults.md': faultsPage(),
  'recipe.md': recipePage(),
  'routers.md': routersPage(),
  'rules.md': rulesPage(rules),
};

const stale = Object.entries(pages).filter(([name, text]) => readOrUndefined(join(folder, name)) !== text);
if (process.argv.includes('--check')) {
  for (const [name] of stale)
    process.stderr.write(`docs/reference/${name} is not what the tables say: npm run docs\n`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  mkdirSync(folder, { recursive: true });
  for (const [name, text] of stale) {
    writeFileSync(join(folder, name), text);
    process.stdout.write(`wrote docs/reference/${name}\n`);
  }
}

function configPage(): string {
  const tables = [...new Set(configKeys.map(tableOf))];
  return `${generatedFrom('src/config/schema.ts')}
# Configuration

\`sipalg gateway\` needs no file: \`--internal\` and \`--external\` are enough. Everything else is in one TOML file, which
\`--config FILE\` names. Options of the command line win over the file. \`sipalg check-config FILE\` prints all problems
of a file at once, each with its line and the way to mend it.

A file that says nothing but the defaults:

\`\`\`toml
${wholeFile()}
\`\`\`
${tables.map(tableSection).join('')}
## Problems

Programs match on the code; the text may change.

| code | meaning |
|---|---|
${Object.entries(problemCodes)
  .map(([code, meaning]) => `| \`${code}\` | ${cell(meaning)} |`)
  .join('\n')}
`;
}

function tableSection(table: string): string {
  const keys = configKeys.filter((key) => tableOf(key) === table);
  const rows = keys.map((key) => {
    const unit = key.note.unit === undefined || key.note.unit === 'count' ? '' : ` Unit: ${key.note.unit}.`;
    const words =
      key.words === undefined ? '' : ` One of ${key.words.map((word) => `\`${word}\``).join(', ')}.`;
    const option = key.note.option === undefined ? '' : ` Option: \`${key.note.option}\`.`;
    return `| \`${key.path.at(-1)}\` | ${defaultText(key)} | ${cell(`${key.note.summary}${words}${unit}${option}`)} | \`${key.note.example}\` |`;
  });
  const heading = table === '' ? 'At the top of the file' : `\`${table}\``;
  const repeated = keys[0]?.repeated === true ? 'May stand any number of times.\n\n' : '';
  return `
## ${heading}

${repeated}| key | default | meaning | example |
|---|---|---|---|
${rows.join('\n')}
`;
}

function tableOf(key: ConfigKey): string {
  const table = key.path.slice(0, -1).join('.');
  return table === '' ? '' : key.repeated ? `[[${table}]]` : `[${table}]`;
}

function defaultText(key: ConfigKey): string {
  if (key.required) return 'required';
  return key.fallback === undefined ? (key.note.without ?? 'none') : `\`${tomlValue(key)}\``;
}

function tomlValue(key: ConfigKey): string {
  return JSON.stringify(key.fallback);
}

function wholeFile(): string {
  const lines: string[] = [];
  let table = '';
  for (const key of configKeys) {
    if (key.repeated || key.fallback === undefined) continue;
    if (tableOf(key) !== table) {
      table = tableOf(key);
      lines.push('', table);
    }
    lines.push(`${key.path.at(-1)} = ${tomlValue(key)}`);
  }
  return lines.join('\n').trim();
}

function recipePage(): string {
  // A step is the same wherever it stands.
  const repeated = ['off', 'on', 'persist', 'flush'];
  const shown = recipeFields.filter(
    ({ path }) =>
      !(path.length > 3 && repeated.includes(path[2] ?? '')) && !(path.length > 4 && path[3] === 'requests'),
  );
  const rows = shown.map(({ path, required, summary, words }) => {
    const name = path.join('.').replaceAll('.[]', '[]');
    // Faults and remedies have pages of their own.
    const choice =
      words === undefined || words.length > 12
        ? ''
        : ` One of ${words.map((word) => `\`${word}\``).join(', ')}.`;
    return `| \`${name}\` | ${required ? 'yes' : ''} | ${cell(`${summary}${choice}`)} |`;
  });
  const tables = Object.entries(recipeWords).flatMap(([name, table]) =>
    typeof table === 'function' ? [] : [{ name, table: table as Readonly<Record<string, string>> }],
  );
  return `${generatedFrom('src/routers/schema.ts')}
# Recipes

A recipe is one router: \`recipes/VENDOR/MODEL.yaml\`, YAML 1.2 without anchors, aliases and tags. \`sipalg router show ID\` prints it
for people; \`--recipes DIR\` reads a folder of your own. Two rules run through all of them: what nobody has shown is marked
\`verified: false\` and shown as such, and what belongs to the ALG is kept apart from other settings of a firewall.

| field | required | meaning |
|---|---|---|
${rows.join('\n')}

The steps of \`off\`, \`on\`, \`persist\` and \`flush\` have the fields of those of \`check\`.

## Words

${tables
  .map(
    ({ name, table }) =>
      `### ${name}\n\n| word | meaning |\n|---|---|\n${Object.entries(table)
        .map(([word, meaning]) => `| \`${word}\` | ${cell(meaning)} |`)
        .join('\n')}\n`,
  )
  .join('\n')}
## Rules of the linter

| rule | what it holds |
|---|---|
${lintRules.map(({ id, holds }) => `| \`${id}\` | ${cell(holds)} |`).join('\n')}

## Problems

| code | meaning |
|---|---|
${Object.entries(recipeProblemCodes)
  .map(([code, meaning]) => `| \`${code}\` | ${cell(meaning)} |`)
  .join('\n')}
`;
}

function routersPage(): string {
  const { recipes } = loadCatalogue(fileURLToPath(new URL('../recipes/', import.meta.url)));
  const count = (status: string): number => recipes.filter((recipe) => recipe.status === status).length;
  const statuses = Object.entries(recipeWords.statuses).map(
    ([status, meaning]) => `| \`${status}\` | ${count(status)} | ${cell(meaning)} |`,
  );
  return `${generatedFrom('recipes/')}
# Routers

${recipes.length} recipes. \`sipalg router show ID\` prints one step by step; [recipe.md](recipe.md) says what the fields mean. “The article” is the
list that is copied from page to page; the column says whether what it tells still holds.

| status | recipes | meaning |
|---|---|---|
${statuses.join('\n')}

${listMarkdown(recipes)}
## The article, heading by heading

What has become of what it says, how sure the record here is, and what nobody has shown yet.

| heading | recipe | the article | why | status | can be switched off | not shown by anybody yet |
|---|---|---|---|---|---|---|
${articleRows(recipes).join('\n')}
`;
}

function articleRows(recipes: readonly Recipe[]): string[] {
  const headings = [...new Set(recipes.flatMap(({ article }) => article?.headings ?? []))].sort((a, b) =>
    a.localeCompare(b, 'en'),
  );
  return headings.flatMap((heading) =>
    recipes
      .filter(({ article }) => article?.headings.includes(heading))
      .map(
        ({ id, article, status, alg, unproven }) =>
          `| ${cell(heading)} | \`${id}\` | ${article!.verdict} | ${cell(article!.why)} | ${status} | ${alg.canSwitchOff} | ${cell(unproven.join(' ')) || '–'} |`,
      ),
  );
}

function rulesPage(table: readonly Rule[]): string {
  const rows = table.map(
    (rule) =>
      `| \`${rule.id}\` | ${sourceLink(rule.source)} | ${ways[rule.direction]} | ${rule.default ? 'on' : 'off'} | ${cell(rule.summary)} | ${cell(rule.without)} |`,
  );
  return `${generatedFrom('src/core/alg/rules.ts')}
# Rules

Every reason for which a byte of a message may change. What has no rule here is never touched: Call-ID, From, To, tags,
CSeq, branch, credentials and identity header fields pass as they are.

\`sipalg rules --sip\` prints this table (\`--json\` for programs). \`sipalg explain FILE --rule RULE=off\` shows a message or
a call without a rule. Three rules are governed by the [policy](config.md) of a gateway: \`sdp.origin\` by
\`origin\`, \`sdp.candidate\` by \`ice\`, \`via.received.restore\` by \`received\`. \`content-length\` follows every body that
changes and cannot be switched off.

| rule | source | direction | default | what it does | without it |
|---|---|---|---|---|---|
${rows.join('\n')}
`;
}

function faultsPage(): string {
  return `${generatedFrom('src/core/detect/faults/')}
# Faults

What broken SIP ALGs and NATs do: ${faults.length} faults. \`sipalg diff\` and \`sipalg check\` name them by these ids, which never change
their meaning. Severity: 4 the service is dead, 3 serious or intermittent, 2 single features, 1 harmless but a clue.

*Shown by* says what it takes to see a fault. Bytes: what was sent and what was received are enough, so \`sipalg diff\` names
it. Behaviour: it takes timing, silence or several flows, so \`sipalg check\` has to try it. Elsewhere: nothing on the wire shows it.

| | fault | severity | shown by |
|---|---|---|---|
${faultGroups
  .flatMap(({ title, faults: rows }) =>
    rows.map(
      (fault: Fault, i) =>
        `| ${i === 0 ? title : ''} | [\`${fault.id}\`](#${anchorOf(fault.id)}) ${cell(fault.title)} | ${fault.severity} | ${fault.shownBy} |`,
    ),
  )
  .join('\n')}
${faultGroups.map(({ title, faults: rows }) => `\n## ${title}\n${rows.map(faultSection).join('')}`).join('')}
## Remedies

| remedy | why |
|---|---|
${remedies.map(({ what, why }) => `| ${cell(what)} | ${cell(why)} |`).join('\n')}
`;
}

function faultSection(fault: Fault): string {
  return `
### ${fault.id}

**${fault.title}** ${fault.definition}

- A caller notices: ${fault.symptom}
- Severity ${fault.severity}, shown by ${fault.shownBy}${fault.rfc === undefined ? '' : `, ${sourceLink(fault.rfc)}`}
- Provoked by: ${fault.provoke}
- Seen: ${fault.seen}
- Remedies: ${fault.remedies.map((id) => remedyById(id).what).join(' ')}
- Known from: ${fault.sources.join('; ')}
`;
}

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^a-z0-9 -]/g, '')
    .replaceAll(' ', '-');
}

/** `RFC 3261 §18.1.1` as a link to the section. */
function sourceLink(source: string): string {
  const match = /^RFC (\d+) §([\dA-Z.]+)$/.exec(source);
  if (match === null) return source;
  const [, number, section] = match;
  const anchor = /^\d/.test(section!) ? `section-${section}` : `appendix-${section}`;
  return `[${source}](https://www.rfc-editor.org/rfc/rfc${number}#${anchor})`;
}

function generatedFrom(path: string): string {
  return `<!-- Generated from ${path} by \`npm run docs\`. Do not edit. -->`;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function readOrUndefined(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
