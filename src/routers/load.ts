/**
 * Reads recipes. A recipe is YAML 1.2 without anchors, aliases and tags, so that a file is what it looks like and cannot
 * grow when it is read. Whatever the bytes are, either a recipe comes out or problems that say where and how to mend them.
 */
import * as v from 'valibot';
import { type Document, isAlias, isMap, isNode, isPair, LineCounter, parseDocument, visit } from 'yaml';
import type { RecipeProblem } from './problem.ts';
import { type Recipe, recipeSchema } from './schema.ts';

/** The longest recipe has a fifth of that. */
export const MAX_RECIPE_BYTES = 128 * 1024;
/** Recipes nest seven deep. */
const MAX_DEPTH = 32;
/** One mistake near the top can make hundreds below it. */
const MAX_PROBLEMS = 20;

export type LoadedRecipe =
  | { readonly recipe: Recipe; readonly problems?: never }
  | { readonly recipe?: never; readonly problems: readonly RecipeProblem[] };

/** `file` is how problems name it. */
export function parseRecipe(text: string, file: string): LoadedRecipe {
  const problem = (code: RecipeProblem['code'], what: string, remedy: string, offset?: number) => {
    const at = offset === undefined ? undefined : lines.linePos(offset);
    const place = at === undefined || at.line < 1 ? {} : { line: at.line, column: Math.max(1, at.col) };
    return { code, file, ...place, what: shorten(what), remedy } satisfies RecipeProblem;
  };
  const lines = new LineCounter();
  if (/^%/m.test(text))
    return { problems: [problem('routers/syntax', 'a line that begins with %', PLAIN, text.search(/^%/m))] };
  if (Buffer.byteLength(text) > MAX_RECIPE_BYTES)
    return {
      problems: [
        problem(
          'routers/too-large',
          `the file has more than ${MAX_RECIPE_BYTES / 1024} KiB`,
          'a recipe is one router; put each into a file of its own',
        ),
      ],
    };
  const deep = depthExceeded(text);
  if (deep) return { problems: [problem('routers/syntax', `nested deeper than ${MAX_DEPTH} levels`, FLAT)] };

  const document = parseDocument(text, {
    version: '1.2',
    lineCounter: lines,
    // With `silent` it would also keep quiet about a second document.
    logLevel: 'error',
    prettyErrors: false,
    uniqueKeys: true,
    merge: false,
  });
  const wrong = [...document.errors, ...document.warnings].map((error) =>
    problem('routers/syntax', `not YAML: ${error.message.split('\n')[0]}`, SYNTAX, error.pos[0]),
  );
  visit(document, {
    Node(_, node) {
      const tag = isNode(node) && !isAlias(node) ? node.tag : undefined;
      const anchor = isNode(node) && !isAlias(node) ? node.anchor : undefined;
      if (isAlias(node) || anchor !== undefined)
        wrong.push(problem('routers/syntax', 'an anchor or an alias', PLAIN, node.range?.[0]));
      else if (tag !== undefined)
        wrong.push(problem('routers/syntax', `a tag: ${tag}`, PLAIN, node.range?.[0]));
    },
  });
  if (wrong.length > 0) return { problems: wrong.slice(0, MAX_PROBLEMS) };

  if (!isMap(document.contents))
    return {
      problems: [
        problem(
          'routers/field',
          'the file holds no recipe',
          `write "id:", "vendor:" and so on; ${REFERENCE}`,
        ),
      ],
    };

  const result = v.safeParse(recipeSchema, document.toJS({ maxAliasCount: 0 }));
  if (result.success) return { recipe: result.output };
  return {
    problems: result.issues.slice(0, MAX_PROBLEMS).map((issue) => {
      const path = (issue.path ?? []).map((item) => item.key as string | number);
      const { what, remedy } = issueText(issue, path);
      return problem('routers/field', what, remedy, offsetOf(document, path));
    }),
  };
}

/** A parser may quote what it chokes on. */
function shorten(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

const SYNTAX = 'mend the syntax here; a text with a colon, a hash or a quotation mark stands in quotes';
const PLAIN = 'write it out: recipes have no anchors, aliases or tags';
const REFERENCE = 'docs/reference/recipe.md shows every field';
const FLAT = `write it flatter; ${REFERENCE}`;

/** Before the parser, which is recursive, sees it. Flow brackets and indentation are all that nests. */
function depthExceeded(text: string): boolean {
  let depth = 0;
  for (const char of text) {
    if (char === '[' || char === '{') depth++;
    else if (char === ']' || char === '}') depth = Math.max(0, depth - 1);
    if (depth > MAX_DEPTH) return true;
  }
  for (const line of text.split('\n')) {
    const lead = /^[\s\-?:]*/.exec(line)![0];
    if ((lead.match(/[-?:]/g)?.length ?? 0) > MAX_DEPTH && /[-?:]\s+[-?:]\s/.test(lead)) return true;
    if (/^ */.exec(line)![0].length > MAX_DEPTH * 8) return true;
  }
  return false;
}

function issueText(issue: v.BaseIssue<unknown>, path: readonly (string | number)[]) {
  const name = path.reduce<string>(
    (left, part) =>
      typeof part === 'number' ? `${left}[${part + 1}]` : left === '' ? part : `${left}.${part}`,
    '',
  );
  if (issue.expected === 'never')
    return { what: `unknown field ${name}`, remedy: `take it out; ${REFERENCE}` };
  if (issue.received === 'undefined') return { what: `${name} is missing`, remedy: `add it; ${REFERENCE}` };
  return { what: `${name} is ${issue.received}`, remedy: `write ${wantedText(issue)}; ${REFERENCE}` };
}

const TYPES: Readonly<Record<string, string>> = {
  string: 'a text (in quotes where it looks like a number or a date)',
  boolean: 'true or false',
  Object: 'a table (key: value)',
  Array: 'a list',
};

function wantedText({ expected, message, type }: v.BaseIssue<unknown>): string {
  // Lengths and patterns are said in words by the schema.
  if (expected === null || type === 'regex' || type === 'min_length' || type === 'max_length') return message;
  return (TYPES[expected] ?? expected).slice(0, 400);
}

/** Where the node of a path stands, or the nearest above it. */
function offsetOf(document: Document, path: readonly (string | number)[]): number | undefined {
  for (let length = path.length; length > 0; length--) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    if (isMap(parent)) {
      const pair = parent.items.find(
        (item) => isPair(item) && isNode(item.key) && String(item.key) === path[length - 1],
      );
      const start = pair !== undefined && isNode(pair.key) ? pair.key.range?.[0] : undefined;
      if (start !== undefined) return start;
    }
    const node = document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return node.range[0];
  }
  return 0;
}
