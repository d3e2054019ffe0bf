/** Where nothing can be switched, the reader must not be left alone; and where nothing is known, nothing may be claimed. */
import type { LintRule } from './rule.ts';

export const wayOut: LintRule = {
  id: 'way-out',
  holds:
    'A device that can be switched has a procedure that does it; any other has work-arounds and no such procedure; what is not known is said.',
  find({ file }) {
    const { alg, procedures, workarounds, unproven, status, article, faults } = file.recipe;
    const switches = procedures.some(({ off }) => off.length > 0);
    const switchable = alg.canSwitchOff === 'yes' || alg.canSwitchOff === 'locked';
    return [
      ...(alg.canSwitchOff === 'yes' && !switches && procedures.length > 0
        ? [
            {
              what: 'it can be switched off, and no procedure does it',
              remedy: 'add off:, or write canSwitchOff: unknown',
            },
          ]
        : []),
      ...(alg.canSwitchOff === 'no' && switches
        ? [{ what: 'it cannot be switched off, and a procedure does it', remedy: 'decide for one' }]
        : []),
      ...(!switchable && alg.canSwitchOff !== 'absent' && workarounds.length === 0
        ? [
            {
              what: 'nothing can be switched, and there are no work-arounds',
              remedy: 'add workarounds: with ids of remedies',
            },
          ]
        : []),
      ...(alg.present === 'no' && faults.length > 0
        ? [{ what: 'there is no ALG, and faults of one', remedy: 'take faults: out' }]
        : []),
      ...(status !== 'documented' && status !== 'verified-on-wire' && unproven.length === 0
        ? [
            {
              what: `the status is ${status}, and nothing is said to be unproven`,
              remedy: 'add unproven: with what nobody has shown',
            },
          ]
        : []),
      ...(article !== undefined && article.verdict !== 'holds' && article.why.length < 20
        ? [{ what: 'the verdict on the article has no reason', remedy: 'say in why: what is the case' }]
        : []),
    ];
  },
};
