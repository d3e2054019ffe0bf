/**
 * Makes one check after another in one process, for tests that make many: each line of its input is an invitation with the
 * options of `sipalg check`, each line of its output a report. It does what the command does, without being started anew.
 */
import { createInterface } from 'node:readline';
import { checkOptionsFrom, invitationFrom, type RawCheckOptions } from '../../../src/cli/check.ts';
import { reportJson } from '../../../src/cli/check-json.ts';
import { Check } from '../../../src/detector/check/run.ts';

export interface Order {
  readonly invitation: string;
  readonly options: RawCheckOptions;
}

process.stdout.write('ready\n');
for await (const line of createInterface({ input: process.stdin })) {
  const { invitation, options } = JSON.parse(line) as Order;
  const { report } = await Check.run(
    invitationFrom(invitation),
    checkOptionsFrom(options, () => {}),
  );
  process.stdout.write(`${JSON.stringify(JSON.parse(reportJson(report, undefined)))}\n`);
}
