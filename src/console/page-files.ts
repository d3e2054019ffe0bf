/** The page as it was built: read once, with what a browser may do with it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface PageFile {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** As gzip, where that is shorter. */
  readonly gzip: Uint8Array<ArrayBuffer> | undefined;
  readonly type: string;
  /** Its name changes with its content. */
  readonly lasting: boolean;
}

const types: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.json': 'application/json',
};

/** Scripts and styles from here and nowhere else, nothing inside the page's own text, and nobody frames it. */
export const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
].join('; ');

/** `dist/web`: beside the bundle, or beside src/ in a checkout; undefined where it has not been built. */
export function pageFolder(): string | undefined {
  const places = ['./web', '../../dist/web'].map((path) => fileURLToPath(new URL(path, import.meta.url)));
  return places.find((path) => existsSync(join(path, 'index.html')));
}

/** Every file of the page by its path: `/index.html`. */
export function readPage(folder: string): ReadonlyMap<string, PageFile> {
  const files = new Map<string, PageFile>();
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const type = types[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(`/${relative(folder, path).split(sep).join('/')}`, {
      bytes: new Uint8Array(readFileSync(path)),
      gzip: existsSync(`${path}.gz`) ? new Uint8Array(readFileSync(`${path}.gz`)) : undefined,
      type,
      lasting: path.includes(`${sep}assets${sep}`),
    });
  }
  return files;
}
