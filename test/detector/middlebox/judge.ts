/** Runs checks through simulated boxes, and says whether the right name was found. */
import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { CheckReport } from '../../../src/core/detect/check-report.ts';
import type { FaultId } from '../../../src/core/detect/faults.ts';
import { BoxLab } from '../lab.ts';
import { type Behaviour, SimulatedBox } from './box.ts';
import type { Order } from './clerk.ts';
import type { FaultyBox } from './faulty.ts';

export interface Judged {
  readonly report: Pick<CheckReport, 'verdict' | 'headline' | 'findings' | 'edits' | 'facts' | 'steps'>;
  /** Not the consistent edits of an ALG. */
  readonly named: readonly FaultId[];
}

export class Court {
  readonly lab = new BoxLab({ nat: 'none' });
  readonly box = new SimulatedBox(this.lab);
  /** A quick check on a line without delay. */
  static readonly quick = ['--quick', '--patience', '200', '--idle', '1'] as const;
  #invitation = '';
  #clerk: Clerk | undefined;

  static async open(): Promise<Court> {
    const court = new Court();
    try {
      court.#invitation = await court.lab.reflector();
    } catch (error) {
      court.close();
      throw error;
    }
    return court;
  }

  async check(behaviour: Behaviour, ...options: readonly string[]): Promise<Judged> {
    this.box.behave(behaviour);
    const run = await this.lab.check(this.#invitation, '--json', ...options);
    if (run.stderr !== '') throw new Error(run.stderr);
    return judged(JSON.parse(run.stdout) as CheckReport);
  }

  /** The step alone that shows it; in a process that has made checks before. */
  async only({ make, step, options = [], everyMethod }: FaultyBox): Promise<Judged> {
    const idle = options[options.indexOf('--idle') + 1] ?? '0';
    this.box.behave(make());
    this.#clerk ??= await Clerk.start(this.lab);
    const report = await this.#clerk.check({
      invitation: this.#invitation,
      options: {
        ...(options.includes('--long') ? { long: true } : { quick: everyMethod !== true }),
        ...{ only: step, patience: '150', idle },
      },
    });
    return judged(report);
  }

  /** Everything that a check does; with the pause that shows it, where it takes one. */
  whole({ make, everyMethod, options = [] }: FaultyBox): Promise<Judged> {
    const usual = options.includes('--idle') ? Court.quick.slice(0, -2) : Court.quick;
    return this.check(make(), ...usual.slice(everyMethod === true ? 1 : 0), ...options);
  }

  close(): void {
    this.box.close();
    this.lab.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function judged(report: CheckReport): Judged {
  return { report, named: [...new Set(report.findings.map(({ fault }) => fault))].sort() };
}

/** The process that makes checks one after another (clerk.ts). */
class Clerk {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  }

  static async start(lab: BoxLab): Promise<Clerk> {
    const path = fileURLToPath(new URL('clerk.ts', import.meta.url));
    const clerk = new Clerk(
      lab.client.spawn(process.execPath, [path], { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await clerk.#next();
    return clerk;
  }

  async check(order: Order): Promise<CheckReport> {
    this.#child.stdin!.write(`${JSON.stringify(order)}\n`);
    return JSON.parse(await this.#next()) as CheckReport;
  }

  async #next(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done === true) throw new Error('the process that makes the checks has ended');
    return value;
  }
}

/** Undefined where the fault was found and named; otherwise what was said in its place. */
export function missed(
  { fault, names = [fault], fact }: FaultyBox,
  { report, named }: Judged,
): string | undefined {
  if (fact !== undefined) {
    const texts = report.facts.map(({ text }) => text);
    return texts.some((text) => fact.test(text)) ? undefined : texts.join(' ');
  }
  const found = report.findings.find((one) => names.includes(one.fault));
  if (found === undefined) return named.length === 0 ? report.headline : `named: ${named.join(', ')}`;
  return found.confidence === 'C' ? 'named, but with confidence C only' : undefined;
}
