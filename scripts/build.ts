/**
 * Bundles src/cli/main.ts into dist/sipalg.js, and what a command loads when it runs into parts beside it: whoever runs one command
 * need not keep the text of all others, 5 MB in a gateway that runs for years.
 *
 * - Only ASCII is written: of a text with one other character in it, V8 keeps every character in two octets.
 * - koffi stays outside: it loads its own native file from node_modules. So do packages that only the commands for routers need,
 *   and they are loaded when such a command runs: an import of the bundle's own would load them with every command, and the gateway
 *   would carry 6 MB that it has no use for.
 * - demo/ stays outside: it starts programs by their place in the checkout, and memory is no concern there.
 * - No minification: a stack trace in an operator's log has to be readable.
 * - recipes/ stays outside: it is data, read when a recipe is asked for. It lies beside dist/, as in a package.
 *
 * The page of the console goes into dist/web (build-page.ts).
 *
 * `--if-stale` builds only what is older than its sources; `--to FILE` writes the bundle elsewhere, and no page; `--page` builds the
 * page alone.
 */
import { mkdir, readdir, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, type Plugin } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const to = process.argv.indexOf('--to');
const bundle = to < 0 ? join(root, 'dist', 'sipalg.js') : resolve(process.argv[to + 1]!);

const demoStaysOutside: Plugin = {
  name: 'demo-stays-outside',
  setup(build) {
    build.onResolve({ filter: /^\.{1,2}\// }, (args) => {
      const path = join(args.resolveDir, args.path);
      if (!relative(root, path).startsWith('demo/')) return undefined;
      return { path: `./${relative(dirname(bundle), path)}`.replace('./../', '../'), external: true };
    });
  },
};

/** An `import` of what stays outside becomes a `require` where the importing module begins to run, which is when its command does. */
const LAZY = ['ssh2', 'fast-xml-parser'];
const loadedWhenNeeded: Plugin = {
  name: 'loaded-when-needed',
  setup(build) {
    build.onResolve({ filter: new RegExp(`^(?:${LAZY.join('|')})$`) }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'lazy' } : { path, external: true },
    );
    build.onLoad({ filter: /.*/, namespace: 'lazy' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
      resolveDir: root,
    }));
  },
};

const PART = 'part-';

/** Wherever such a character stands (comment, string, regular expression), its escape means the same. */
function inAscii(text: string): string {
  return text.replace(/[^\0-\x7f]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/**
 * An `import` of node:http reads each of its exports, and so loads what some of them only stand for: fetch and WebSocket, 6 MB of
 * memory and as much again of the program's own pages. A `require` reads what is asked for.
 */
const withoutFetch: Plugin = {
  name: 'without-fetch',
  setup(build) {
    build.onResolve({ filter: /^(?:node:)?(?:https?|tls)$/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtin' } : { path, external: true },
    );
    build.onLoad({ filter: /.*/, namespace: 'builtin' }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)})`,
    }));
  },
};

async function newestSourceMs(): Promise<number> {
  const files = await readdir(join(root, 'src'), { recursive: true, withFileTypes: true });
  const paths = files.filter((f) => f.isFile()).map((f) => join(f.parentPath, f.name));
  paths.push(join(root, 'package.json'), join(root, 'package-lock.json'));
  const times = await Promise.all(paths.map(async (path) => (await stat(path)).mtimeMs));
  return Math.max(...times);
}

async function isFresh(): Promise<boolean> {
  const built = await stat(bundle).catch(() => undefined);
  return built !== undefined && built.mtimeMs >= (await newestSourceMs());
}

const ifStale = process.argv.includes('--if-stale');
if (!process.argv.includes('--page') && !(ifStale && (await isFresh()))) {
  const startedAt = new Date();
  const folder = dirname(bundle);
  await mkdir(folder, { recursive: true });
  const { outputFiles } = await build({
    // The second one is what a thread of the gateway runs.
    entryPoints: [
      { in: join(root, 'src', 'cli', 'main.ts'), out: basename(bundle, '.js') },
      { in: join(root, 'src', 'gateway', 'threads', 'engine-thread.ts'), out: 'engine-thread' },
    ],
    outdir: folder,
    chunkNames: `${PART}[name]-[hash]`,
    bundle: true,
    splitting: true,
    write: false,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    external: ['koffi', '@clack/prompts'],
    plugins: [demoStaysOutside, loadedWhenNeeded, withoutFetch],
    // CommonJS packages inside the bundle call require().
    banner: {
      js: "import { createRequire as sipalgCreateRequire } from 'node:module';\nconst require = sipalgCreateRequire(import.meta.url);",
    },
    logLevel: 'warning',
    legalComments: 'none',
  });
  // The entry comes last: what it imports is there by then.
  const files = outputFiles.map(({ path, text }) => ({ path, text: inAscii(text) }));
  files.sort((a, b) => Number(a.path === bundle) - Number(b.path === bundle));
  for (const { path, text } of files) {
    const temporary = `${path}.${process.pid}`;
    await writeFile(temporary, text);
    // A source that changed while we were building must make the bundle stale.
    await utimes(temporary, startedAt, startedAt);
    await rename(temporary, path);
  }
  const made = new Set(files.map(({ path }) => basename(path)));
  for (const name of await readdir(folder))
    if (name.startsWith(PART) && !made.has(name)) await rm(join(folder, name), { force: true });
  const octets = files.reduce((sum, { text }) => sum + text.length, 0);
  process.stdout.write(
    `built ${relative(process.cwd(), bundle)} (${octets} bytes in ${files.length} files)\n`,
  );
}
// Last: without its page the gateway is a gateway still.
if (to < 0) {
  const { buildPage, isPageFresh } = await import('./build-page.ts');
  if (!(ifStale && (await isPageFresh()))) await buildPage();
}
