/** Questions to whoever sits at the terminal. Where nobody does, there is no answer, and nothing is taken for one. */
import { UsageError } from './failure.ts';

export function isInteractive(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** False where the answer is no; where nobody can be asked, an error that says which option answers. */
export async function confirm(question: string, otherwise: string): Promise<boolean> {
  if (!isInteractive()) throw new UsageError(`nobody is there to answer "${question}"`, otherwise);
  const { confirm: ask, isCancel } = await prompts();
  const answer = await ask({ message: question, initialValue: false, output: process.stderr });
  return !isCancel(answer) && answer;
}

export async function askText(question: string): Promise<string | undefined> {
  if (!isInteractive()) return undefined;
  const { isCancel, text } = await prompts();
  const answer = await text({ message: question, output: process.stderr });
  return isCancel(answer) || answer === undefined ? undefined : answer;
}

/** Shown as dots, kept nowhere. */
export async function askSecret(question: string): Promise<string | undefined> {
  if (!isInteractive()) return undefined;
  const { isCancel, password } = await prompts();
  const answer = await password({ message: question, output: process.stderr });
  return isCancel(answer) ? undefined : (answer ?? '');
}

/** Where people look at a terminal that does not tell how wide it is: a serial console. */
const USUAL_COLUMNS = 80;

async function prompts(): Promise<typeof import('@clack/prompts')> {
  // It says 0 then, and every letter would get a line of its own.
  if (process.stderr.columns === 0) process.stderr.columns = USUAL_COLUMNS;
  return import('@clack/prompts');
}
