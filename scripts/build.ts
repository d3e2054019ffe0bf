/**
 * Bundles src/cli/main.ts into dist/sipalg.js.
 *
 * - koffi stays outside: it loads its own native file from node_modules. So do packages that only the commands for routers need,
 *   and they are loaded when such a command runs: an import of the bundle's own would load them with every command, and the gateway
 *   would carry 6 MB that it has no use for.
 * - demo/ stays outside: it starts programs by their place in the checkout, and memory is no concern there.
 * - One file and no minification: a stack trace in an operator's log has to be readable.
 * - recipes/ stays outside: it is data, read when a recipe is asked for. It lies beside dist/, as in a package.
 *
 * The page of the console goes into dist/web (build-page.ts).
 *
 * `--if-stale` builds only what is older than its sources; `--to FILE` writes the bundle elsewhere, and no page; `--page` builds the
 * page alone.
 */
import { mkdir, readdir, rename, stat, utimes } from 'node:fs/promises';
import { dirname, join, relative, resolve } from 'node:path';
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
  const temporary = `${bundle}.${process.pid}`;
  await mkdir(dirname(bundle), { recursive: true });
  await build({
    entryPoints: [join(root, 'src', 'cli', 'main.ts')],
    outfile: temporary,
    bundle: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    external: ['koffi', '@clack/prompts'],
    plugins: [demoStaysOutside, loadedWhenNeeded],
    // CommonJS packages inside the bundle call require().
    banner: {
      js: "import { createRequire as sipalgCreateRequire } from 'node:module';\nconst require = sipalgCreateRequire(import.meta.url);",
    },
    logLevel: 'warning',
    legalComments: 'none',
  });
  // A source that changed while we were building must make the bundle stale.
  await utimes(temporary, startedAt, startedAt);
  await rename(temporary, bundle);
  process.stdout.write(`built ${relative(process.cwd(), bundle)} (${(await stat(bundle)).size} bytes)\n`);
}
// Last: without its page the gateway is a gateway still.
if (to < 0) {
  const { buildPage, isPageFresh } = await import('./build-page.ts');
  if (!(ifStale && (await isPageFresh()))) await buildPage();
}
