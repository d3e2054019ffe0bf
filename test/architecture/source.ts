/** The source files as the architecture tests see them: where they are, what they import, what is code in them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

export interface SourceFile {
  /** From the root, with forward slashes: `src/core/net/address.ts`. */
  readonly path: string;
  readonly text: string;
  /** The text with comments blanked out, so that what is only talked about does not count. Lines stay where they are. */
  readonly code: string;
  /** As `code`, with the contents of texts and regular expressions blanked out as well. */
  readonly bare: string;
  /** Files inside the repository that it imports, from the root; also `import()` and `export … from`. */
  readonly imports: readonly string[];
  /** Anything else that it imports: packages, `node:` modules. */
  readonly packages: readonly string[];
}

export function isTest(path: string): boolean {
  return path.endsWith('.test.ts') || path.startsWith('test/');
}

/** All TypeScript files below the folders, sorted. */
export function sourceFiles(...folders: readonly string[]): SourceFile[] {
  return folders
    .flatMap((folder) => filesBelow(folder))
    .filter((path) => path.endsWith('.ts'))
    .sort()
    .map(readSource);
}

export function filesBelow(folder: string): string[] {
  try {
    return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

const importPattern = /(?:\bfrom\s*|\bimport\s*\(\s*|\bimport\s+)(['"])([^'"\n]+)\1/g;

function readSource(path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8');
  const { code, bare } = strip(text);
  const imports: string[] = [];
  const packages: string[] = [];
  for (const [, , specifier] of code.matchAll(importPattern)) {
    if (specifier!.startsWith('.')) imports.push(posix.join(posix.dirname(path), specifier!));
    else packages.push(specifier!);
  }
  return { path, text, code, bare, imports, packages };
}

/** Good enough for our own formatted sources; not a parser. */
function strip(text: string): { code: string; bare: string } {
  const token =
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\[\s\S])*`|(?<=[=(,:[!&|?{};\n]\s*|return\s)\/(?![/*])(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[dgimsuvy]*/g;
  const blank = (part: string): string => part.replaceAll(/[^\n]/g, ' ');
  const code = text.replaceAll(token, (part) =>
    part.startsWith('/*') || part.startsWith('//') ? blank(part) : part,
  );
  const bare = text.replaceAll(token, blank);
  return { code, bare };
}
