/** What each route of the API answers. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TomlValue } from '../config/edit.ts';
import type { PolicyMode } from '../config/gateway-config.ts';
import type { Problem } from '../config/problem.ts';
import {
  type ConfigSource,
  changePhone,
  changeProvider,
  changeSetting,
  settingsOf,
} from '../config/settings.ts';
import type { StatusReport } from '../gateway/status-report.ts';
import type { GatewayView } from '../gateway/view.ts';
import { redact } from '../observe/redaction.ts';
import { attentionOf } from './attention.ts';
import { CallBook, type Conversation } from './calls.ts';
import { type CheckMode, Checks } from './checks.ts';
import { phonesOf, providersOf } from './phones.ts';
import { Rates } from './rates.ts';
import { type AnsweredId, openApi } from './routes.ts';

/** What a request says. */
export interface Question {
  readonly parameter: (name: string) => string;
  /** An object; empty where there was none. */
  readonly body: Readonly<Record<string, unknown>>;
}

/** An answer that is no 200. */
export class Refused extends Error {
  readonly status: 400 | 404 | 409 | 422 | 503;
  readonly code: `console/${string}`;
  readonly remedy: string;
  readonly problems: readonly Problem[];

  constructor(
    status: Refused['status'],
    code: Refused['code'],
    what: string,
    remedy: string,
    problems: readonly Problem[] = [],
  ) {
    super(what);
    this.status = status;
    this.code = code;
    this.remedy = remedy;
    this.problems = problems;
  }
}

export interface Overview {
  readonly version: string;
  readonly now: number;
  readonly switch: 'on' | 'off';
  readonly since: number;
  readonly mode: 'transparent' | 'explicit';
  readonly taking: { readonly active: boolean; readonly where: string; readonly why?: string };
  readonly phones: number;
  readonly registered: number;
  readonly calls: readonly Conversation[];
  readonly messages: StatusReport['messages'];
  readonly attention: ReturnType<typeof attentionOf>;
  readonly samples: Rates['samples'];
  /** Messages that are kept; 0: none, by configuration. */
  readonly kept: number;
}

const modes: readonly string[] = ['auto', 'observe', 'assist', 'off'];
/** On the overview. */
const RECENT_CALLS = 8;

