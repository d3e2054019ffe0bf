/** A password as shipped is a fact with a date; it must not read as an instruction. */
import type { LintRule } from './rule.ts';

export const noDefaultLogin: LintRule = {
  id: 'no-default-login',
  holds: 'A password as shipped has a user, a note or a source; no password stands in a step.',
  find({ file }) {
    return file.recipe.procedures.flatMap(({ id, login, check, off, on, persist, flush }) => [
      ...(login?.password !== undefined && login.note === undefined
        ? [
            {
              what: `procedure ${id} gives a password without saying for which devices`,
              remedy: 'add note: to login',
            },
          ]
        : []),
      ...(login?.password !== undefined && login.sources.length === 0
        ? [{ what: `procedure ${id} gives a password without a source`, remedy: 'add sources: to login' }]
        : []),
      ...[...check, ...off, ...on, ...persist, ...flush]
        .filter(({ send, request }) =>
          /passw(?:or)?d[ =:]\S/i.test(`${send ?? ''} ${request?.path ?? ''} ${request?.body ?? ''}`),
        )
        .map(() => ({ what: `procedure ${id} has a password in a step`, remedy: 'the login asks for it' })),
    ]);
  },
};
