/** Whoever switches off must be able to switch back. */
import type { LintRule } from './rule.ts';

export const wayBack: LintRule = {
  id: 'way-back',
  holds: 'Every procedure with `off` has `on`; one whose setting is kept by steps has those steps.',
  find({ file }) {
    return file.recipe.procedures.flatMap((procedure) => [
      ...(procedure.off.length > 0 && procedure.on.length === 0
        ? [
            {
              what: `procedure ${procedure.id} has no way back`,
              remedy: 'add on: (with verified: false where nobody has shown it)',
            },
          ]
        : []),
      ...(procedure.off.length === 0 && procedure.on.length > 0
        ? [{ what: `procedure ${procedure.id} only switches on`, remedy: 'add off:, or leave on: out' }]
        : []),
      ...(procedure.saves === 'by-steps' && procedure.persist.length === 0
        ? [
            {
              what: `procedure ${procedure.id} is said to be kept by steps, and there are none`,
              remedy: 'add persist:',
            },
          ]
        : []),
      ...(procedure.saves !== 'by-steps' && procedure.persist.length > 0
        ? [
            {
              what: `procedure ${procedure.id} has persist: and says saves: ${procedure.saves}`,
              remedy: 'write saves: by-steps',
            },
          ]
        : []),
    ]);
  },
};