export class Api {
  readonly checks: Checks;
  readonly #gateway: GatewayView;
  readonly #source: ConfigSource;
  readonly #version: string;
  readonly #page: string | undefined;
  readonly #calls: CallBook;
  readonly #rates = new Rates();
  /** Changes of the file follow one another. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(
    gateway: GatewayView,
    source: ConfigSource,
    version: string,
    page: string | undefined,
    tell: (event: string, data: unknown) => void,
  ) {
    this.#gateway = gateway;
    this.#source = source;
    this.#version = version;
    this.#page = page;
    this.#calls = new CallBook(gateway.recorder);
    this.checks = new Checks(gateway.config().stateDir, (view) => tell('check', view));
  }

  readonly answers: Readonly<Record<AnsweredId, (question: Question) => unknown>> = {
    overview: () => this.overview(),
    status: () => this.#shown(this.#gateway.report()),
    switch: async ({ body }) => {
      if (body.position !== 'on' && body.position !== 'off')
        throw new Refused(
          400,
          'console/not-understood',
          'position is neither on nor off',
          'send {"position": "off"}',
        );
      await this.#gateway.switchTo(body.position);
      return this.overview();
    },
    phones: () => this.#phones(),
    setPhone: ({ parameter, body }) =>
      this.#change(
        () => changePhone(this.#source, parameter('address'), modeIn(body)),
        () => this.#phones(),
      ),
    setProvider: ({ parameter, body }) =>
      this.#change(
        () => changeProvider(this.#source, parameter('name'), modeIn(body)),
        () => this.#phones(),
      ),
    calls: () => this.#shown(this.#calls.conversations(this.#report().calls, Date.now())),
    call: ({ parameter }) => {
      const callId = parameter('callId');
      const conversation = this.#calls.conversation(callId, this.#report().calls, Date.now());
      if (conversation === undefined)
        throw new Refused(
          404,
          'console/not-kept',
          'this call is not kept any more',
          'raise observe.messages or observe.memory in the settings to keep more',
        );
      return this.#shown({ ...conversation, ladder: this.#calls.ladder(callId) });
    },
    message: ({ parameter }) => {
      const id = Number(parameter('id'));
      const { reveal } = this.#gateway.config().log;
      const found = Number.isSafeInteger(id) && id > 0 ? this.#calls.message(id, reveal) : undefined;
      if (found === undefined)
        throw new Refused(
          404,
          'console/not-kept',
          'this message is not kept any more',
          'raise observe.messages or observe.memory in the settings to keep more',
        );
      const { lines, ...rest } = found;
      // The lines are hidden already, where they have to be.
      return { ...this.#shown(rest), lines };
    },
    check: () => this.checks.view,
    startCheck: ({ body }) => {
      const { reflector, mode = 'quick' } = body;
      if (typeof reflector !== 'string' || (mode !== 'quick' && mode !== 'standard'))
        throw new Refused(
          400,
          'console/not-understood',
          'a check needs a reflector, and its mode is quick or standard',
          'send {"reflector": "HOST:PORT/TOKEN/PIN", "mode": "quick"}',
        );
      const why = this.checks.start(reflector.trim(), mode satisfies CheckMode);
      if (why === 'running already')
        throw new Refused(
          409,
          'console/check-running',
          'a check is running already',
          'wait for it, or end it first',
        );
      if (why !== undefined)
        throw new Refused(
          422,
          'console/not-a-reflector',
          'this is not what a reflector prints',
          'run `sipalg reflector` on a host on the Internet; it prints the line HOST:PORT/TOKEN/PIN that belongs here',
        );
      return this.checks.view;
    },
    stopCheck: () => {
      this.checks.stop();
      return this.checks.view;
    },
    history: () => {
      try {
        return this.checks.history();
      } catch (error) {
        throw new Refused(
          503,
          'console/no-history',
          `the history cannot be read: ${(error as Error).message}`,
          'look at monitor.db in the state directory',
        );
      }
    },
    identify: async ({ body }) => {
      const { host } = body;
      if (host !== undefined && (typeof host !== 'string' || !/^[\w.:]{1,45}$/.test(host) || host === ''))
        throw new Refused(
          400,
          'console/not-understood',
          'host is not an address',
          'send {"host": "192.168.1.1"}',
        );
      const result = await this.checks.identify(host);
      if (result === undefined)
        throw new Refused(409, 'console/check-running', 'a router is being asked already', 'wait for it');
      if (result.kind === 'failed')
        throw new Refused(503, 'console/not-identified', result.text, 'name the address of the router');
      return result.answer;
    },
    routers: () => {
      const file = this.#page === undefined ? undefined : join(this.#page, 'routers.json');
      if (file === undefined || !existsSync(file))
        throw new Refused(503, 'console/not-built', 'the page has not been built', 'npm run build');
      return JSON.parse(readFileSync(file, 'utf8'));
    },
    settings: () => this.#settings(),
    setSetting: ({ parameter, body }) => {
      const { value } = body;
      if (!isTomlValue(value))
        throw new Refused(
          400,
          'console/not-understood',
          'value is no text, number, yes or no, or list of these',
          'send {"value": …} as it would stand in the file',
        );
      return this.#change(
        () => changeSetting(this.#source, parameter('key'), value),
        () => this.#settings(),
      );
    },
    openapi: () => openApi(this.#version),
  };

  /** `samples`: the newest so many; live events carry only what is new. */
  overview(samples?: number): Overview {
    const now = Date.now();
    const report = this.#report();
    const conversations = this.#calls.conversations(report.calls, now);
    const calls = conversations.filter((one) => one.kind === 'call');
    const registered = new Set(
      report.phones.flatMap(({ aor, internal }) => (aor === undefined ? [] : [internal.address])),
    );
    return this.#shown({
      version: report.version,
      now,
      switch: report.switch,
      since: report.since,
      mode: report.mode,
      taking: report.interception,
      phones: new Set(report.phones.map(({ internal }) => internal.address)).size,
      registered: registered.size,
      calls: calls.slice(0, RECENT_CALLS),
      messages: report.messages,
      attention: attentionOf(report, calls, now),
      samples: samples === undefined ? this.#rates.samples : this.#rates.samples.slice(-samples),
      kept: this.#gateway.config().observe.messages,
    });
  }

  /** Looks at what there is to do, for the rates and for who heard whom. */
  sample(): void {
    const activity = this.#gateway.activity();
    this.#calls.remember(activity.calls);
    this.#rates.take(activity, Date.now());
  }

  /** A message as live events tell it. */
  rung(id: number): unknown {
    const [exchange] = this.#gateway.recorder.exchanges({ since: id - 1 });
    return exchange === undefined
      ? undefined
      : this.#shown({ callId: exchange.callId, ...this.#calls.rung(exchange) });
  }

  #report(): StatusReport {
    const report = this.#gateway.report();
    this.#calls.remember(report.calls);
    return report;
  }

  #phones(): object {
    const report = this.#report();
    const config = this.#gateway.config();
    return this.#shown({
      now: Date.now(),
      upstreamNat: config.upstreamNat,
      phones: phonesOf(report, config),
      providers: providersOf(report, config),
    });
  }

  #settings(): object {
    return { file: this.#source.file, settings: settingsOf(this.#source) };
  }

  #shown<T>(value: T): T {
    return this.#gateway.config().log.reveal ? value : redact(value);
  }

  async #change(change: () => readonly Problem[], answer: () => object): Promise<object> {
    const done = this.#turn.then(async () => {
      const problems = change();
      return problems.length > 0 ? problems : await this.#gateway.reload();
    });
    this.#turn = done.catch(() => {});
    const problems = await done;
    const [first] = problems;
    if (first !== undefined)
      throw new Refused(422, 'console/refused-value', first.what, first.remedy, problems);
    return answer();
  }
}

function modeIn({ mode }: Readonly<Record<string, unknown>>): PolicyMode {
  if (typeof mode === 'string' && modes.includes(mode)) return mode as PolicyMode;
  throw new Refused(
    400,
    'console/not-understood',
    `the mode is none of ${modes.join(', ')}`,
    'send {"mode": "off"}',
  );
}

function isTomlValue(value: unknown): value is TomlValue {
  if (Array.isArray(value)) return value.every(isTomlValue);
  return (
    typeof value === 'string' ||
    typeof value === 'boolean' ||
    (typeof value === 'number' && Number.isFinite(value))
  );
}
