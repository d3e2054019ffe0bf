/** `sipalg demo`: the demonstration network. It is no part of the program proper, and lives in demo/. */

export interface DemoOptions {
  readonly once?: boolean;
  readonly json?: boolean;
}

export async function demo(options: DemoOptions): Promise<number> {
  const { runDemo } = await import('../../demo/demo.ts');
  return runDemo({ once: options.once === true, json: options.json === true });
}
