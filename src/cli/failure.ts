/** How a command fails: one line that says what, one that says what to do. */
import { exitCode } from './exit-code.ts';

/** The operator's mistake on the command line: exit code 2. */
export class UsageError extends Error {
  readonly code = 'cli/usage';
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.name = 'UsageError';
    this.hint = hint;
  }
}

/** The machine stands in the way: exit code 3. */
export class EnvironmentError extends Error {
  readonly code:
    | 'cli/no-demo'
    | 'cli/no-such-interface'
    | 'cli/no-systemd'
    | 'cli/not-linux'
    | 'cli/not-permitted'
    | 'cli/not-readable'
    | 'cli/not-running'
    | 'cli/not-writable'
    | 'cli/other-version'
    | 'cli/refused';
  readonly hint: string;

  constructor(code: EnvironmentError['code'], message: string, hint: string) {
    super(message);
    this.name = 'EnvironmentError';
    this.code = code;
    this.hint = hint;
  }
}

export interface Failure {
  readonly exitCode: number;
  readonly text: string;
}

/** Any thrown value as text for people and an exit code. */
export function failureFrom(error: unknown): Failure {
  if (error instanceof Error) {
    const { code, hint } = error as Error & { code?: unknown; hint?: unknown };
    // Errors that know their own code and remedy are expected ones, whichever room they come from.
    if (typeof code === 'string' && /^[a-z]+\/[a-z-]+$/.test(code)) {
      const remedy = typeof hint === 'string' ? `\n  ${hint.split('\n').join('\n  ')}` : '';
      return {
        exitCode: error instanceof UsageError ? exitCode.usage : exitCode.environment,
        text:
          error instanceof UsageError ? `${error.message}${remedy}` : `${code}: ${error.message}${remedy}`,
      };
    }
    return {
      exitCode: exitCode.bug,
      text: `this is a bug of sipalg, please report it with the following lines\n${error.stack ?? error.message}`,
    };
  }
  return { exitCode: exitCode.bug, text: `this is a bug of sipalg, please report it: ${String(error)}` };
}
