/** `sipalg rules`: what the gateway would tell the kernel, as text. */
import { type ConfigOptions, configFrom } from './config-options.ts';
import { exitCode } from './exit-code.ts';

export async function rules(options: ConfigOptions): Promise<number> {
  const config = configFrom(options);
  if (config === undefined) return exitCode.usage;
  return exitCode.ok;
}
