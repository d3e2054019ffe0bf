/**
 * What a recipe is: one router's SIP ALG, how it is checked, switched off, and switched back. One YAML file a router. The
 * reader, the linter and docs/reference/recipe.md all come from this table.
 *
 * Two rules run through it. What nobody has shown says so (`verified: false`): a guess must never look like a fact. And
 * what belongs to the ALG is kept apart from other firewall settings, which have a risk of their own.
 */
import * as v from 'valibot';
import { faults } from '../core/detect/faults.ts';
import { remedies } from '../core/detect/remedies.ts';
import {
  advices,
  algDefaults,
  algPresences,
  derivations,
  fingerprintKinds,
  grades,
  loginKinds,
  meanings,
  procedureKinds,
  reboots,
  riskLevels,
  savings,
  statuses,
  switchabilities,
  verdicts,
  wordsOf,
} from './words.ts';

/** A field with one sentence for the reference. */
function field<const Schema extends v.GenericSchema>(schema: Schema, summary: string) {
  return v.pipe(schema, v.metadata({ summary }));
}

/** A field that may be absent. */
function open<const Schema extends v.GenericSchema>(schema: Schema, summary: string) {
  return v.optional(v.pipe(schema, v.metadata({ summary })));
}

/** A list that is empty where it is absent. */
function list<const Item extends v.GenericSchema>(item: Item, summary: string) {
  return v.optional(v.pipe(v.array(item), v.maxLength(MAX_ITEMS), v.metadata({ summary })), []);
}

function word<const Table extends Readonly<Record<string, string>>>(table: Table) {
  return v.picklist(wordsOf(table));
}

const MAX_ITEMS = 64;
const MAX_TEXT = 1500;

const text = v.pipe(v.string(), v.trim(), v.minLength(1, 'a text'), v.maxLength(MAX_TEXT, 'a shorter text'));
const slug = v.pipe(v.string(), v.regex(/^[a-z0-9]+(?:-[a-z0-9]+)*$/, 'lower-case words joined by hyphens'));
const code = v.pipe(v.string(), v.regex(/^[A-Z][A-Z0-9-]*$/, 'a code such as VENDOR-MANUAL'));
const date = v.pipe(
  v.string(),
  v.regex(/^\d{4}(?:-\d\d(?:-\d\d)?)?$/, 'a date such as 2026-11-22, or its year'),
);
const web = v.pipe(v.string(), v.regex(/^https?:\/\/\S+$/, 'a web address'));
const pattern = v.pipe(
  text,
  v.check(
    isPattern,
    'a regular expression (of at most 200 characters, without look-behind and back-references)',
  ),
);

const codes = list(code, 'Codes of `sources` on which this stands.');
const verified = field(
  v.boolean(),
  'Whether a source that was read says so. `false`: from memory or a guess, and shown as such.',
);

