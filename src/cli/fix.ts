/**
 * `sipalg fix [REFLECTOR]`: what alters SIP here, which router it is, its SIP ALG off, and whether that helped, on the wire.
 * What makes it worse is taken back. Where nothing can be switched, what gets through is named.
 */
import type { CheckReport } from '../core/detect/check-report.ts';
import { remedies } from '../core/detect/remedies.ts';
import { CheckError } from '../detector/check/failure.ts';
import { Check } from '../detector/check/run.ts';
import { RouterError } from '../routers/drive/failure.ts';
import type { Recipe } from '../routers/schema.ts';
import { checkOptionsFrom, invitationFrom, type RawCheckOptions, tellStep } from './check.ts';
import { exitCode } from './exit-code.ts';
import { confirm, isInteractive } from './question.ts';
import { type DeviceOptions, findHandle, type Handle, type Switched, switchRouter } from './router-change.ts';
import { handText } from './router-plan.ts';

export interface FixOptions
  extends DeviceOptions,
    Pick<RawCheckOptions, 'quick' | 'long' | 'idle' | 'patience'> {
  readonly router?: string;
}

/**
 * `mended`: faults are gone and none is left. `better`: some are gone. `unchanged`: another box does it. `undone`: it was
 * worse, and is as before. `switched`: off, and nobody looked at the wire. `by-hand`: a person has to do it.
 */
type Outcome =
  | 'nothing-to-mend'
  | 'mended'
  | 'better'
  | 'unchanged'
  | 'undone'
  | 'switched'
  | 'by-hand'
  | 'declined';

interface Fixed {
  readonly outcome: Outcome;
  readonly handle?: Handle;
  readonly before?: CheckReport;
  readonly change?: Switched;
  readonly after?: CheckReport;
}

export async function fix(target: string | undefined, options: FixOptions): Promise<number> {
  const fixed = await mend(target, options);
  process.stdout.write(
    options.json === true ? `${JSON.stringify(fixedJson(fixed), null, 2)}\n` : fixedText(fixed),
  );
  return ['nothing-to-mend', 'mended', 'switched'].includes(fixed.outcome) ? exitCode.ok : exitCode.negative;
}

async function mend(target: string | undefined, options: FixOptions): Promise<Fixed> {
  const tell = (text: string): void => {
    if (options.json !== true) process.stderr.write(`${text}\n`);
  };
  const invitation = target === undefined ? undefined : invitationFrom(target);
  const look = async (title: string): Promise<CheckReport | undefined> => {
    if (invitation === undefined) return undefined;
    tell(`\n${title}`);
    const checked = await Check.run(
      invitation,
      checkOptionsFrom(options, options.json === true ? () => {} : tellStep),
    );
    tell(checked.report.headline);
    return checked.report;
  };
  const before = await look('1. What alters SIP between here and the reflector?');
  const seen = before === undefined ? {} : { before };
  if (before === undefined)
    tell('Without a reflector, nobody looks at the wire: the router’s own word has to do.');
  else if (before.verdict === 'inconclusive')
    throw new CheckError(
      'detector/lost',
      before.headline,
      'what cannot be seen cannot be judged afterwards; try again when the line is better',
    );
  else if (before.verdict !== 'faulty') return { outcome: 'nothing-to-mend', ...seen };

  tell('\n2. Which router is it?');
  const handle = await findHandle(options.router, options, 'off').catch((error: unknown) => {
    if (before !== undefined && error instanceof RouterError)
      process.stderr.write(`${workaroundLines(before, undefined).join('\n')}\n`);
    throw error;
  });
  tell(`${handle.host}: ${handle.recipe.vendor}, recipe ${handle.recipe.id}`);

  tell('\n3. Its SIP ALG off');
  let change: Switched | undefined;
  if (handle.procedure === undefined) {
    tell(handText(handle.recipe, 'off', handle.host));
    const done = isInteractive() && (await confirm('Have you done it? Then it is checked again.', ''));
    if (!done) return { outcome: 'by-hand', handle, ...seen };
  } else {
    change = await switchRouter(handle, 'off', options);
    if (change === undefined) return { outcome: 'declined', handle, ...seen };
    if (!change.changed) return { outcome: 'unchanged', handle, change, ...seen };
  }
  const known = { handle, ...seen, ...(change === undefined ? {} : { change }) };
  if (before === undefined) return { outcome: 'switched', ...known };

  let after: CheckReport | undefined;
  try {
    after = await look('4. Is it gone?');
  } catch (error) {
    if (!(error instanceof CheckError)) throw error;
    tell(`The reflector is no longer reached: ${error.message}`);
  }
  if (after === undefined || after.verdict === 'inconclusive' || weight(after) > weight(before)) {
    if (change === undefined)
      return { outcome: 'unchanged', ...known, ...(after === undefined ? {} : { after }) };
    tell('\nIt is worse than before, so it is set back.');
    await switchRouter(handle, 'on', { ...options, yes: true, unverified: true });
    return { outcome: 'undone', ...known, ...(after === undefined ? {} : { after }) };
  }
  if (after.verdict !== 'faulty') return { outcome: 'mended', ...known, after };
  return { outcome: weight(after) < weight(before) ? 'better' : 'unchanged', ...known, after };
}

