/**
 * A check with nothing at the far end but somebody else's SIP server: what its answers let conclude, and no more. Nothing
 * is proven here, because only this end's octets are known, so the best that is said is "no sign".
 */
import { randomBytes } from 'node:crypto';
import type { CheckedStep, CheckReport, Fact, Sign } from '../../core/detect/check-report.ts';
import { storedContact } from '../../core/detect/echo.ts';
import { serialLetters } from '../../core/detect/probe.ts';
import { type ServerQuestion, serverQuestion } from '../../core/detect/server-question.ts';
import { type Endpoint, formatEndpoint, isPrivate } from '../../core/net/address.ts';
import { CheckError } from '../check/failure.ts';
import { NotChecked } from '../check/step.ts';
import { type Leg, openLeg, reasonOf } from './leg.ts';
import { type Asked, type Manners, Questions } from './questions.ts';
import { reportOf, type ServerSign } from './report.ts';
import { lookUp, type ServerTarget } from './target.ts';

export interface ServerCheckOptions {
  readonly manners: Manners;
  /** A REGISTER without credentials; a server that takes it is told to forget it at once. */
  readonly register: boolean;
  /** Told as the check goes on. */
  readonly tell: (step: CheckedStep) => void;
}

export interface ServerCheckResult {
  readonly report: CheckReport;
  readonly asked: readonly Asked[];
  readonly server: Endpoint;
}

interface Outcome {
  readonly result: string;
  readonly sign: Sign;
  readonly signs?: readonly ServerSign[];
  readonly facts?: readonly Fact[];
}

const PLAIN = 'OPTIONS';
const REPEATS = 3;
/** Fit into one packet on every line, on most, and on none (octets). */
const SIZES = [600, 1_000, 1_400, 2_400] as const;
/** Where providers commonly answer beside 5060; each costs one packet where they do not. */
const OTHER_PORTS = [5080, 5070] as const;
const SIP_PORT = 5060;
/** An answer that comes in less than this part of the usual time comes from nearer. */
const MUCH_SOONER = 0.5;
/** Below, differences are chance (milliseconds). */
const LEAST_DELAY_MS = 8;

export class ServerCheck {
  readonly #target: ServerTarget;
  readonly #server: Endpoint;
  readonly #options: ServerCheckOptions;
  readonly #questions: Questions;
  readonly #tag = lettersOf(randomBytes(16));
  readonly #steps: CheckedStep[] = [];
  readonly #signs: ServerSign[] = [];
  readonly #facts: Fact[] = [];
  #serial = 0;

  private constructor(target: ServerTarget, server: Endpoint, options: ServerCheckOptions) {
    this.#target = target;
    this.#server = server;
    this.#options = options;
    this.#questions = new Questions(options.manners);
  }

