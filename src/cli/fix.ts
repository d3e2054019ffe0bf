/**
 * `sipalg fix [REFLECTOR]`: what alters SIP here, which router it is, its SIP ALG off, and whether that helped, on the wire.
 * Only what helped is kept; anything else is taken back. Where nothing can be switched, what gets through is named.
 */
import type { CheckReport } from '../core/detect/check-report.ts';
import { remedies } from '../core/detect/remedies.ts';
import { CheckError } from '../detector/check/failure.ts';
import { Check } from '../detector/check/run.ts';
import { RouterError } from '../routers/drive/failure.ts';
import type { Recipe } from '../routers/schema.ts';
import { checkOptionsFrom, invitationFrom, type RawCheckOptions, tellStep } from './check.ts';
import { exitCode } from './exit-code.ts';
import { compareChecks } from './fix-judgement.ts';
import { confirm, isInteractive } from './question.ts';
import {
  type DeviceOptions,
  findHandle,
  type Handle,
  type Switched,
  type Trial,
  tryRouter,
} from './router-change.ts';
import { handText } from './router-plan.ts';

export interface FixOptions
  extends DeviceOptions,
    Pick<RawCheckOptions, 'quick' | 'long' | 'idle' | 'patience'> {
  readonly router?: string;
}

const OUTCOMES = {
  'nothing-to-mend': 'Nothing alters SIP here in a way that does harm. Nothing was changed.',
  mended: 'Mended: the SIP ALG is off, and nothing on the wire does harm any more.',
  better: 'Better: the SIP ALG is off, and some faults are gone. The rest comes from something else.',
  'was-off':
    'The router says that its SIP ALG is off already, and yet SIP is altered: another box on the path does it, or the router does not tell the truth. Nothing was changed.',
  unchanged:
    'With the SIP ALG off it was no better, so everything is as it was: another box on the path does it, perhaps beside this one. `sipalg router off` switches it off whatever the wire says.',
  interrupted: 'Interrupted before the second check was done, so everything is as it was.',
  undone: 'It was worse with the SIP ALG off, so everything is as it was.',
  switched:
    'The router says that its SIP ALG is off. `sipalg check REFLECTOR` shows whether that is so on the wire.',
  'by-hand': 'Nothing was sent: this router is switched by hand, with the steps above. Then run this again.',
  'unchanged-by-hand':
    'It is no better: the setting did not take, or another box on the path does it. If other calls need it, set it back as shown above.',
  'worse-by-hand': 'It is worse than before. Set it back, as shown above.',
  'no-switch': 'Nothing was sent: no way to switch this router is known.',
  declined: 'Nothing was sent.',
} as const;

type Outcome = keyof typeof OUTCOMES;

/** Those after which there is nothing more to do. */
const GOOD: readonly Outcome[] = ['nothing-to-mend', 'mended', 'switched'];

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
  return GOOD.includes(fixed.outcome) ? exitCode.ok : exitCode.negative;
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
  const place = before?.location;
  if (place?.answer === 'yes') tell(place.text);
  if (place?.answer === 'yes' && (place.nearest ?? 0) > 1)
    tell(
      'So it is not the next router, and what is switched off there will hardly help. --router names another one.',
    );
  const handle = await findHandle(options.router, options, 'off', before?.engine?.kind).catch(
    (error: unknown) => {
      if (before !== undefined && error instanceof RouterError)
        process.stderr.write(`${workaroundLines(before, undefined).join('\n')}\n`);
      throw error;
    },
  );
  tell(`${handle.host}: ${handle.recipe.vendor}, recipe ${handle.recipe.id}`);

  tell('\n3. Its SIP ALG off');
  const second = async (): Promise<CheckReport | undefined> => {
    try {
      return await look('4. Is it gone?');
    } catch (error) {
      // Whatever it is: who cannot look any more must not leave it as it is.
      tell(`Nobody can look any more: ${(error as Error).message}`);
      return undefined;
    }
  };
  if (handle.procedure === undefined) return mendByHand(handle, before, second, tell);
  if (before !== undefined)
    tell('It is kept only where the second check says that it helped; otherwise it is set back.');
  const trial = await tryRouter(handle, 'off', options);
  if (trial === undefined) return { outcome: 'declined', handle, ...seen };
  try {
    return await judge(trial, handle, before, second, tell);
  } finally {
    trial.close();
  }
}

