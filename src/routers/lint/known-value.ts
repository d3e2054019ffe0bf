/** A line with a hole in it must never be typed. */
import type { Procedure, Step } from '../schema.ts';
import { groupsOf, namesIn, textsOf } from '../values.ts';
import { allSteps, type Finding, type LintRule } from './rule.ts';

export const knownValue: LintRule = {
  id: 'known-value',
  holds:
    'Every `{{name}}` is declared in `values` and taken by the check (what is put back only needs to be kept), or comes from the login; what is declared is used.',
  find({ file }) {
    const steps = [...allSteps(file.recipe)];
    return file.recipe.procedures.flatMap((procedure) =>
      findingsOf(
        procedure,
        steps.filter((one) => one.procedure === procedure),
      ),
    );
  },
};

function findingsOf(
  procedure: Procedure,
  steps: readonly { readonly step: Step; readonly place: string; readonly phase: string }[],
): Finding[] {
  const { id, values, login } = procedure;
  const declared = values.map(({ name }) => name);
  const taken = steps
    .filter(({ phase }) => phase === 'check')
    .flatMap(({ step }) => step.take.flatMap(groupsOf));
  const ofLogin = [
    ...['user', 'password'],
    ...(login?.requests ?? []).flatMap(({ take }) => take.flatMap(groupsOf)),
    ...(login?.take ?? []).flatMap(groupsOf),
    ...(login?.derive ?? []).map(({ name }) => name),
  ];
  const inLogin = [
    ...(login?.requests ?? []).flatMap(textsOf),
    ...(login?.headers ?? []).map(({ value }) => value),
    ...(login?.derive ?? []).map(({ from }) => from),
  ];
  const used = steps.flatMap(({ step }) => textsOf(step).flatMap(namesIn));
  const where = steps.flatMap(({ step }) => (step.where === undefined ? [] : [step.where]));
  return [
    ...steps.flatMap(({ step, place }) =>
      [...textsOf(step).flatMap(namesIn), ...(step.where === undefined ? [] : [step.where])]
        .filter((name) => !declared.includes(name) && !(login !== undefined && ofLogin.includes(name)))
        .map((name) => ({
          what: `${place} wants ${name}, which nothing declares`,
          remedy: 'add it to values:',
        })),
    ),
    ...inLogin
      .flatMap(namesIn)
      .filter((name) => !ofLogin.includes(name))
      .map((name) => ({
        what: `the login of ${id} wants ${name}, which it does not take`,
        remedy: 'add take: to one of its requests',
      })),
    ...steps.flatMap(({ step, place }) =>
      step.take
        .flatMap(groupsOf)
        .filter((name) => !declared.includes(name))
        .map((name) => ({
          what: `${place} takes ${name}, which is not declared`,
          remedy: 'add it to values:',
        })),
    ),
    ...declared
      .filter((name) => !taken.includes(name))
      .map((name) => ({
        what: `procedure ${id} declares ${name}, and its check does not take it`,
        remedy: 'add take: to a step of the check',
      })),
    ...declared
      .filter((name) => !used.includes(name) && !where.includes(name))
      .map((name) => ({ what: `procedure ${id} declares ${name} and never uses it`, remedy: 'take it out' })),
    ...values
      .filter(
        ({ match, otherwise }) =>
          otherwise !== undefined && !new RegExp(`^(?:${match})$`, 'u').test(otherwise),
      )
      .map(({ name }) => ({ what: `${name} of ${id} cannot be its own otherwise:`, remedy: 'mend match:' })),
  ];
}