/** How bad it is, so that two checks can be compared: each fault once, by its severity. */
function weight({ findings }: CheckReport): number {
  const severities = new Map<string, number>(findings.map(({ fault, severity }) => [fault, severity]));
  return [...severities.values()].reduce((sum, severity) => sum + severity, 0);
}

function faultsOf(report: CheckReport | undefined): string[] {
  return [...new Set((report?.findings ?? []).map(({ fault }) => fault))].sort();
}

function compared({ before, after }: Fixed): { gone: string[]; left: string[]; added: string[] } {
  const [first, second] = [faultsOf(before), faultsOf(after)];
  return {
    gone: after === undefined ? [] : first.filter((fault) => !second.includes(fault)),
    left: first.filter((fault) => after === undefined || second.includes(fault)),
    added: second.filter((fault) => !first.includes(fault)),
  };
}

function fixedJson(fixed: Fixed): object {
  const { outcome, handle, before, change, after } = fixed;
  const short = (report: CheckReport | undefined): object | null =>
    report === undefined
      ? null
      : {
          verdict: report.verdict,
          headline: report.headline,
          faults: faultsOf(report),
          figures: report.figures,
        };
  return {
    schema: 'sipalg-fix/1',
    outcome,
    router: handle?.host ?? null,
    recipe: handle?.recipe.id ?? null,
    procedure: handle?.procedure?.id ?? null,
    before: short(before),
    change: change ?? null,
    after: short(after),
    ...compared(fixed),
    workarounds: (after ?? before)?.workarounds ?? [],
  };
}

const OUTCOMES: Readonly<Record<Outcome, string>> = {
  'nothing-to-mend': 'Nothing alters SIP here in a way that does harm. Nothing was changed.',
  mended: 'Mended: the SIP ALG is off, and nothing on the wire does harm any more.',
  better: 'Better: the SIP ALG is off, and some faults are gone. The rest comes from something else.',
  unchanged:
    'The router says that its SIP ALG is off, and the wire is as before: another box on the path does it.',
  undone: 'It was worse with the SIP ALG off, so everything is as it was.',
  switched:
    'The router says that its SIP ALG is off. `sipalg check REFLECTOR` shows whether that is so on the wire.',
  'by-hand': 'Nothing was sent: this router is switched by hand, with the steps above. Then run this again.',
  declined: 'Nothing was sent.',
};

function fixedText(fixed: Fixed): string {
  const { outcome, handle, before, change, after } = fixed;
  const { gone, left, added } = compared(fixed);
  const lines = ['', OUTCOMES[outcome]];
  if (gone.length > 0) lines.push(`  gone: ${gone.join(', ')}`);
  if (after !== undefined && left.length > 0) lines.push(`  left: ${left.join(', ')}`);
  if (added.length > 0) lines.push(`  new:  ${added.join(', ')}`);
  for (const task of change?.left ?? []) lines.push(`  left to do: ${task}`);
  if (change?.changed === true && outcome !== 'undone')
    lines.push(`  the way back: sipalg router on ${handle!.host} --recipe ${handle!.recipe.id}`);
  if (!['nothing-to-mend', 'mended', 'switched'].includes(outcome))
    lines.push(...workaroundLines(after ?? before, handle?.recipe));
  return `${lines.join('\n')}\n`;
}

function workaroundLines(report: CheckReport | undefined, recipe: Recipe | undefined): string[] {
  const tried = (report?.workarounds ?? []).filter(
    ({ works }) => works === 'yes' || works === 'edited-correctly',
  );
  const others = (recipe?.workarounds ?? []).filter((id) => !tried.some(({ remedy }) => remedy === id));
  const lines = [
    ...tried.map(({ what, result }) => `  works here: ${what}: ${result}`),
    ...others.map((id) => `  not tried: ${remedies.find((remedy) => remedy.id === id)?.what ?? id}`),
  ];
  return lines.length === 0 ? [] : ['Ways round it:', ...lines];
}