  /** Throws `CheckError` where there is no such server, or no way to it. A silent server is an answer. */
  static async run(target: ServerTarget, options: ServerCheckOptions): Promise<ServerCheckResult> {
    const server = await lookUp(target);
    const check = new ServerCheck(target, server, options);
    const leg = await openLeg(target.transport, server).catch((error: Error) => {
      throw new CheckError(
        'detector/unreachable',
        `${formatEndpoint(server)} over ${target.transport.toUpperCase()}: ${reasonOf(error)}`,
        target.transport === 'tcp'
          ? 'does it answer over UDP? leave out ;transport=tcp'
          : 'is this machine online?',
      );
    });
    try {
      await check.#sequence(leg);
    } finally {
      leg.close();
    }
    const { asked } = check.#questions;
    const report = reportOf(asked, check.#steps, check.#signs, check.#facts);
    return { report, asked, server };
  }

  async #sequence(leg: Leg): Promise<void> {
    const { inside, server } = leg;
    this.#facts.push({
      id: 'inside',
      text: `This machine is ${inside.address}; the server is ${formatEndpoint(server)}.`,
    });
    const plain: Asked[] = [];
    await this.#step('answer', 'Does the server answer', async () => {
      for (let i = 0; i < REPEATS; i++) {
        const asked = await this.#ask(leg, PLAIN, { cseq: i + 1 });
        plain.push(asked);
        if (asked.received === undefined) break;
      }
      return answered(plain);
    });
    const heard = plain.filter(({ echo }) => echo !== undefined);
    await this.#step('mapping', 'How the server sees this machine', async () =>
      mapping(needed(heard), inside, server),
    );
    await this.#step('echo', 'Via, From, To, Call-ID and CSeq as they come back', async () => {
      needed(heard);
      const dressed = await this.#ask(leg, 'OPTIONS, the own address in From', { addressInFrom: true });
      return signsOf([...heard, dressed]);
    });
    await this.#step('vias', 'Number and order of Via', async () => {
      needed(heard);
      return signsOf([await this.#ask(leg, 'OPTIONS, two Via', { innerVia: true })]);
    });
    await this.#step('max-forwards', 'Who answers Max-Forwards 0', async () => {
      needed(heard);
      return nearest(await this.#ask(leg, 'OPTIONS, Max-Forwards 0', { maxForwards: 0 }), heard);
    });
    await this.#step('quote', 'What the server quotes of the request', async () =>
      quotes(needed(this.#heard())),
    );
    await this.#step('size', 'Large messages', async () => {
      needed(heard);
      return this.#sizes(leg);
    });
    await this.#step('other-port', 'Another port of the server', async () =>
      this.#otherPort(leg, needed(heard)),
    );
    await this.#step('register', 'The Contact as the registrar stores it', () => this.#register(leg, heard));
    // What is not looked into stands in the report as well: silence would read as "fine".
    await this.#step(
      'beyond',
      'Descriptions of media, calls that come in, edits undone on the way back',
      async () => {
        throw new NotChecked(
          'no answer of a server shows them; `sipalg check` with a reflector of your own does',
        );
      },
    );
  }

  #heard(): Asked[] {
    return this.#questions.asked.filter(({ echo }) => echo !== undefined);
  }

  #ask(leg: Leg, what: string, more: Partial<ServerQuestion> = {}, tries?: number): Promise<Asked> {
    const id = this.#tag + serialLetters(this.#serial++);
    const { host, port } = this.#target;
    const { transport, inside } = leg;
    const bytes = serverQuestion({ id, method: 'OPTIONS', transport, inside, host, port, ...more });
    return this.#questions.ask(leg, { what, id, bytes, ...(tries === undefined ? {} : { tries }) });
  }

  async #sizes(leg: Leg): Promise<Outcome> {
    const answeredUp: number[] = [];
    for (const size of SIZES) {
      const asked = await this.#ask(leg, `OPTIONS, ${size} octets`, { size }, 2);
      if (asked.echo === undefined) {
        const last = answeredUp.at(-1);
        return {
          sign: 'not-checked',
          result: `${last === undefined ? 'answered without padding only' : `answered up to ${last} octets`}; ${size} octets are not answered, by the path or by the server: which of them, only a reflector can tell`,
        };
      }
      answeredUp.push(size);
    }
    return { sign: 'no', result: `no sign: answered up to ${answeredUp.at(-1)} octets` };
  }

  /** Boxes look at port 5060; where the server answers at another port, the two are held side by side. */
  async #otherPort(usual: Leg, heard: readonly Asked[]): Promise<Outcome> {
    const ports = this.#server.port === SIP_PORT ? OTHER_PORTS : [SIP_PORT];
    for (const port of ports) {
      const server = { address: this.#server.address, port };
      const leg = await openLeg(usual.transport, server).catch(() => undefined);
      if (leg === undefined) continue;
      try {
        const asked = await this.#ask(leg, `OPTIONS to port ${port}`, {}, 1);
        if (asked.echo === undefined) continue;
        const here = new Set(heard.flatMap(({ echo }) => echo!.signs.map(({ fault }) => fault)));
        const there = new Set(asked.echo.signs.map(({ fault }) => fault));
        const only = (a: Set<string>, b: Set<string>): string[] => [...a].filter((one) => !b.has(one));
        const differing = [...only(here, there), ...only(there, here)];
        return differing.length === 0
          ? { sign: 'no', result: `no sign: answers at port ${port} are like those at ${this.#server.port}` }
          : {
              sign: 'yes',
              signs: asked.echo.signs.map((sign) => ({ asked, sign })),
              result: `answers at port ${port} differ from those at ${this.#server.port} (${differing.join(', ')}): what does it goes by the port`,
            };
      } finally {
        leg.close();
      }
    }
    throw new NotChecked(`the server answers at no other port that was tried (${ports.join(', ')})`);
  }

  async #register(leg: Leg, heard: readonly Asked[]): Promise<Outcome> {
    if (!this.#options.register) throw new NotChecked('no REGISTER is sent without --register');
    needed(heard);
    const asked = await this.#ask(leg, 'REGISTER', { method: 'REGISTER' });
    const { echo } = asked;
    if (echo === undefined) throw new NotChecked('the REGISTER was not answered');
    const { inside, server, id } = asked;
    const signs = echo.signs.map((sign) => ({ asked, sign }));
    if (echo.status >= 300) {
      const result = `the server answers ${echo.statusLine}, and stores nothing`;
      return signs.length === 0
        ? { sign: 'not-checked', result }
        : { sign: 'yes', signs, result: `${result}; ${listed(signs)}` };
    }
    const stored = storedContact(asked.sent, asked.received!, { inside, server, id });
    await this.#ask(leg, 'REGISTER that takes it back', { method: 'REGISTER', id, expires: 0, cseq: 2 });
    if (stored === undefined)
      return { sign: 'not-checked', result: 'the server has taken it, and does not say what it has stored' };
    const all = [...signs, ...stored.map((sign) => ({ asked, sign }))];
    return all.length === 0
      ? { sign: 'no', result: 'no sign: the registrar names the Contact as it was sent' }
      : { sign: 'yes', signs: all, result: listed(all) };
  }

  async #step(id: string, title: string, work: () => Promise<Outcome>): Promise<void> {
    let step: CheckedStep;
    try {
      const { result, sign, signs = [], facts = [] } = await work();
      this.#signs.push(...signs);
      this.#facts.push(...facts);
      step = { id, title, state: sign === 'not-checked' ? 'not-checked' : 'done', result, sign };
    } catch (error) {
      if (!(error instanceof NotChecked)) throw error;
      step = { id, title, state: 'not-checked', result: error.message, sign: 'not-checked' };
    }
    this.#steps.push(step);
    this.#options.tell(step);
  }
}

