/**
 * Switches the SIP ALG of a router, one procedure of one recipe. The order is the safety: read the state; write down what
 * was read, with the way back; do the steps, each only after the answer to the one before was one that the recipe knows;
 * read again; only then make it permanent. What the device says otherwise ends it, and nothing is sent after that.
 *
 * The setting is taken back where the device answers orderly that it is not what was asked for. After a surprise nothing
 * more is sent, not even the way back: nobody knows in which state the device is.
 */
import type { Device, StepAnswer } from './drive/device.ts';
import { printable, RouterError } from './drive/failure.ts';
import type { Procedure, Step } from './schema.ts';

export type AlgState = 'on' | 'off' | 'absent';
export type Target = 'on' | 'off';

/** One step as it went. */
export interface Exchange {
  readonly phase: string;
  readonly sent: string;
  readonly answer: string;
}

export interface Change {
  readonly target: Target;
  readonly before: AlgState;
  readonly after: AlgState;
  /** Undefined where nothing had to be sent. */
  readonly changed: boolean;
  readonly saved: boolean;
  /** What is left for a person to do. */
  readonly left: readonly string[];
  readonly exchanges: readonly Exchange[];
}

export interface ChangeHooks {
  /** Told of every step before it is sent. */
  readonly tell: (phase: string, line: string) => void;
  /** Keeps what was read before anything is changed. */
  readonly backUp: (before: AlgState, exchanges: readonly Exchange[]) => void;
  /** A new connection to the same device, after the first was lost. */
  readonly reopen: () => Promise<Device>;
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
  return procedure[target].length > 0 && needed.every(isSendable) && tells('on') && tells('off', 'absent');
}

export class Changer {
  readonly #procedure: Procedure;
  readonly #hooks: ChangeHooks;
  readonly exchanges: Exchange[] = [];
  #device: Device;
  /** The last that was seen. */
  #prompt = '';

  constructor(device: Device, procedure: Procedure, hooks: ChangeHooks) {
    this.#device = device;
    this.#procedure = procedure;
    this.#hooks = hooks;
  }

  close(): void {
    this.#device.close();
  }

  async check(): Promise<AlgState> {
    const meanings = new Set<string>();
    const answers: string[] = [];
    for (const step of this.#procedure.check) {
      const answer = await this.#perform('check', step);
      const meaning = meaningOf(step, answer);
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
    const before = await this.check();
    const done = { target, before, exchanges: this.exchanges } as const;
    if (before === target || (before === 'absent' && target === 'off'))
      return { ...done, after: before, changed: false, saved: true, left: [] };
    this.#hooks.backUp(before, [...this.exchanges]);
    const after = await this.#switchTo(target);
    if (!reached(after, target)) await this.#takeBack(before, target, after);
    const keep = target === 'off' ? this.#procedure.persist : [];
    await this.#steps('persist', keep.filter(isSendable));
    const byHand = keep.filter((step) => !isSendable(step)).map(lineText);
    const left = [...byHand, ...(await this.#flush())];
    return { ...done, after, changed: true, saved: this.#procedure.saves !== 'unknown', left };
  }

  /** The steps, and what the device says of itself afterwards; on a new connection where it dropped the first. */
  async #switchTo(target: Target): Promise<AlgState> {
    try {
      const home = this.#prompt;
      await this.#steps(target, this.#procedure[target]);
      return await this.#readBack(home);
    } catch (error) {
      if (!(error instanceof RouterError) || error.code !== 'routers/hung-up') throw error;
      return await this.#lookAgain(error);
    }
  }

  /**
   * Where the steps have ended in another mode than they began in, which the prompt tells, the lines of the check would not be
   * understood there, and leaving it would lose what is not confirmed yet. So a second session asks.
   */
  async #readBack(home: string): Promise<AlgState> {
    if (this.#prompt === home) return this.check();
    const first = this.#device;
    this.#device = await this.#hooks.reopen();
    try {
      return await this.check();
    } finally {
      this.#device.close();
      this.#device = first;
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
    if (before !== back || this.#procedure[back].length === 0 || !isDrivable(this.#procedure, back))
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
    const home = this.#prompt;
    await this.#steps(back, this.#procedure[back]);
    return this.#readBack(home);
  }

  async #steps(phase: 'off' | 'on' | 'persist', steps: readonly Step[]): Promise<void> {
    for (const step of steps) {
      const answer = await this.#perform(phase, step);
      const meaning = meaningOf(step, answer);
      if (step.optional === true) continue;
      if (meaning === 'failed') throw this.#surprise(step, answer);
      const expected = step.answers.some(({ means }) => means !== 'failed');
      // Where the recipe names no answer at all, silence is what it expects.
      const unknown = expected
        ? meaning === undefined
        : step.answers.length === 0 && answer.text !== '' && step.request === undefined;
      if (unknown) throw this.#surprise(step, answer);
    }
  }

  /** States made under the old setting. What goes wrong here leaves the setting as it is. */
  async #flush(): Promise<string[]> {
    const left: string[] = [];
    for (const step of this.#procedure.flush) {
      if (!isSendable(step)) {
        left.push(lineText(step));
        continue;
      }
      const answer = await this.#perform('flush', step);
      if (meaningOf(step, answer) === 'failed' && step.optional !== true)
        left.push(`"${lineText(step)}" was refused: ${printable(answer.text, 200)}`);
    }
    if (this.#procedure.reboot === 'yes')
      left.push('Restart the device: the setting takes effect after a restart.');
    return left;
  }

  async #perform(phase: string, step: Step): Promise<StepAnswer> {
    this.#hooks.tell(phase, lineText(step));
    const answer = await this.#device.perform(step);
    this.#prompt = answer.prompt;
    this.exchanges.push({ phase, sent: lineText(step), answer: answer.text });
    return answer;
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

/** The first answer of the recipe that matches: what came, or else the prompt that followed. */
function meaningOf(step: Step, { text, prompt }: StepAnswer): string | undefined {
  for (const subject of prompt === '' ? [text] : [text, prompt]) {
    const found = step.answers.find(({ match }) => new RegExp(match, 'imu').test(subject));
    if (found !== undefined) return found.means;
  }
  return undefined;
}
