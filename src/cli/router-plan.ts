/** What is going to be sent to a router, word for word, before anybody is asked whether it shall be. */
import { lineText, type Target } from '../routers/change.ts';
import type { Procedure, Recipe, Step } from '../routers/schema.ts';
import { fillStep, shownLine, type Values } from '../routers/values.ts';

export function planText(
  recipe: Recipe,
  procedure: Procedure,
  target: Target,
  place: string,
  kept: Values = new Map(),
): string {
  const section = (title: string, steps: readonly Step[]): string[] =>
    steps.length === 0 ? [] : [`${title}:`, ...steps.map((step) => `    ${planLine(step, kept)}`)];
  const back: Target = target === 'off' ? 'on' : 'off';
  const keep = target === 'off' ? procedure.persist : [];
  const lines = [
    `${recipe.vendor}: ${recipe.id}, "${procedure.title}" (${procedure.id}), at ${place}`,
    ...section('It logs in with', procedure.login?.requests ?? []),
    ...section('It reads the state with', procedure.check),
    ...section(
      'It sends, one after another, each after the expected answer to the one before',
      procedure[target],
    ),
    'Then it reads the state again.',
    ...section(`Where the device says "${target}", this keeps the setting over a restart`, keep),
    ...section(
      keep.length === 0
        ? `Where the device says "${target}", this removes states made under the old setting`
        : 'And this removes states made under the old setting',
      procedure.flush,
    ),
    ...section(`Where it does not say "${target}", it is set back with`, procedure[back]),
    ...valueLines(procedure, kept),
    `Risk: ${procedure.risk.level}. ${procedure.risk.text}`,
    ...(place.includes('telnet') ? ['Telnet carries the password in the clear.'] : []),
    ...(place.includes('http (')
      ? ['Where HTTPS does not answer, it goes by HTTP, which whoever is on the way can read.']
      : []),
    ...recipe.effects.map((effect) => `Side effect: ${effect}`),
    ...(procedure.reboot === 'yes' ? ['It takes effect after a restart, which is left to you.'] : []),
    ...(procedure.firmware === undefined ? [] : [`For ${procedure.firmware}.`]),
    ...(isVerified(procedure, target)
      ? []
      : [
          'NOT VERIFIED: no source that was read shows all of these lines. What the device answers is watched all the more.',
        ]),
  ];
  return `${lines.join('\n')}\n`;
}

/** What a look at the state sends. */
export function checkPlanText(recipe: Recipe, procedure: Procedure, place: string): string {
  const lines = (steps: readonly Step[]): string[] => steps.map((step) => `    ${planLine(step, new Map())}`);
  const logins = procedure.login?.requests ?? [];
  return [
    `${recipe.vendor}: ${recipe.id}, "${procedure.title}" (${procedure.id}), at ${place}`,
    ...(logins.length === 0 ? [] : ['It logs in with:', ...lines(logins)]),
    'It reads the state with:',
    ...lines(procedure.check),
    'It changes nothing.',
    '',
  ].join('\n');
}

export function isVerified(procedure: Procedure, target: Target): boolean {
  return (
    procedure.verified &&
    // What is only read, and may be left out, decides nothing.
    [...procedure.check.filter(({ optional }) => optional !== true), ...procedure[target]].every(
      ({ verified }) => verified !== false,
    )
  );
}

function valueLines({ values }: Procedure, kept: Values): string[] {
  return values
    .filter(({ name }) => !kept.has(name))
    .map(
      ({ name, what, otherwise }) =>
        `${name.toUpperCase()} is ${what}, as the device shows it${otherwise === undefined ? '' : `, or ${otherwise}`}.`,
    );
}

/** For what only a person can do. */
export function handText(recipe: Recipe, target: Target, host: string): string {
  const procedure = recipe.procedures.find((one) => one[target].length > 0);
  if (procedure === undefined)
    return `${recipe.vendor} (${recipe.id}): ${recipe.alg.note ?? 'there is no switch that is known.'}\n`;
  const steps = [...procedure[target], ...(target === 'off' ? procedure.persist : [])];
  const lines = [
    `${recipe.vendor} (${recipe.id}): "${procedure.title}", by hand, at ${procedure.address ?? `http://${host}/`}`,
    ...steps.flatMap((step, i) => [
      `  ${i + 1}. ${shownLine(lineText(step))}`,
      ...(step.see === undefined ? [] : [`     You see: ${step.see}`]),
    ]),
    ...(procedure.flush.length > 0 ? ['Afterwards, so that old states go:'] : []),
    ...procedure.flush.map((step) => `  ${lineText(step)}`),
    `Risk: ${procedure.risk.level}. ${procedure.risk.text}`,
  ];
  return `${lines.join('\n')}\n`;
}

/** What is not known yet stands as NAME. */
function planLine(step: Step, kept: Values): string {
  const condition =
    step.where === undefined || kept.has(step.where)
      ? ''
      : `    (only where there is ${step.where.toUpperCase()})`;
  return `${shownLine(lineText(fillStep(step, kept)))}${condition}`;
}
