/** A recipe as a page for people: what is said, in which order. How it looks is for router-text.ts and router-markdown.ts. */
import { faultById } from '../core/detect/faults.ts';
import { remedyById } from '../core/detect/remedies.ts';
import type { Procedure, Recipe, Step } from '../routers/schema.ts';
import { shownLine } from '../routers/values.ts';
import {
  advices,
  algDefaults,
  algPresences,
  grades,
  loginKinds,
  procedureKinds,
  reboots,
  riskLevels,
  savings,
  statuses,
  switchabilities,
  verdicts,
} from '../routers/words.ts';

export interface PageStep {
  readonly text: string;
  /** To be typed as it stands. */
  readonly code?: string;
  readonly see?: string;
}

export type Block =
  | { readonly kind: 'heading'; readonly level: 2 | 3; readonly text: string }
  | { readonly kind: 'text'; readonly text: string; readonly warning?: boolean }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'steps'; readonly title: string; readonly items: readonly PageStep[] };

export interface Page {
  readonly title: string;
  readonly blocks: readonly Block[];
}

const WIRE_TEST = 'sipalg check HOST:PORT/TOKEN/PIN';

/** What stands beside everything that no source shows. */
export const UNVERIFIED = '(not verified)';

export function pageOf(recipe: Recipe): Page {
  const { alg } = recipe;
  const blocks: Block[] = [
    text(
      `${switchabilities[alg.canSwitchOff]} ${algPresences[alg.present]} ${algDefaults[alg.default]}${mark(alg.verified)}`,
    ),
    ...(alg.note === undefined ? [] : [text(alg.note)]),
    text(`Status: ${recipe.status}. ${statuses[recipe.status]}`),
    ...(recipe.models.length === 0 ? [] : [text(`Models: ${recipe.models.join(', ')}.`)]),
    ...(recipe.firmware === undefined ? [] : [text(`Firmware: ${recipe.firmware}.`)]),
    ...section(
      'Do not follow',
      list(recipe.warnings.map(({ claim, truth, verified }) => `“${claim}” ${truth}${mark(verified)}`)),
    ),
    ...section(
      'What a tick means',
      list(
        recipe.labels.map(
          ({ text: label, ticked, note, verified }) =>
            `“${label}”: ${TICKED[ticked]}${note === undefined ? '' : ` ${note}`}${mark(verified)}`,
        ),
      ),
    ),
    ...recipe.procedures.flatMap((procedure, i) => procedureBlocks(procedure, i, recipe.procedures.length)),
    ...section('Side effects', list(recipe.effects)),
    ...section(
      alg.canSwitchOff === 'yes' || alg.canSwitchOff === 'absent'
        ? 'If that does not help'
        : 'What helps instead',
      list(
        recipe.workarounds.map((id) => remedyById(id)).map(({ id, what, why }) => `${what} ${why} (${id})`),
      ),
    ),
    ...section(
      'Other settings, none of which is the ALG',
      list(
        recipe.firewall.map(
          (one) =>
            `${one.setting}: ${sentence(one.change)}${/^Leave /.test(one.change) ? '' : ` ${capital(advices[one.advice])}.`}${one.helps.length === 0 ? '' : ` Against ${one.helps.join(', ')}.`} Risk ${one.risk.level}: ${one.risk.text}${mark(one.verified)}`,
        ),
      ),
    ),
    ...section(
      'What should be gone from the wire, if it was there',
      list(recipe.faults.map((id) => `${id}: ${faultById(id).title}`)),
    ),
    ...articleBlocks(recipe),
    ...section('Not shown by anybody yet', list(recipe.unproven)),
    ...section(
      'Sources',
      list(
        recipe.sources.map(
          ({ code, what, address, date, grade }) =>
            `${code}: ${sentence(what)}${address === undefined ? '' : ` ${address}`}${date === undefined ? '' : ` (${date})`} ${capital(grades[grade])}.`,
        ),
      ),
    ),
  ];
  return { title: `${recipe.vendor}: ${recipe.names[0] ?? recipe.id} (${recipe.id})`, blocks };
}

const TICKED = {
  on: 'a tick means that the ALG is ON.',
  off: 'a tick means that the ALG is OFF.',
  unknown: 'what a tick means is not known; the wire tells.',
} as const;

