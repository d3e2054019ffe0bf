/** What is sent after an answer that nobody knows is sent to a device in a state that nobody knows. */
import { isSendable } from '../change.ts';
import { waysOf } from '../ways.ts';
import { allSteps, type LintRule } from './rule.ts';

export const answeredLine: LintRule = {
  id: 'answered-line',
  holds:
    'Every line that a program sends names the answer that it must have: a meaning other than `failed`, or silence; only what is optional may leave it open.',
  find({ file }) {
    const steps = [...allSteps(file.recipe)].filter(
      ({ procedure, step }) => waysOf(procedure).length > 0 && isSendable(step) && step.optional !== true,
    );
    const logins = file.recipe.procedures.flatMap(({ id, login }) =>
      (login?.requests ?? []).map((step, i) => ({ step, place: `procedure ${id}, login, request ${i + 1}` })),
    );
    const open = [...steps, ...logins].filter(
      ({ step }) => step.silent !== true && !step.answers.some(({ means }) => means !== 'failed'),
    );
    const mute = steps.filter(({ step }) => step.silent === true && step.request !== undefined);
    return [
      ...open.map(({ place }) => ({
        what: `${place} does not say which answer it must have`,
        remedy: 'add answers: with means: done, on, off or absent, or silent: true',
      })),
      ...mute.map(({ place }) => ({
        what: `${place} is a request and silent; HTTP always answers`,
        remedy: 'write answers:',
      })),
    ];
  },
};
