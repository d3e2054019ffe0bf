/**
 * Builds the page of the console, web/, into dist/web, with the catalogue of routers as data beside it, and every file as gzip
 * as well, so that the gateway compresses nothing.
 */
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { pageOf } from '../src/cli/router-page.ts';
import { loadCatalogue } from '../src/routers/catalogue.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
/** Beside which everything else of the page lies. */
const page = join(root, 'dist', 'web');
const sources = ['web', 'recipes', 'src/routers', 'src/cli/router-page.ts', 'package-lock.json'];

/** Whether the page is newer than everything that it is made of. */
export async function isPageFresh(): Promise<boolean> {
  const built = await stat(join(page, 'index.html')).catch(() => undefined);
  if (built === undefined) return false;
  const times = await Promise.all(sources.map((source) => newestMs(join(root, source))));
  return built.mtimeMs >= Math.max(...times);
}

async function newestMs(path: string): Promise<number> {
  const found = await stat(path);
  if (!found.isDirectory()) return found.mtimeMs;
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  return Math.max(...(await Promise.all(files.map(async (file) => (await stat(file)).mtimeMs))));
}

/** In a folder of its own, which then takes the place of the old one: a gateway that starts meanwhile finds one or the other. */
export async function buildPage(): Promise<void> {
  // It takes a second to load, and mostly there is nothing to build.
  const { build } = await import('vite');
  const startedAt = new Date();
  const draft = `${page}.${process.pid}`;
  await build({
    root: join(root, 'web'),
    configFile: false,
    logLevel: 'warn',
    // An address within the page (/calls/…) still finds its scripts.
    base: '/',
    oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
    build: {
      outDir: draft,
      emptyOutDir: true,
      target: 'es2022',
      // The page's policy admits nothing inline.
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
  });
  await writeFile(join(draft, 'routers.json'), JSON.stringify(catalogue()));
  let compressed = 0;
  for (const entry of await readdir(draft, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const bytes = gzipSync(await readFile(path), { level: 9 });
    await writeFile(`${path}.gz`, bytes);
    if (entry.name !== 'routers.json') compressed += bytes.length;
  }
  await utimes(join(draft, 'index.html'), startedAt, startedAt);
  await mkdir(join(root, 'dist'), { recursive: true });
  await rm(page, { recursive: true, force: true });
  await rename(draft, page);
  process.stdout.write(`built dist/web (${compressed} bytes compressed)\n`);
}

function catalogue(): object[] {
  const { recipes } = loadCatalogue(join(root, 'recipes'));
  return recipes.map((recipe) => ({
    id: recipe.id,
    vendor: recipe.vendor,
    names: recipe.names,
    models: recipe.models,
    canSwitchOff: recipe.alg.canSwitchOff,
    status: recipe.status,
    verdict: recipe.article?.verdict ?? null,
    blocks: pageOf(recipe).blocks,
  }));
}
