/**
 * Switches the SIP ALG of a router, one procedure of one recipe. The order is the safety: read the state; write down what
 * was read, with the way back; do the steps, each only after the answer to the one before was one that the recipe knows;
 * read again; only then make it permanent. What the device says otherwise ends it, and nothing is sent after that.
 *
 * The setting is taken back where the device answers orderly that it is not what was asked for. After a surprise nothing
 * more is sent, not even the way back: nobody knows in which state the device is.
 *
 * `change` does all of it. Whoever wants to look at the wire before it is permanent calls `switchTo`, `flush`, then `keep`
 * or `undo`.
 */
import type { Device, StepAnswer } from './drive/device.ts';
import { printable, RouterError } from './drive/failure.ts';
import { isExpected, type Meaning, meaningOf } from './meaning.ts';
import type { Procedure, Step } from './schema.ts';
import { fillStep, namesIn, requireSound, takeFrom, textsOf, type Values } from './values.ts';

export type AlgState = 'on' | 'off' | 'absent';
export type Target = 'on' | 'off';

/** One step as it went. */
export interface Exchange {
  readonly phase: string;
  readonly sent: string;
  readonly answer: string;
}

/** What has been switched, and is not permanent yet. */
export interface Switching {
  readonly target: Target;
  readonly before: AlgState;
  readonly after: AlgState;
  /** False where nothing had to be sent. */
  readonly changed: boolean;
}

export interface Change extends Switching {
  readonly saved: boolean;
  /** What is left for a person to do. */
  readonly left: readonly string[];
  readonly exchanges: readonly Exchange[];
}

export interface ChangeHooks {
  /** Told of every step before it is sent. */
  readonly tell: (phase: string, line: string) => void;
  /** Keeps what was read before anything is changed, with the values that `on` will want. */
  readonly backUp: (before: AlgState, exchanges: readonly Exchange[], kept: Values) => void;
  /** A new connection to the same device, after the first was lost. */
  readonly reopen: () => Promise<Device>;
  /** What was kept when it was switched off. */
  readonly kept?: Values;
}

/** What a step sends, for people. */
export function lineText({ send, request, menu, set, do: task }: Step): string {
  if (send !== undefined) return send;
  if (request !== undefined)
    return `${request.method} ${request.path}${request.body === undefined ? '' : ` ${request.body}`}`;
  return [
    ...(menu.length > 0 ? [`open ${menu.join(' → ')}`] : []),
    ...(set === undefined ? [] : [`set "${set.control}" to ${set.to}`]),
    ...(task === undefined ? [] : [task]),
  ].join('; ');
}

/** A step that a program can do. */
export function isSendable({ send, request }: Step): boolean {
  return send !== undefined || request !== undefined;
}

/** A procedure of which a program can do everything that switches. */
export function isDrivable(procedure: Procedure, target: Target): boolean {
  const needed = [...procedure.check, ...procedure[target]];
  const tells = (...states: readonly string[]): boolean =>
    procedure.check.some(({ answers }) => answers.some(({ means }) => states.includes(means)));
  // Without knowing what "on" and "off" look like, nobody could see whether it worked.
  // What only a person can do is no hindrance where the check may show that it need not be done.
  const possible = needed.every((step) => isSendable(step) || step.where !== undefined);
  return procedure[target].length > 0 && possible && tells('on') && tells('off', 'absent');
}

export class Changer {
  readonly #procedure: Procedure;
  readonly #hooks: ChangeHooks;
  readonly exchanges: Exchange[] = [];
  #device: Device;
  /** The last that was seen, and the one at which the lines of the check are understood. */
  #prompt = '';
  #home = '';
  #values: Map<string, string>;
  /** After the first check: what is put back must be what was there before. */
  #takesRestored = true;

  constructor(device: Device, procedure: Procedure, hooks: ChangeHooks) {
    this.#device = device;
    this.#procedure = procedure;
    this.#hooks = hooks;
    this.#values = new Map(hooks.kept);
  }

