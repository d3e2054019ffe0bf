/** `sipalg demo`: the demonstration network. It is no part of the program proper, and lives in demo/. */

import { EnvironmentError } from './failure.ts';

export interface DemoOptions {
  readonly once?: boolean;
  readonly json?: boolean;
}

export async function demo(options: DemoOptions): Promise<number> {
  // A package is without it: its programs run from their sources.
  const { runDemo } = await import('../../demo/demo.ts').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    throw new EnvironmentError(
      'cli/no-demo',
      'the demonstration is no part of the installed package',
      'it runs from a checkout of the project: npm start',
    );
  });
  return runDemo({ once: options.once === true, json: options.json === true });
}