/** Nothing is permanent before the wire has said that it is better. */
async function judge(
  trial: Trial,
  handle: Handle,
  before: CheckReport | undefined,
  second: () => Promise<CheckReport | undefined>,
  tell: (text: string) => void,
): Promise<Fixed> {
  const { switching } = trial;
  const known = { handle, ...(before === undefined ? {} : { before }) };
  if (!switching.changed) return { outcome: 'was-off', ...known, change: await trial.keep() };
  if (before === undefined) return { outcome: 'switched', ...known, change: await trial.keep() };
  tell('It is off, and not kept yet. Who interrupts this now has it set back.');
  const interruption = watchInterruption();
  const after = await Promise.race([second(), interruption.seen]).finally(interruption.release);
  if (after === 'interrupted') {
    tell('\nInterrupted, so it is set back');
    await setBack(trial);
    return { outcome: 'interrupted', ...known };
  }
  const seen = { ...known, ...(after === undefined ? {} : { after }) };
  const judgement = compareChecks(before, after);
  if (judgement === 'mended' || judgement === 'better') {
    tell('\n5. It helped, so it is kept');
    return { outcome: judgement, ...seen, change: await trial.keep() };
  }
  tell(
    judgement === 'worse'
      ? '\n5. It is worse than before, so it is set back'
      : '\n5. It did not help, so it is set back',
  );
  await setBack(trial);
  return { outcome: judgement === 'worse' ? 'undone' : 'unchanged', ...seen };
}

async function setBack({ switching, undo }: Trial): Promise<void> {
  const now = await undo();
  if (now === switching.before) return;
  throw new RouterError(
    'routers/not-applied',
    `it was to be set back, and the device says "${now}", not "${switching.before}"`,
    'the backup says how it was; `sipalg router check` shows what it is',
  );
}

/** Once: who presses Ctrl-C twice wants out. */
function watchInterruption(): { readonly seen: Promise<'interrupted'>; readonly release: () => void } {
  const { promise, resolve } = Promise.withResolvers<'interrupted'>();
  const end = (): void => resolve('interrupted');
  process.once('SIGINT', end).once('SIGTERM', end);
  return { seen: promise, release: () => process.off('SIGINT', end).off('SIGTERM', end) };
}

/** What a person switches, a person has to set back. */
async function mendByHand(
  handle: Handle,
  before: CheckReport | undefined,
  second: () => Promise<CheckReport | undefined>,
  tell: (text: string) => void,
): Promise<Fixed> {
  const { recipe, host } = handle;
  const known = { handle, ...(before === undefined ? {} : { before }) };
  tell(handText(recipe, 'off', host));
  const possible = recipe.procedures.some(({ off }) => off.length > 0);
  const done =
    possible && isInteractive() && (await confirm('Have you done it? Then it is checked again.', ''));
  if (!done) return { outcome: possible ? 'by-hand' : 'no-switch', ...known };
  if (before === undefined) return { outcome: 'switched', ...known };
  const after = await second();
  const seen = { ...known, ...(after === undefined ? {} : { after }) };
  const judgement = compareChecks(before, after);
  if (judgement === 'mended' || judgement === 'better') return { outcome: judgement, ...seen };
  tell(`\nSo set it back:\n${handText(recipe, 'on', host)}`);
  return { outcome: judgement === 'worse' ? 'worse-by-hand' : 'unchanged-by-hand', ...seen };
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

function fixedText(fixed: Fixed): string {
  const { outcome, handle, before, change, after } = fixed;
  const { gone, left, added } = compared(fixed);
  const lines = ['', OUTCOMES[outcome]];
  if (gone.length > 0) lines.push(`  gone: ${gone.join(', ')}`);
  if (after !== undefined && left.length > 0) lines.push(`  left: ${left.join(', ')}`);
  if (added.length > 0) lines.push(`  new:  ${added.join(', ')}`);
  for (const task of change?.left ?? []) lines.push(`  left to do: ${task}`);
  if (change?.saved === false)
    lines.push('  Whether it survives a restart is not known: restart the router, and check again.');
  if (change?.changed === true)
    lines.push(`  the way back: sipalg router on ${handle!.host} --recipe ${handle!.recipe.id}`);
  if (!GOOD.includes(outcome)) lines.push(...workaroundLines(after ?? before, handle?.recipe));
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
