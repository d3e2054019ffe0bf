/** A step without an expected answer cannot fail, and then nobody notices that it did. */
import { allSteps, type LintRule } from './rule.ts';

export const expectedAnswer: LintRule = {
  id: 'expected-answer',
  holds:
    'Every step says what must be seen, and does exactly one thing; the check of a command line can be read by a program.',
  find({ file }) {
    const steps = [...allSteps(file.recipe)];
    const unread = file.recipe.procedures.filter(
      ({ check }) =>
        check.some((step) => step.send !== undefined || step.request !== undefined) &&
        !check.some((step) =>
          step.answers.some(({ means }) => means === 'on' || means === 'off' || means === 'absent'),
        ),
    );
    return [
      ...steps
        .filter(({ step }) => step.see === undefined)
        .map(({ place }) => ({ what: `${place} does not say what must be seen`, remedy: 'add see:' })),
      ...steps
        .filter(
          ({ step }) => step.send === undefined && step.request === undefined && step.answers.length > 0,
        )
        .map(({ place }) => ({
          what: `${place} has answers: and nothing that is answered`,
          remedy: 'write see: instead',
        })),
      ...steps.flatMap(({ step, place }) => {
        const acts = [step.send, step.request, step.set].filter((act) => act !== undefined).length;
        const any = acts + [step.do, ...step.menu].filter((act) => act !== undefined).length;
        if (acts > 1)
          return [{ what: `${place} does several things at once`, remedy: 'make a step of each' }];
        return any === 0
          ? [{ what: `${place} does nothing`, remedy: 'add do:, menu:, set:, send: or request:' }]
          : [];
      }),
      ...unread.map(({ id }) => ({
        what: `procedure ${id}: no answer of its check tells on from off`,
        remedy: 'add answers: with means: on, off or absent',
      })),
    ];
  },
};
