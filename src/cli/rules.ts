/** `sipalg rules`: what the gateway would tell the kernel, as text; nothing is set. `--sip`: the rules for messages. */
import { type ConfigOptions, configFrom } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { UsageError } from './failure.ts';

export interface RulesOptions extends ConfigOptions {
  readonly sip?: boolean;
  readonly json?: boolean;
}

export async function rules(options: RulesOptions): Promise<number> {
  if (options.sip === true) {
    const { rulesJson, rulesText } = await import('./rules-table.ts');
    process.stdout.write(options.json === true ? rulesJson() : rulesText());
    return exitCode.ok;
  }
  if (options.json === true)
    throw new UsageError(
      '--json goes with --sip',
      'The kernel rules are text for nft: `sipalg rules -i IF -e IF`.',
    );
  const config = configFrom(options);
  if (config === undefined) return exitCode.usage;
  if (config.mode === 'explicit') {
    throw new UsageError(
      'the explicit mode sets no kernel rules',
      'Give --internal and --external instead of --listen.',
    );
  }
  const [{ renderRuleset, ACCEPT_MARK, INTERCEPT_MARK }, { RULE_PRIORITY }, { rulesetOptions }] =
    await Promise.all([
      import('../linux/ruleset.ts'),
      import('../linux/policy-route.ts'),
      import('./linux-options.ts'),
    ]);
  const table = config.linux.routeTable;
  const lines = ['# nft -f -', renderRuleset(rulesetOptions(config)), '# The policy route:'];
  lines.push(`# ip -4 route replace local 0.0.0.0/0 dev lo table ${table}`);
  for (const name of config.internal) {
    const bits = hex(INTERCEPT_MARK);
    lines.push(
      `# ip -4 rule add iif ${name} fwmark ${bits}/${bits} lookup ${table} priority ${RULE_PRIORITY}`,
    );
  }
  for (const { family, table, chain } of config.acceptChains) {
    const bits = hex(ACCEPT_MARK);
    lines.push('# The accept chain:');
    lines.push(
      `# nft insert rule ${family} ${table} ${chain} meta mark and ${bits} == ${bits} counter accept comment "sipalg"`,
    );
  }
  process.stdout.write(`${lines.join('\n')}\n`);
  return exitCode.ok;
}

function hex(mark: number): string {
  return `0x${mark.toString(16).padStart(8, '0')}`;
}