function needed(heard: readonly Asked[]): readonly Asked[] {
  if (heard.length === 0) throw new NotChecked('the server gives no answer that can be read');
  return heard;
}

function answered(asked: readonly Asked[]): Outcome {
  const heard = asked.filter(({ echo }) => echo !== undefined);
  const [first] = heard;
  if (first === undefined) {
    const { received, problem, strays } = asked[0]!;
    throw new NotChecked(
      received !== undefined || strays > 0
        ? 'what comes back is no SIP response'
        : `no answer${problem === undefined ? '; whether the path or the server keeps silent cannot be told from here' : `: ${problem}`}`,
    );
  }
  const delays = heard.flatMap(({ afterMs }) => (afterMs === undefined ? [] : [afterMs]));
  const delay = delays.length === 0 ? '' : `, ${Math.min(...delays).toFixed(1)} ms there and back`;
  const banner = first.echo!.banner === undefined ? '' : `, ${first.echo!.banner}`;
  return {
    sign: 'no',
    result: `${heard.length} of ${asked.length} requests answered: ${first.echo!.statusLine}${banner}${delay}`,
  };
}

function mapping(heard: readonly Asked[], inside: Endpoint, server: Endpoint): Outcome {
  const signs = heard.flatMap((asked) =>
    asked
      .echo!.signs.filter(({ fault, line }) => line === 'Via' && viaFaults.has(fault))
      .map((sign) => ({ asked, sign })),
  );
  if (signs.length > 0) return { sign: 'yes', signs, result: signs[0]!.sign.explanation };
  const mapped = heard.map(({ echo }) => echo!.mapped).find((one) => one !== undefined);
  if (mapped === undefined)
    throw new NotChecked(
      isPrivate(inside.address) && isPrivate(server.address)
        ? 'the server is at a private address as this machine is, and does not say where requests come from'
        : 'the server does not say where requests come from',
    );
  const seen =
    mapped.port === undefined
      ? mapped.address
      : formatEndpoint({ address: mapped.address, port: mapped.port });
  if (mapped.address === inside.address)
    throw new NotChecked(
      `the server sees this machine as ${seen}, as it is: there is no NAT in between, so that address rewriting cannot be provoked`,
    );
  return {
    sign: 'no',
    result: `no sign: the server sees this machine as ${seen}, and notices the NAT`,
    facts: [{ id: 'outside', text: `The server sees this machine as ${seen}.` }],
  };
}

