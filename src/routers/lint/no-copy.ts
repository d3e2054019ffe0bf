/**
 * Facts carry over, sentences never. Eight words in a row that also stand in the article are a copied sentence; menu
 * entries and commands, which are facts, are shorter or are not looked at.
 */
import type { LintRule } from './rule.ts';

const RUN = 8;

export const noCopy: LintRule = {
  id: 'no-copy',
  holds: `No ${RUN} words in a row are the article's.`,
  find({ file, isCopied }) {
    if (isCopied === undefined) return [];
    const { recipe } = file;
    const own = [
      ...recipe.effects,
      ...recipe.unproven,
      ...recipe.warnings.flatMap(({ claim, truth }) => [claim, truth]),
      ...recipe.firewall.flatMap(({ setting, change, risk }) => [setting, change, risk.text]),
      ...recipe.labels.flatMap(({ note }) => note ?? []),
      ...recipe.procedures.flatMap((procedure) => [
        procedure.title,
        procedure.risk.text,
        procedure.login?.note ?? '',
        ...[procedure.check, procedure.off, procedure.on, procedure.persist, procedure.flush]
          .flat()
          .flatMap((step) => [step.do ?? '', step.see ?? '']),
      ]),
      recipe.alg.note ?? '',
      recipe.article?.says ?? '',
      recipe.article?.why ?? '',
    ];
    const copied = own.flatMap((text) => runsOf(text).filter(isCopied).slice(0, 1));
    return copied.map((run) => ({
      what: `copied from the article: “${run}”`,
      remedy: 'say it in your own words',
    }));
  },
};

/** Every run of words of that length, in small letters and without punctuation. */
export function runsOf(text: string): string[] {
  const words = text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
  return words.slice(0, Math.max(0, words.length - RUN + 1)).map((_, i) => words.slice(i, i + RUN).join(' '));
}
