/** Tells what happens: to people in colours, or to programs as one JSON object a line. */
import { styleText } from 'node:util';
import { type RuleId, ruleById } from '../src/core/alg/rules.ts';
import type { LogLine } from './gateway.ts';

interface Edit {
  readonly before: string;
  readonly after: string;
  readonly rule: RuleId;
  readonly source: string;
}

interface Translated extends LogLine {
  readonly flow: { readonly side: 'internal' | 'external' };
  readonly summary: string;
  readonly edits: readonly Edit[];
}

export interface AudioReport {
  readonly phoneHeard: number;
  readonly providerHeard: number;
  readonly phoneSources: readonly string[];
  readonly providerSources: readonly string[];
  readonly bothWays: boolean;
}

export class Narrator {
  readonly #json: boolean;
  readonly #explained = new Set<string>();

  constructor(json: boolean) {
    this.#json = json;
  }

  open(picture: readonly string[]): void {
    if (this.#json) return this.#record('demo.opened', {});
    this.#line(styleText('bold', '\nsipalg: a phone behind NAT makes and takes calls\n'));
    for (const line of picture) this.#line(line);
    this.#line('');
  }

  /** Where a browser shows all of it. */
  console(address: string): void {
    if (this.#json) return this.#record('demo.console', { address });
    this.#line(`  ${styleText('bold', 'Look at it in a browser:')} ${styleText('cyan', address)}`);
    this.#line('');
  }

  /** Why it is not what it usually is. */
  caution(text: string): void {
    if (this.#json) this.#record('demo.caution', { text });
    else this.#line(styleText('yellow', `\n${text}`));
  }

  step(text: string): void {
    if (this.#json) this.#record('demo.step', { text });
    else this.#line(`\n${styleText('bold', `■ ${text}`)}`);
  }

  fact(text: string): void {
    if (this.#json) this.#record('demo.fact', { text });
    else this.#line(`  ${text}`);
  }

  audio(report: AudioReport): void {
    if (this.#json) return this.#record('demo.audio', { ...report });
    const mark = report.bothWays
      ? styleText('green', '✔ audio both ways')
      : styleText('red', '✘ audio did not go both ways');
    this.#line(`  ${mark}`);
    this.#line(
      `      the phone    heard ${report.phoneHeard} RTP packets from ${report.phoneSources.join(', ') || 'nobody'}`,
    );
    this.#line(
      `      the provider heard ${report.providerHeard} RTP packets from ${report.providerSources.join(', ') || 'nobody'}`,
    );
  }

  failure(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    if (this.#json) this.#record('demo.failed', { text });
    else this.#line(`  ${styleText('red', `✘ ${text}`)}`);
  }

  close(text: string): void {
    if (this.#json) this.#record('demo.closed', { text });
    else this.#line(`\n${text}`);
  }

  /** A line of the gateway's log. */
  gateway(line: LogLine): void {
    if (this.#json) return this.#record('gateway', { event: line });
    switch (line.msg) {
      case 'message.translated':
        this.#translated(line as Translated);
        break;
      case 'engine.fault':
      case 'limit.reached':
      case 'mapping.failed':
      case 'notice':
        this.#line(styleText('yellow', `  gateway: ${line.msg} ${JSON.stringify(line)}`));
        break;
      default:
    }
  }

  #translated({ flow, summary, edits }: Translated): void {
    const arrow = flow.side === 'internal' ? 'phone → provider' : 'provider → phone';
    this.#line(`  ${styleText('cyan', arrow)}  ${summary}`);
    for (const edit of edits) {
      const change = `${styleText('red', edit.before.trimEnd() || '(nothing)')} → ${styleText('green', edit.after.trimEnd() || '(nothing)')}`;
      this.#line(`      ${change}  ${styleText('dim', `${edit.rule}, ${edit.source}`)}`);
      if (this.#explained.has(edit.rule)) continue;
      this.#explained.add(edit.rule);
      const rule = ruleById(edit.rule);
      if (rule !== undefined) {
        this.#line(styleText('dim', `        What: ${rule.summary}`));
        this.#line(styleText('dim', `        Without it: ${rule.without}`));
      }
    }
  }

  #record(kind: string, fields: Readonly<Record<string, unknown>>): void {
    process.stdout.write(`${JSON.stringify({ time: Date.now(), kind, ...fields })}\n`);
  }

  #line(text: string): void {
    process.stdout.write(`${text}\n`);
  }
}