const name = v.pipe(
  v.string(),
  v.regex(/^[a-z][a-zA-Z0-9]{0,31}$/, 'a name of letters and digits, such as helper'),
);
const taking = v.pipe(
  pattern,
  v.check((source) => /\(\?<[a-z]/i.test(source), 'a regular expression with a named group: (?<name>…)'),
);
const takes = (summary: string) => list(taking, summary);

const headerFields = (summary: string) =>
  list(
    v.strictObject({
      name: field(
        v.pipe(v.string(), v.regex(/^[A-Za-z0-9_-]{1,64}$/, 'the name of a header field')),
        'The name of the header field.',
      ),
      value: field(text, 'Its value; `{{name}}` stands for a value.'),
    }),
    summary,
  );

const answer = v.strictObject({
  match: field(pattern, 'A regular expression over the whole answer; `^` and `$` match at line ends.'),
  means: field(word(meanings), 'What the answer says.'),
});

const step = v.strictObject({
  do: open(text, 'What a person does.'),
  menu: list(text, 'The way through the menus, in the words of the device.'),
  set: open(
    v.strictObject({
      control: field(text, 'The label of the box or list, as the device spells it.'),
      to: field(text, 'What it is set to: `ticked`, `unticked`, or the entry to choose.'),
    }),
    'What is set on the page.',
  ),
  send: open(text, 'A line to type at the prompt; `{{name}}` stands for a value.'),
  request: open(
    v.strictObject({
      method: field(v.picklist(['GET', 'POST', 'PUT', 'DELETE']), 'The HTTP method.'),
      path: field(v.pipe(text, v.startsWith('/')), 'The path on the device.'),
      body: open(text, 'The body.'),
      type: open(text, 'Its Content-Type.'),
      headers: headerFields('Header fields beside those of the login.'),
    }),
    'An HTTP request; `{{name}}` stands for a value.',
  ),
  see: open(text, 'What must be seen then, in words.'),
  answers: list(answer, 'What the answer can be, for programs; the first that matches counts.'),
  silent: open(v.boolean(), 'The device says nothing but its prompt; anything else ends it.'),
  take: takes(
    'What is taken from the answer (of HTTP: status, header fields and body): each named group is a value. It has to match, unless the answer means `off` or `absent`.',
  ),
  where: open(name, 'Done only where this value is there.'),
  optional: open(v.boolean(), 'May be left out where the device does not know it.'),
  verified: open(v.boolean(), 'As the procedure, unless it is said here.'),
  sources: codes,
});

const steps = (summary: string) => list(step, summary);

const risk = v.strictObject({
  level: field(word(riskLevels), 'How bad it can get.'),
  text: field(text, 'What can happen.'),
});

const procedure = v.strictObject({
  id: field(slug, 'Its name within the recipe.'),
  kind: field(word(procedureKinds), 'By which way.'),
  title: field(text, 'One line for the reader.'),
  firmware: open(text, 'For which versions.'),
  models: list(text, 'For which models, where not for all of the record.'),
  verified,
  sources: codes,
  address: open(text, 'Where it is reached, where that is known; otherwise the default gateway.'),
  login: open(
    v.strictObject({
      kind: field(word(loginKinds), 'How one logs in.'),
      user: open(v.string(), 'The user name as shipped.'),
      password: open(
        v.string(),
        'The password as shipped; an empty text where it is empty. Never sent unasked.',
      ),
      note: open(text, 'What else is to know.'),
      verified,
      sources: codes,
      requests: list(
        step,
        'How a program logs in to an HTTP interface: requests, one after another, with the fields of a step of `check`. `{{user}}`, `{{password}}` (in a body as JSON or XML wants it) and what is derived may stand in them.',
      ),
      derive: list(
        v.strictObject({
          name: field(name, 'What it is called.'),
          from: field(text, 'From which text, with values in it.'),
          by: field(
            v.pipe(v.array(word(derivations)), v.minLength(1), v.maxLength(4)),
            'What is done to it, one after another.',
          ),
        }),
        'Values that are computed, such as the proof of a password; each may stand on those before it.',
      ),
      headers: headerFields('Header fields of every request, as soon as their values are there.'),
      take: takes(
        'What any answer may bring anew, such as the next token; nothing happens where it does not match.',
      ),
      renew: open(
        pattern,
        'What an answer (`HTTP 200`, header fields, body) is like when session or token are no longer good. Then it logs in anew, once, and sends the request again.',
      ),
    }),
    'The login.',
  ),
  values: list(
    v.strictObject({
      name: field(name, 'What it is called: `{{name}}` in a line.'),
      what: field(text, 'What it is, for people.'),
      match: field(pattern, 'What it can be, as a whole; anything else is a surprise.'),
      restore: open(
        v.boolean(),
        'It belongs to what is taken away: kept from the check before `off`, and put back by `on`.',
      ),
      otherwise: open(text, 'What `on` takes where nothing was kept.'),
    }),
    'What has to be looked up on the device, and is put into later lines.',
  ),
  prompt: open(pattern, 'A regular expression for the prompt, where commands are typed.'),
  legacySsh: list(
    v.strictObject({
      algorithm: field(text, 'The name of the algorithm, as SSH spells it.'),
      why: field(text, 'Why this device needs it.'),
    }),
    'SSH algorithms that no longer count as safe and that this device is known to need. Nothing else may be allowed.',
  ),
  check: steps('How to see whether the ALG is on.'),
  off: steps('How it is switched off.'),
  on: steps('How it is switched back on.'),
  persist: steps('What keeps the setting over a restart, if it takes steps of its own.'),
  saves: field(word(savings), 'Whether the setting survives a restart.'),
  flush: steps('How states made under the old setting are removed.'),
  reboot: field(word(reboots), 'Whether it takes a restart.'),
  risk: field(risk, 'What can go wrong.'),
});

const fingerprint = v.strictObject({
  kind: field(word(fingerprintKinds), 'What is looked at.'),
  match: field(pattern, 'A regular expression; case does not matter.'),
  verified,
  sources: codes,
});

export const recipeSchema = v.strictObject({
  id: field(slug, 'The same for ever; programs match on it. It is the path of the file, vendor and model.'),
  vendor: field(text, 'Who makes or hands out the device.'),
  names: list(text, 'What people call it; `sipalg router search` finds these.'),
  models: list(text, 'The models for which it was written down.'),
  firmware: open(text, 'The range of firmware for which it was written down.'),
  fingerprints: list(fingerprint, 'By what it is recognised in the network.'),
  alg: field(
    v.strictObject({
      present: field(word(algPresences), 'Whether it has one.'),
      default: field(word(algDefaults), 'How it is shipped.'),
      canSwitchOff: field(word(switchabilities), 'Whether it can be switched off.'),
      verified,
      sources: codes,
      note: open(text, 'What else is to know.'),
    }),
    'Its SIP ALG.',
  ),
  labels: list(
    v.strictObject({
      text: field(text, 'The label.'),
      ticked: field(
        v.picklist(['on', 'off', 'unknown']),
        'What the ALG is when the box is ticked, or the entry is enabled.',
      ),
      note: open(text, 'What else is to know.'),
      verified,
      sources: codes,
    }),
    'Boxes and lists by which the ALG is switched, each with its polarity.',
  ),
  procedures: list(procedure, 'The ways to do it, best first.'),
  effects: list(text, 'Side effects of switching the ALG off.'),
  article: open(
    v.strictObject({
      headings: field(v.pipe(v.array(text), v.minLength(1)), 'Under which headings the article has it.'),
      says: field(text, 'What it says, in our words.'),
      verdict: field(word(verdicts), 'Whether that still holds.'),
      why: field(text, 'Why.'),
    }),
    'The article that is copied from page to page, and what has become of what it says.',
  ),
  firewall: list(
    v.strictObject({
      setting: field(text, 'The setting.'),
      change: field(text, 'The change.'),
      advice: field(word(advices), 'Whether to do it.'),
      helps: list(v.picklist(faults.map(({ id }) => id)), 'Faults that it can mend.'),
      risk: field(risk, 'What it costs.'),
      verified,
      sources: codes,
    }),
    'Other settings that matter for telephony. None of them is the switch of the ALG.',
  ),
  workarounds: list(
    v.picklist(remedies.map(({ id }) => id)),
    'What helps where nothing can be switched, by id of a remedy; most promising first.',
  ),
  faults: list(
    v.picklist(faults.map(({ id }) => id)),
    'Faults that such an ALG makes, and that should be gone from the wire when it is off. Not every device makes all of them.',
  ),
  warnings: list(
    v.strictObject({
      claim: field(text, 'A recipe that goes round and must not be followed.'),
      truth: field(text, 'What is the case instead.'),
      verified,
      sources: codes,
    }),
    'False recipes.',
  ),
  unproven: list(text, 'What nobody has shown yet about this device.'),
  sources: field(
    v.pipe(
      v.array(
        v.strictObject({
          code: field(code, 'The code by which the record names it.'),
          what: field(text, 'What it is.'),
          address: open(web, 'Where it is.'),
          date: open(date, 'Of the document, or when it was looked up for the record.'),
          grade: field(word(grades), 'What it is worth.'),
        }),
      ),
      v.minLength(1, 'at least one source'),
      v.maxLength(MAX_ITEMS),
    ),
    'Where the record has it from.',
  ),
  status: field(word(statuses), 'How sure the record is, as a whole.'),
});

export type Recipe = v.InferOutput<typeof recipeSchema>;
export type Procedure = Recipe['procedures'][number];
export type Step = Procedure['off'][number];

/** The parts of a procedure that hold steps, in the order in which they are done. */
export const phases = [
  'check',
  'off',
  'persist',
  'flush',
  'on',
] as const satisfies readonly (keyof Procedure)[];

export interface RecipeField {
  /** `['procedures', '[]', 'kind']`: `[]` stands for the items of a list. */
  readonly path: readonly string[];
  readonly required: boolean;
  readonly summary: string;
  /** The words, where only some are allowed. */
  readonly words: readonly string[] | undefined;
}

/** Every field, for the reference. */
export const recipeFields: readonly RecipeField[] = Object.freeze(collect(recipeSchema as Shape, []));

/** Only what this file itself builds: optional, pipe, object, list, picklist. */
interface Shape {
  readonly type: string;
  readonly wrapped?: Shape;
  readonly entries?: Readonly<Record<string, Shape>>;
  readonly item?: Shape;
  readonly options?: readonly string[];
  readonly pipe?: readonly { readonly type: string; readonly metadata?: { readonly summary?: string } }[];
}

function collect(shape: Shape, path: readonly string[]): RecipeField[] {
  return Object.entries(shape.entries ?? {}).flatMap(([name, entry]) => {
    const inner = entry.wrapped ?? entry;
    const item = inner.item;
    const here = [...path, name];
    const summary = (inner.pipe ?? []).flatMap((part) => part.metadata?.summary ?? []).at(-1) ?? '';
    const words = inner.options ?? item?.options;
    const own: RecipeField = { path: here, required: entry.wrapped === undefined, summary, words };
    return [own, ...(item === undefined ? collect(inner, here) : collect(item, [...here, '[]']))];
  });
}

/** Patterns are run against what a device answers: short ones, and none that can go back on itself for ever. */
function isPattern(source: string): boolean {
  if (source.length > 200 || /\\[1-9k]|\(\?<[=!]|[+*}]\)[+*{]/.test(source)) return false;
  try {
    new RegExp(source, 'imu');
    return true;
  } catch {
    return false;
  }
}
