/** Every claim has a source that exists, and every source is used. */
import type { LintRule } from './rule.ts';
import { allSteps } from './rule.ts';

/** Grades that confirm nothing. */
const WEAK: ReadonlySet<string> = new Set(['article', 'hearsay']);

export const knownSources: LintRule = {
  id: 'known-sources',
  holds:
    'Codes of sources exist; what is verified stands on a source that was read; grade and status fit each other.',
  find({ file }) {
    const { recipe } = file;
    const graded = new Map(recipe.sources.map(({ code, grade }) => [code, grade]));
    const claims = [
      { what: 'alg', ...recipe.alg },
      ...recipe.fingerprints.map((one, i) => ({ what: `fingerprint ${i + 1}`, ...one })),
      ...recipe.labels.map((one) => ({ what: `label “${one.text}”`, ...one })),
      ...recipe.procedures.map((one) => ({ what: `procedure ${one.id}`, ...one })),
      ...recipe.firewall.map((one) => ({ what: `firewall setting “${one.setting}”`, ...one })),
      ...recipe.warnings.map((one) => ({ what: `warning “${one.claim}”`, ...one })),
    ];
    const logins = recipe.procedures.flatMap(({ id, login }) =>
      login === undefined ? [] : [{ what: `login of ${id}`, ...login }],
    );
    const used = new Set([
      ...claims.flatMap(({ sources }) => sources),
      ...recipe.procedures.flatMap(({ login }) => login?.sources ?? []),
      ...[...allSteps(recipe)].flatMap(({ step }) => step.sources),
      ...(recipe.article === undefined ? [] : ['ARTICLE']),
    ]);
    const codes = recipe.sources.map(({ code }) => code);
    const best = new Set(recipe.procedures.flatMap(({ sources }) => sources).map((code) => graded.get(code)));
    return [
      ...codes
        .filter((code, i) => codes.indexOf(code) !== i)
        .map((code) => ({ what: `source ${code} stands twice`, remedy: 'give one of them another code' })),
      ...[...used]
        .filter((code) => !graded.has(code))
        .map((code) => ({
          what: `source ${code} is not in sources:`,
          remedy: 'add it, or take its code out',
        })),
      ...codes
        .filter((code) => !used.has(code))
        .map((code) => ({
          what: `source ${code} is not used`,
          remedy: 'name it where it is the source, or take it out',
        })),
      ...claims
        .filter(({ sources }) => sources.length === 0)
        .map(({ what }) => ({ what: `${what} has no source`, remedy: 'add sources:' })),
      ...[...claims, ...logins]
        .filter(
          ({ verified, sources }) =>
            verified && sources.every((code) => WEAK.has(graded.get(code) ?? 'hearsay')),
        )
        .map(({ what }) => ({
          what: `${what} is called verified, and only the article or hearsay says so`,
          remedy: 'write verified: false, or read a source',
        })),
      ...recipe.sources
        .filter(({ grade, date }) => grade !== 'hearsay' && grade !== 'article' && date === undefined)
        .map(({ code }) => ({
          what: `source ${code} has no date`,
          remedy: 'add date: of the document, or when it was read',
        })),
      ...(recipe.status === 'documented' &&
      recipe.procedures.length > 0 &&
      !best.has('vendor') &&
      !best.has('project')
        ? [
            {
              what: 'the status is documented, and no procedure has a document',
              remedy: 'write status: community',
            },
          ]
        : []),
      ...(recipe.status !== 'unproven' &&
      recipe.status !== 'article-only' &&
      ![recipe.alg, ...recipe.procedures].some(({ verified }) => verified)
        ? [
            {
              what: `the status is ${recipe.status}, and neither the ALG nor a procedure is verified`,
              remedy: 'write status: unproven',
            },
          ]
        : []),
    ];
  },
};