const viaFaults: ReadonlySet<string> = new Set(['ADDR-VIA', 'ADDR-REVERSE']);

function signsOf(all: readonly Asked[]): Outcome {
  const heard = all.filter(({ echo }) => echo !== undefined);
  if (heard.length === 0) throw new NotChecked('it was not answered');
  const signs = heard.flatMap((asked) =>
    asked
      .echo!.signs.filter(({ fault, consistent }) => !(consistent && viaFaults.has(fault)))
      .map((sign) => ({ asked, sign })),
  );
  return signs.length === 0
    ? {
        sign: 'no',
        result:
          'no sign: they come back as they were sent; what is edited on the way out and undone on the way back cannot be seen',
      }
    : { sign: 'yes', signs, result: listed(signs) };
}

/** RFC 3261 §16.3: whoever would have to forward it answers 483; the server itself may answer as usual. */
function nearest(asked: Asked, heard: readonly Asked[]): Outcome {
  const { echo, afterMs } = asked;
  if (echo === undefined)
    throw new NotChecked('it was not answered: by the server, or by somebody in between that drops it');
  const usual = heard[0]!.echo!;
  const delays = heard.flatMap((one) => (one.afterMs === undefined ? [] : [one.afterMs]));
  const least = delays.length === 0 ? undefined : Math.min(...delays);
  const sooner =
    afterMs !== undefined && least !== undefined && least >= LEAST_DELAY_MS && afterMs < least * MUCH_SOONER;
  const other = echo.banner !== usual.banner && echo.banner !== undefined && usual.banner !== undefined;
  const by = echo.banner === undefined ? '' : ` by ${echo.banner}`;
  if (!sooner)
    return {
      sign: 'no',
      result: `no sign: ${echo.statusLine}${by}${other ? `, and otherwise it is ${usual.banner}; providers have such proxies of their own` : ', in the usual time'}`,
    };
  const explanation = `Max-Forwards 0 was answered (${echo.statusLine}${by}) after ${afterMs.toFixed(1)} ms, and everything else takes ${least.toFixed(1)} ms or more: somebody nearer than the server has answered.`;
  const span = { start: 0, end: 0 };
  return {
    sign: 'yes',
    result: explanation,
    signs: [
      {
        asked,
        confidence: 'B',
        sign: {
          fault: 'PROXY-ANSWER',
          consistent: false,
          line: 'Max-Forwards',
          explanation,
          sent: span,
          received: span,
        },
      },
    ],
  };
}

function quotes(heard: readonly Asked[]): Outcome {
  const warnings = [...new Set(heard.flatMap(({ echo }) => echo!.warnings))];
  const facts = warnings.slice(0, 4).map((text) => ({ id: 'warning', text: `The server warns: ${text}` }));
  if (!heard.some(({ echo }) => echo!.quotes)) {
    if (facts.length === 0)
      throw new NotChecked('it quotes nothing, so that edits that are undone on the way back stay unseen');
    return { sign: 'not-checked', facts, result: 'a Warning, and nothing of the request itself' };
  }
  const quoting = heard.filter(({ echo }) => echo!.quotes);
  const signs = quoting.flatMap((asked) =>
    asked
      .echo!.signs.filter(({ explanation }) => explanation.startsWith('The server quotes'))
      .map((sign) => ({ asked, sign })),
  );
  return signs.length === 0
    ? { sign: 'no', facts, result: 'no sign: what it quotes is what was sent' }
    : { sign: 'yes', facts, signs, result: listed(signs) };
}

function listed(signs: readonly ServerSign[]): string {
  return [...new Set(signs.map(({ sign }) => sign.explanation))].slice(0, 3).join(' ');
}

/** Letters g–z only. */
function lettersOf(octets: Uint8Array): string {
  return [...octets].map((octet) => 'ghijklmnopqrstuvwxyz'[octet % 20]).join('');
}