function procedureBlocks(procedure: Procedure, index: number, count: number): Block[] {
  const { login } = procedure;
  const changes = procedure.off.length > 0;
  const steps = (title: string, items: readonly Step[]): Block[] =>
    items.length === 0 ? [] : [{ kind: 'steps', title, items: pageSteps(items, procedure) }];
  const facts = [
    `By ${procedureKinds[procedure.kind]}${procedure.address === undefined ? '' : `: ${procedure.address}`}.`,
    ...(procedure.models.length === 0 ? [] : [`Models: ${procedure.models.join(', ')}.`]),
    ...(procedure.firmware === undefined ? [] : [`Firmware: ${procedure.firmware}.`]),
    ...(login === undefined ? [] : [loginText(login)]),
    ...procedure.legacySsh.map(
      ({ algorithm, why }) => `SSH needs the old algorithm ${algorithm}: ${sentence(why)}`,
    ),
  ];
  return [
    {
      kind: 'heading',
      level: 2,
      text: `${count > 1 ? `Way ${index + 1} of ${count}: ` : ''}${procedure.title}${procedure.verified ? '' : ` ${UNVERIFIED}`}`,
    },
    text(facts.join(' ')),
    ...(changes
      ? [
          {
            kind: 'text',
            text: `${riskText(procedure.risk)} Save the configuration of the device first.`,
            warning: procedure.risk.level === 'high',
          } as const,
        ]
      : []),
    ...(procedure.values.length === 0 ? [] : [text(VALUES)]),
    ...list(procedure.values.map(({ name, what }) => `\`${name.toUpperCase()}\`: ${what}`)),
    ...steps('Log in, for programs', login?.requests ?? []),
    ...steps('Look first', procedure.check),
    ...steps('Switch it off', procedure.off),
    ...steps('Keep it over a restart', procedure.persist),
    ...steps('Remove what was opened under the old setting', procedure.flush),
    ...(changes
      ? [
          text(
            `${reboots[procedure.reboot]} The setting is ${savings[procedure.saves].replace(/^whether/, 'uncertain: whether')}.`,
          ),
          {
            kind: 'steps',
            title: 'See that it worked',
            items: [
              {
                text: 'Restart a phone, so that it registers anew, and test on the wire:',
                code: WIRE_TEST,
                see: '“unaltered”. A menu that says “off” proves nothing.',
              },
            ],
          } as const,
        ]
      : []),
    ...steps('To put it back', procedure.on),
  ];
}

const VALUES =
  'What stands in capital letters is what the first look shows. Write it down, for the way back as well:';

/** Lines that are typed one after another, and all say nothing, are one step. */
function pageSteps(steps: readonly Step[], procedure: Procedure): PageStep[] {
  const runs: Step[][] = [];
  for (const step of steps) {
    const last = runs.at(-1)?.at(-1);
    const joins =
      last?.silent === true &&
      step.silent === true &&
      last.where === step.where &&
      last.optional === step.optional &&
      last.verified === step.verified;
    if (joins) runs.at(-1)!.push(step);
    else runs.push([step]);
  }
  return runs.map((run) => joined(run.map((step) => pageStep(step, procedure))));
}

function joined(steps: readonly PageStep[]): PageStep {
  const [first] = steps;
  if (steps.length === 1) return first!;
  return {
    ...first!,
    text: first!.text.replace('Type:', 'Type, one line after another:'),
    code: steps.map(({ code }) => code ?? '').join('\n'),
    see: [...new Set(steps.map(({ see }) => see ?? ''))].join(' '),
  };
}

function pageStep(step: Step, { verified }: Procedure): PageStep {
  const uncertain =
    (step.verified ?? verified) === verified ? '' : step.verified === true ? '' : ` ${UNVERIFIED}`;
  const parts = [
    ...(step.where === undefined ? [] : [`Only where the first look shows \`${step.where.toUpperCase()}\`:`]),
    ...(step.optional === true ? ['Where the device knows it:'] : []),
    ...(step.menu.length === 0 ? [] : [`Go to ${step.menu.join(' → ')}.`]),
    ...(step.do === undefined ? [] : [step.do]),
    ...(step.set === undefined ? [] : [setText(step.set)]),
    ...(step.send === undefined ? [] : ['Type:']),
    ...(step.request === undefined ? [] : ['Send:']),
  ];
  const { request } = step;
  const code =
    step.send ??
    (request === undefined
      ? undefined
      : `${request.method} ${request.path}${request.body === undefined ? '' : ` ${request.body}`}`);
  return {
    text: `${parts.join(' ')}${uncertain}`,
    ...(code === undefined ? {} : { code: shownLine(code) }),
    ...(step.see === undefined ? {} : { see: step.see }),
  };
}

function setText({ control, to }: { readonly control: string; readonly to: string }): string {
  if (to === 'ticked') return `Tick “${control}”.`;
  if (to === 'unticked') return `Take the tick out of “${control}”.`;
  return `Set “${control}” to “${to}”.`;
}

function riskText({ level, text: what }: Procedure['risk']): string {
  const usual = `Risk ${level}: ${riskLevels[level]}.`;
  return /^(?:Nothing else changes|As above)\.$/.test(what) ? usual : `${usual} ${what}`;
}

function loginText(login: NonNullable<Procedure['login']>): string {
  const password =
    login.password === undefined
      ? ''
      : login.password === ''
        ? ', no password'
        : `, password ${login.password}`;
  const shipped = login.user === undefined ? '' : `; as shipped: ${login.user}${password}`;
  return `Login: ${loginKinds[login.kind]}${shipped}.${mark(login.verified)}${login.note === undefined ? '' : ` ${login.note}`}`;
}

function articleBlocks({ article }: Recipe): Block[] {
  if (article === undefined) return [];
  return [
    { kind: 'heading', level: 2, text: `The article that goes round: ${article.verdict}` },
    text(`It says: ${article.says}`),
    text(`${verdicts[article.verdict]} ${article.why}`),
  ];
}

function section(title: string, blocks: readonly Block[]): Block[] {
  return blocks.length === 0 ? [] : [{ kind: 'heading', level: 2, text: title }, ...blocks];
}

function list(items: readonly string[]): Block[] {
  return items.length === 0 ? [] : [{ kind: 'list', items }];
}

function text(words: string): Block {
  return { kind: 'text', text: words };
}

function mark(verified: boolean): string {
  return verified ? '' : ` ${UNVERIFIED}`;
}

function sentence(words: string): string {
  return /[.!?”]$/.test(words) ? words : `${words}.`;
}

function capital(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1);
}
