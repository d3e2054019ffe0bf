/** What an answer means, as the recipe has it. */
import type { Step } from './schema.ts';
import type { meanings } from './words.ts';

export type Meaning = keyof typeof meanings;

/** The first answer of the recipe that matches: what came, or else the prompt that followed. */
export function meaningOf(
  step: Step,
  { text, prompt }: { readonly text: string; readonly prompt: string },
): Meaning | undefined {
  for (const subject of prompt === '' ? [text] : [text, prompt]) {
    const found = step.answers.find(({ match }) => new RegExp(match, 'imu').test(subject));
    if (found !== undefined) return found.means;
  }
  return undefined;
}

/**
 * Whether the next line may be sent. A step that names what it expects wants that; one that is silent wants silence; one
 * that names failures only takes everything else; one that names nothing at all wants silence as well.
 */
export function isExpected(step: Step, meaning: Meaning | undefined, text: string): boolean {
  if (meaning !== undefined) return meaning !== 'failed';
  if (step.silent === true) return text === '';
  if (step.answers.length === 0) return text === '' || step.request !== undefined;
  return step.answers.every(({ means }) => means === 'failed');
}
