/** The detector, run from the console: one check at a time, its progress, its report, and what earlier ones have said. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { findFault } from '../core/detect/faults.ts';
import { parseInvitation } from '../detector/control/invitation.ts';
import { History, type KnownVerdict, type Run } from '../detector/monitor/history.ts';
import { Job } from './job.ts';

export type CheckMode = 'quick' | 'standard';

export interface CheckView {
  readonly state: 'idle' | 'running' | 'done' | 'failed';
  /** Host and port; the token is nobody's business. */
  readonly reflector?: string;
  readonly mode?: CheckMode;
  readonly startedAt?: number;
  readonly endedAt?: number;
  readonly steps: readonly CheckStep[];
  /** As `sipalg check --json` has it. */
  readonly report?: Readonly<Record<string, unknown>>;
  readonly error?: string;
}

export interface CheckStep {
  readonly id: string;
  readonly title: string;
  readonly state: 'done' | 'not-checked';
  readonly result: string;
}

export interface PastRun extends Run {
  readonly reflector: string;
  readonly titles: readonly string[];
}

const WITHIN_MS: Readonly<Record<CheckMode, number>> = { quick: 120_000, standard: 600_000 };
const IDENTIFY_MS = 60_000;
const MOST_RUNS = 200;

export class Checks {
  readonly #stateDir: string;
  readonly #changed: (view: CheckView) => void;
  #view: CheckView = { state: 'idle', steps: [] };
  #job: Job | undefined;
  #identifying = false;

  constructor(stateDir: string, changed: (view: CheckView) => void) {
    this.#stateDir = stateDir;
    this.#changed = changed;
  }

  get view(): CheckView {
    return this.#view;
  }

  /** Undefined: it has begun. */
  start(invitation: string, mode: CheckMode): 'running already' | 'not an invitation' | undefined {
    if (this.#view.state === 'running') return 'running already';
    const parsed = parseInvitation(invitation);
    if (parsed === undefined) return 'not an invitation';
    const host = parsed.host.includes(':') ? `[${parsed.host}]` : parsed.host;
    const reflector = `${host}:${parsed.port}`;
    this.#set({ state: 'running', reflector, mode, startedAt: Date.now(), steps: [] });
    const job = new Job({
      args: ['check', invitation, '--json', '--progress', ...(mode === 'quick' ? ['--quick'] : [])],
      withinMs: WITHIN_MS[mode],
      told: (step) => {
        if (typeof step.id === 'string' && typeof step.title === 'string')
          this.#set({ ...this.#view, steps: [...this.#view.steps, step as unknown as CheckStep] });
      },
    });
    this.#job = job;
    void job.result.then((result) => {
      this.#job = undefined;
      const ended = { ...this.#view, endedAt: Date.now() };
      if (result.kind === 'failed') return this.#set({ ...ended, state: 'failed', error: result.text });
      this.#keep(reflector, result.answer);
      this.#set({ ...ended, state: 'done', report: result.answer });
    });
    return undefined;
  }

  stop(): void {
    this.#job?.stop();
  }

  /** Asks a router what it is; undefined while another one is being asked. */
  async identify(host: string | undefined): Promise<Awaited<Job['result']> | undefined> {
    if (this.#identifying) return undefined;
    this.#identifying = true;
    try {
      const args = ['router', 'identify', ...(host === undefined ? [] : [host]), '--json'];
      return await new Job({ args, withinMs: IDENTIFY_MS }).result;
    } finally {
      this.#identifying = false;
    }
  }

  /** Of the console and of `sipalg monitor` on this state directory; the newest first. */
  history(): PastRun[] {
    if (!existsSync(join(this.#stateDir, 'monitor.db'))) return [];
    return this.#withHistory((history) =>
      history
        .reflectors()
        .flatMap((reflector) =>
          history.runs(reflector).map((run) => ({
            ...run,
            reflector,
            titles: run.faults.map((id) => findFault(id)?.title ?? id),
          })),
        )
        .sort((a, b) => b.at - a.at)
        .slice(0, MOST_RUNS),
    );
  }

  #keep(reflector: string, report: Readonly<Record<string, unknown>>): void {
    const { verdict, findings } = report as {
      readonly verdict?: string;
      readonly findings?: readonly { readonly fault: string }[];
    };
    if (verdict === undefined || verdict === 'inconclusive') return;
    const faults = new Set((findings ?? []).flatMap(({ fault }) => findFault(fault)?.id ?? []));
    try {
      this.#withHistory((history) =>
        history.add(reflector, {
          at: Date.now(),
          verdict: verdict as KnownVerdict,
          faults: [...faults].sort(),
        }),
      );
    } catch {
      // The report is shown all the same; a history that cannot be kept is told when it is asked for.
    }
  }

  #withHistory<T>(work: (history: History) => T): T {
    const history = History.open(this.#stateDir, () => {});
    try {
      return work(history);
    } finally {
      history.close();
    }
  }

  #set(view: CheckView): void {
    this.#view = view;
    this.#changed(view);
  }
}
