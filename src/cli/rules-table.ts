/** `sipalg rules --sip`: the table of reasons for which a byte of a message may change. */
import { type Rule, rules } from '../core/alg/rules.ts';

/** Which way the messages go that a rule is about. */
export const ways: Readonly<Record<Rule['direction'], string>> = {
  out: 'phone → provider',
  in: 'provider → phone',
  both: 'both ways',
};

const table: readonly Rule[] = rules;

export function rulesJson(): string {
  return `${JSON.stringify({ rules: table }, null, 2)}\n`;
}

/** For people: a line of facts for each rule, and two sentences. */
export function rulesText(): string {
  const width = Math.max(...table.map(({ id }) => id.length));
  const sourceWidth = Math.max(...table.map(({ source }) => source.length));
  const wayWidth = Math.max(...Object.values(ways).map((way) => way.length));
  return table
    .map(
      (rule) =>
        `${rule.id.padEnd(width)}  ${rule.source.padEnd(sourceWidth)}  ${ways[rule.direction].padEnd(wayWidth)}  ${rule.default ? 'on' : 'off'}
    ${rule.summary}
    Without it: ${rule.without}
`,
    )
    .join('');
}