  close(): void {
    this.#device.close();
  }

  async check(): Promise<AlgState> {
    const meanings = new Set<string>();
    const answers: string[] = [];
    for (const step of this.#procedure.check) {
      if (this.#isLeftOut(step)) continue;
      const { answer, meaning } = await this.#perform('check', step);
      if (meaning === 'failed' && step.optional !== true) throw this.#surprise(step, answer);
      if (meaning !== undefined) meanings.add(meaning);
      else answers.push(answer.text);
    }
    // One engine that is still on is enough.
    for (const state of ['on', 'off', 'absent'] as const) if (meanings.has(state)) return state;
    throw new RouterError(
      'routers/surprise',
      `the recipe does not know what the device answers: "${printable(answers.join('\n').trim())}"`,
      this.exchanges.every(({ phase }) => phase === 'check')
        ? 'nothing was changed. The firmware may be another than the recipe is for; --procedure names another one of it'
        : 'nothing was sent after it, and nothing was saved; the backup has the way back',
    );
  }

  async change(target: Target): Promise<Change> {
    const switching = await this.switchTo(target);
    if (!switching.changed) return { ...switching, saved: true, left: [], exchanges: this.exchanges };
    const left = [...(await this.keep(switching)), ...(await this.flush()), ...this.leftBehind(target)];
    return { ...switching, saved: this.isSaved, left, exchanges: this.exchanges };
  }

  /** Whether it is known to survive a restart, once it is kept. */
  get isSaved(): boolean {
    return this.#procedure.saves !== 'unknown';
  }

  /** Switches, and reads back. Nothing is permanent where keeping it takes steps of its own. */
  async switchTo(target: Target): Promise<Switching> {
    // What was kept is put back; what is there now is taken for everything else.
    if (target === 'on') this.#takesRestored = false;
    const before = await this.check();
    this.#takesRestored = false;
    this.#home = this.#prompt;
    if (before === target || (before === 'absent' && target === 'off'))
      return { target, before, after: before, changed: false };
    this.#requireValues(target);
    this.#hooks.backUp(before, [...this.exchanges], this.#restored());
    const after = await this.#afterSteps(target);
    if (!reached(after, target)) await this.#takeBack(before, target, after);
    return { target, before, after, changed: true };
  }

  /** Makes it permanent. Gives what is left for a person to do. */
  async keep({ target }: Switching): Promise<string[]> {
    const steps = target === 'off' ? this.#procedure.persist : [];
    const sendable = steps.filter(isSendable);
    try {
      await this.#steps('persist', sendable);
    } catch (error) {
      if (!(error instanceof RouterError) || error.code !== 'routers/hung-up') throw error;
      await this.#keepAgain(error, target, sendable);
    }
    return steps.filter((step) => !isSendable(step)).map(lineText);
  }

  /** Some devices end a session that is quiet for some minutes, as while somebody looks at the wire. */
  async #keepAgain(lost: RouterError, target: Target, steps: readonly Step[]): Promise<void> {
    if (this.#prompt !== this.#home)
      throw new RouterError(
        'routers/not-applied',
        `${lost.message}, before the setting was confirmed`,
        'nobody confirmed it, so the device goes back by itself; `sipalg router check` shows when',
      );
    const state = await this.#lookAgain(lost);
    if (!reached(state, target))
      throw new RouterError(
        'routers/not-applied',
        `the device ended the session, and says "${state}" now, not "${target}"`,
        'it was not saved. `sipalg router check` shows whether that lasts',
      );
    await this.#steps('persist', steps);
  }

  /** Sets it back to what it was, and gives what the device says then. */
  async undo({ before, target }: Switching): Promise<AlgState> {
    const back: Target = target === 'off' ? 'on' : 'off';
    if (before !== back || !isDrivable(this.#procedure, back))
      throw new RouterError(
        'routers/not-applied',
        'it cannot be set back by a program: the recipe has no way back that one could go',
        this.#procedure[back].length === 0
          ? 'the backup says how it was'
          : `by hand: ${this.#procedure[back].map(lineText).join('; ')}`,
      );
    return this.#setBack(back);
  }

  /** States made under the old setting. What goes wrong here leaves the setting as it is. */
  async flush(): Promise<string[]> {
    const left: string[] = [];
    const sendable = this.#procedure.flush.filter((step) => isSendable(step) && !this.#isLeftOut(step));
    left.push(...this.#procedure.flush.filter((step) => !isSendable(step)).map(lineText));
    if (sendable.length === 0) return left;
    return this.#atHome(async () => {
      for (const step of sendable) {
        const { answer, meaning } = await this.#perform('flush', step);
        if (step.optional === true || isExpected(step, meaning, answer.text)) continue;
        left.push(`"${lineText(step)}" was refused: ${printable(answer.text, 200)}`);
        // The next line may be the one that needs this one: a filter, then all that it lets through is ended.
        break;
      }
      return left;
    });
  }

  /** What a person has to do once it is on or off, beyond what was done. */
  leftBehind(target: Target): string[] {
    const lost = this.#procedure.values.filter(
      ({ name, restore, otherwise }) =>
        target === 'on' && restore === true && otherwise === undefined && !this.#values.has(name),
    );
    return [
      ...lost.map(({ what }) => `Nothing was kept of ${what}, so it was not put back.`),
      ...(this.#procedure.reboot === 'yes'
        ? ['Restart the device: the setting takes effect after a restart.']
        : []),
    ];
  }

  /** The steps, and what the device says of itself afterwards; on a new connection where it dropped the first. */
  async #afterSteps(target: Target): Promise<AlgState> {
    try {
      await this.#steps(target, this.#procedure[target]);
      return await this.#atHome(() => this.check());
    } catch (error) {
      if (!(error instanceof RouterError) || error.code !== 'routers/hung-up') throw error;
      return await this.#lookAgain(error);
    }
  }

