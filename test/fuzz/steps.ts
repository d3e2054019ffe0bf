/**
 * Counts the steps that a piece of work takes, without a clock: how often each block of our own code is entered, as the
 * engine that runs it counts for coverage (every loop body, branch and function), and how many octets or characters each
 * native call is given to look at (searches, copies, conversions, regular expressions). The count is nearly the same in every
 * run and on every machine.
 *
 * What is not seen: what a regular expression does beyond one look at its input, and the insides of Map and Set.
 */
import { Session } from 'node:inspector';

const session = new Session();
let native = 0;
let isCounting = false;

/** To be called before the code that is counted is imported: what it takes hold of at its start is counted then, too. */
export function startCounting(): void {
  session.connect();
  session.post('Profiler.enable');
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  countNatives();
}

export function stopCounting(): void {
  session.post('Profiler.stopPreciseCoverage');
  session.disconnect();
}

/** Steps of `work`, in code whose place has one of `folders` in it. */
export function countSteps(work: () => void, folders: readonly string[] = ['/src/']): number {
  blocks(folders);
  native = 0;
  isCounting = true;
  try {
    work();
  } finally {
    isCounting = false;
  }
  return native + blocks(folders);
}

/** Entries of blocks since the last time this was asked. */
function blocks(folders: readonly string[]): number {
  let sum = 0;
  session.post('Profiler.takePreciseCoverage', (error, { result }) => {
    if (error !== null) throw new Error(error.message);
    for (const script of result) {
      if (!folders.some((folder) => script.url.includes(folder))) continue;
      for (const { ranges } of script.functions) for (const { count } of ranges) sum += count;
    }
  });
  return sum;
}

type Method = (this: unknown, ...rest: unknown[]) => unknown;

/** Native work is as long as what it looks at, or as what it makes. */
function countNatives(): void {
  const whole = (self: unknown): number => (self as { length: number }).length;
  const result = (_self: unknown, _rest: readonly unknown[], made: unknown): number =>
    typeof made === 'string' || ArrayBuffer.isView(made) || Array.isArray(made) ? whole(made) : 1;
  const source = (_self: unknown, rest: readonly unknown[]): number => whole(rest[0]);
  // A search looks at what lies between its start and what it found.
  const searched = (self: unknown, rest: readonly unknown[], found: unknown): number => {
    const from = typeof rest[1] === 'number' ? rest[1] : 0;
    return Math.max(1, (typeof found === 'number' && found >= 0 ? found : whole(self)) - from);
  };
  const bytes = Object.getPrototypeOf(Uint8Array.prototype) as object;
  patch(bytes, 'indexOf', searched);
  patch(bytes, 'includes', searched);
  patch(bytes, 'slice', result);
  patch(bytes, 'set', source);
  patch(bytes, 'fill', whole);
  patch(Buffer.prototype, 'latin1Slice', result);
  patch(String.prototype, 'indexOf', searched);
  patch(String.prototype, 'lastIndexOf', whole);
  patch(String.prototype, 'includes', whole);
  for (const name of ['split', 'toLowerCase', 'toUpperCase', 'replaceAll', 'trim'])
    patch(String.prototype, name, whole);
  for (const name of ['slice', 'substring']) patch(String.prototype, name, result);
  for (const name of ['splice', 'slice', 'concat', 'join', 'sort', 'flatMap', 'indexOf', 'shift'])
    patch(Array.prototype, name, whole);
  patch(RegExp.prototype, 'exec', source);
  patch(RegExp.prototype, 'test', source);
}

/** Puts a counting one in the place of a method; the result is the same. */
function patch(
  on: object,
  name: string,
  cost: (self: unknown, rest: readonly unknown[], made: unknown) => number,
): void {
  const original = (on as Record<string, Method>)[name] as Method;
  function counting(this: unknown, ...rest: unknown[]): unknown {
    const made = original.apply(this, rest);
    if (isCounting) native += cost(this, rest, made);
    return made;
  }
  Object.defineProperty(on, name, { value: counting, configurable: true, writable: true });
}
