/** Half of all wrong recipes are a box that means the opposite. */
import { allSteps, type LintRule } from './rule.ts';

const BOX = /^(?:un)?ticked$/;

export const statedPolarity: LintRule = {
  id: 'stated-polarity',
  holds:
    'Where a box is ticked or unticked to switch the ALG, a label states the polarity; a label with “disable” that is on when ticked says why.',
  find({ file }) {
    const { recipe } = file;
    const named = recipe.labels.map(({ text }) => text.toLowerCase());
    const boxes = new Set(
      [...allSteps(recipe)]
        .filter(
          ({ phase, step }) => phase === 'off' && step.optional !== true && BOX.test(step.set?.to ?? ''),
        )
        .map(({ step }) => step.set!.control),
    );
    const stated = [...boxes].some((control) => named.some((label) => label.includes(control.toLowerCase())));
    return [
      ...(boxes.size > 0 && !stated
        ? [
            {
              what: `no label states what a tick means: ${[...boxes].join(', ')}`,
              remedy: 'add labels: with text and ticked',
            },
          ]
        : []),
      ...recipe.labels
        .filter(
          ({ text, ticked, note }) => /disable|\boff\b/i.test(text) && ticked === 'on' && note === undefined,
        )
        .map(({ text }) => ({
          what: `“${text}” is said to mean on when it is ticked`,
          remedy: 'turn it round, or say in note: why it is so',
        })),
    ];
  },
};