  /**
   * Where the steps have ended in another mode than they began in, which the prompt tells, the lines of the check would not be
   * understood there, and leaving it would lose what is not confirmed yet. So a second session is asked.
   */
  async #atHome<T>(work: () => Promise<T>): Promise<T> {
    if (this.#prompt === this.#home) return work();
    const first = this.#device;
    const prompt = this.#prompt;
    this.#device = await this.#hooks.reopen();
    try {
      return await work();
    } finally {
      this.#device.close();
      this.#device = first;
      this.#prompt = prompt;
    }
  }

  async #lookAgain(lost: RouterError): Promise<AlgState> {
    this.#device.close();
    try {
      this.#device = await this.#hooks.reopen();
    } catch (error) {
      throw new RouterError(
        'routers/hung-up',
        `${lost.message}, and it did not come back (${(error as Error).message})`,
        'what was sent is listed above; the file with the way back says how it was. Restart the device if it stays away',
      );
    }
    return this.check();
  }

  async #takeBack(before: AlgState, target: Target, after: AlgState): Promise<never> {
    const back: Target = target === 'off' ? 'on' : 'off';
    let result: string;
    if (before !== back || !isDrivable(this.#procedure, back))
      result = 'and the recipe has no way back that a program could go';
    else {
      const now = await this.#setBack(back);
      result =
        now === back
          ? `so it was set back, and says "${now}"`
          : `it was to be set back, and still says "${now}"`;
    }
    throw new RouterError(
      'routers/not-applied',
      `after all steps the device says "${after}", not "${target}": ${result}`,
      'the firmware may be another than the recipe is for; the web page of the device may show more',
    );
  }

  /** On a new session, so that it begins where the lines of the recipe do. */
  async #setBack(back: Target): Promise<AlgState> {
    this.#device.close();
    this.#device = await this.#hooks.reopen();
    await this.check();
    this.#home = this.#prompt;
    await this.#steps(back, this.#procedure[back]);
    return this.#atHome(() => this.check());
  }

  async #steps(phase: 'off' | 'on' | 'persist', steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      if (this.#isLeftOut(step)) continue;
      const { answer, meaning } = await this.#perform(phase, step);
      if (step.optional !== true && !isExpected(step, meaning, answer.text))
        throw this.#surprise(step, answer);
    }
  }

  async #perform(
    phase: string,
    template: Step,
  ): Promise<{ readonly answer: StepAnswer; readonly meaning: Meaning | undefined }> {
    const step = fillStep(template, this.#filled());
    this.#hooks.tell(phase, lineText(step));
    const answer = await this.#device.perform(step);
    this.#prompt = answer.prompt;
    this.exchanges.push({ phase, sent: lineText(step), answer: answer.text });
    const meaning = meaningOf(step, answer);
    this.#take(step, answer, meaning);
    return { answer, meaning };
  }

  #take(step: Step, answer: StepAnswer, meaning: Meaning | undefined): void {
    const taken = takeFrom(step.take, answer.whole ?? answer.text);
    if (taken === undefined) {
      // Where there is no entry of it, there is nothing to take.
      if (meaning === 'off' || meaning === 'absent' || step.optional === true) return;
      throw this.#surprise(step, answer);
    }
    requireSound(taken, this.#procedure.values);
    for (const [name, value] of taken)
      if (this.#takesRestored || !this.#rule(name)?.restore) this.#values.set(name, value);
  }

  #rule(name: string): Procedure['values'][number] | undefined {
    return this.#procedure.values.find((one) => one.name === name);
  }

  /** With what is taken where nothing was kept. */
  #filled(): Map<string, string> {
    const values = new Map(this.#values);
    for (const { name, otherwise } of this.#procedure.values)
      if (otherwise !== undefined && !values.has(name)) values.set(name, otherwise);
    return values;
  }

  #restored(): Values {
    return new Map([...this.#values].filter(([name]) => this.#rule(name)?.restore === true));
  }

  #isLeftOut({ where }: Step): boolean {
    return where !== undefined && !this.#filled().has(where);
  }

  /** Before anything is changed: every line can be written. */
  #requireValues(target: Target): void {
    const known = this.#filled();
    const steps = [...this.#procedure[target], ...(target === 'off' ? this.#procedure.persist : [])];
    for (const step of steps) {
      if (this.#isLeftOut(step)) continue;
      if (!isSendable(step) && this.#procedure[target].includes(step))
        throw new RouterError(
          'routers/by-hand',
          `this device has ${this.#rule(step.where ?? '')?.what ?? 'a setting'}, and only a person can deal with it: ${lineText(step)}`,
          'nothing was changed. Do that first, then try again',
        );
      const missing = textsOf(step)
        .flatMap(namesIn)
        .find((name) => this.#rule(name) !== undefined && !known.has(name));
      if (missing === undefined) continue;
      throw new RouterError(
        'routers/no-value',
        `"${lineText(step)}" needs ${this.#rule(missing)!.what}, and nobody knows it`,
        target === 'on'
          ? 'nothing was changed. It is kept when sipalg switches it off; after that was done by hand, put it back by hand'
          : 'nothing was changed. The firmware may be another than the recipe is for',
      );
    }
  }

  #surprise(step: Step, { text }: StepAnswer): RouterError {
    const sent = this.exchanges.filter(({ phase }) => phase !== 'check').length;
    return new RouterError(
      'routers/surprise',
      `after "${lineText(step)}" the device says something that the recipe does not expect: "${printable(text)}"`,
      sent > 1
        ? `nothing was sent after it, and nothing was saved. ${sent - 1} lines had been sent before it; \`sipalg router check\` shows the state, the backup has the way back`
        : 'nothing was sent after it',
    );
  }
}

function reached(state: AlgState, target: Target): boolean {
  return state === target || (target === 'off' && state === 'absent');
}
