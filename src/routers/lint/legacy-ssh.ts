/** Old algorithms are allowed one by one, for a device that has nothing better. */
import type { LintRule } from './rule.ts';

const KNOWN =
  /^(?:diffie-hellman-group(?:1|14|-exchange)-sha1|ssh-(?:rsa|dss)|(?:aes(?:128|192|256)|3des|blowfish)-cbc|arcfour(?:128|256)?|hmac-(?:sha1|md5)(?:-96)?)$/;

export const legacySsh: LintRule = {
  id: 'legacy-ssh',
  holds:
    'Old SSH algorithms stand only with a procedure by SSH, by name, and with a reason; options of a client never stand in a step.',
  find({ file }) {
    return file.recipe.procedures.flatMap((procedure) => [
      ...(procedure.legacySsh.length > 0 && procedure.kind !== 'ssh' && procedure.kind !== 'console'
        ? [
            {
              what: `procedure ${procedure.id} is no SSH and allows old algorithms`,
              remedy: 'take legacySsh: out',
            },
          ]
        : []),
      ...procedure.legacySsh
        .filter(({ algorithm }) => !KNOWN.test(algorithm))
        .map(({ algorithm }) => ({
          what: `${algorithm} is no old algorithm of SSH`,
          remedy: 'spell it as SSH does, or take it out',
        })),
      ...[...procedure.check, ...procedure.off, ...procedure.on]
        .filter(({ send, do: act }) =>
          /KexAlgorithms|HostKeyAlgorithms|-o ?Ciphers|StrictHostKeyChecking/i.test(
            `${send ?? ''} ${act ?? ''}`,
          ),
        )
        .map(() => ({
          what: `procedure ${procedure.id} loosens SSH in a step`,
          remedy: 'name the algorithm in legacySsh:',
        })),
    ]);
  },
};
