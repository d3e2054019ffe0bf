/** Reading JSON whose form others decide: nothing is assumed, what is not there is undefined. */

export type Json = unknown;

export function list(value: Json): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

export function field(value: Json, ...names: readonly string[]): Json {
  let at = value;
  for (const name of names) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<string, Json>)[name];
  }
  return at;
}
