/**
 * What has to be looked up on a device before it can be switched: the number of an entry, an id, a token. A named group of a
 * pattern takes it out of an answer, `{{name}}` puts it into a later line. What comes from a device is typed into the same
 * device again, so it has to look as the recipe says, and it is one line of plain characters whatever the recipe says.
 */
import { createHash } from 'node:crypto';
import { printable, RouterError } from './drive/failure.ts';
import type { Procedure, Step } from './schema.ts';
import type { derivations } from './words.ts';

export type Values = ReadonlyMap<string, string>;
export type ValueRule = Procedure['values'][number];

const PLACEHOLDER = /\{\{([a-zA-Z0-9]+)\}\}/g;
const MAX_VALUE = 4096;
const PLAIN = /^[\x20-\x7e]+$/;

/** The names that stand in a text, each once. */
export function namesIn(text: string): string[] {
  return [...new Set([...text.matchAll(PLACEHOLDER)].map(([, name]) => name!))];
}

/** As it is shown to people: `delete HELPER`. */
export function shownLine(text: string): string {
  return text.replaceAll(PLACEHOLDER, (_, name: string) => name.toUpperCase());
}

/** Every text of a step that is sent. */
export function textsOf({ send, request }: Step): string[] {
  return [
    ...(send === undefined ? [] : [send]),
    ...(request === undefined
      ? []
      : [request.path, request.body ?? '', ...request.headers.map(({ value }) => value)]),
  ];
}

/** The names of the groups of a pattern. */
export function groupsOf(pattern: string): string[] {
  return [...pattern.matchAll(/\(\?<([a-zA-Z0-9]+)>/g)].map(([, name]) => name!);
}

/** With every value in its place. What is not known stays as it is. */
export function fillKnown(
  text: string,
  values: Values,
  written: (value: string) => string = (v) => v,
): string {
  return text.replaceAll(PLACEHOLDER, (whole, name: string) => {
    const value = values.get(name);
    return value === undefined ? whole : written(value);
  });
}

export function fillStep(step: Step, values: Values): Step {
  const fill = (text: string): string => fillKnown(text, values);
  const { send, request } = step;
  return {
    ...step,
    ...(send === undefined ? {} : { send: fill(send) }),
    ...(request === undefined
      ? {}
      : {
          request: {
            ...request,
            path: fill(request.path),
            ...(request.body === undefined ? {} : { body: fill(request.body) }),
            headers: request.headers.map(({ name, value }) => ({ name, value: fill(value) })),
          },
        }),
  };
}

/** What the patterns take; undefined where one of them does not match. */
export function takeFrom(patterns: readonly string[], text: string): Map<string, string> | undefined {
  const values = new Map<string, string>();
  for (const pattern of patterns) {
    const groups = new RegExp(pattern, 'imu').exec(text)?.groups;
    if (groups === undefined) return undefined;
    for (const [name, value] of Object.entries(groups)) if (value !== undefined) values.set(name, value);
  }
  return values;
}

/** Throws where a value is not what the recipe says that it can be. */
export function requireSound(values: Values, rules: readonly ValueRule[]): void {
  for (const [name, value] of values) {
    const rule = rules.find((one) => one.name === name);
    const fits = rule === undefined || new RegExp(`^(?:${rule.match})$`, 'u').test(value);
    if (fits && isPlain(value)) continue;
    throw new RouterError(
      'routers/surprise',
      `the device gives "${printable(value, 80)}" for ${rule?.what ?? name}, which the recipe does not expect`,
      'nothing was sent after it. The firmware may be another than the recipe is for',
    );
  }
}

export function isPlain(value: string): boolean {
  return value.length <= MAX_VALUE && PLAIN.test(value);
}

const derive: Readonly<Record<keyof typeof derivations, (text: string) => string>> = {
  sha256: (text) => createHash('sha256').update(text).digest('hex'),
  md5: (text) => createHash('md5').update(text).digest('hex'),
  base64: (text) => Buffer.from(text).toString('base64'),
};

export function derived(text: string, by: readonly (keyof typeof derivations)[]): string {
  return by.reduce((result, how) => derive[how](result), text);
}
