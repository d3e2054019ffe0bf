/** Nobody should change what he has not looked at. */
import type { LintRule } from './rule.ts';

export const checkFirst: LintRule = {
  id: 'check-first',
  holds: 'Every procedure begins with a check.',
  find({ file }) {
    return file.recipe.procedures
      .filter((procedure) => procedure.check.length === 0)
      .map((procedure) => ({
        what: `procedure ${procedure.id} has no check`,
        remedy: 'add check: with what is to be seen where the ALG is on, and where it is off',
      }));
  },
};
