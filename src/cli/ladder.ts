/**
 * The ladder: each message on a line of its own between phone, gateway and provider, and under it every edit with its rule. Pure.
 *
 * What stands in a message is shown as text, whatever it would do to a terminal.
 */
import type { AlgEvent, ExplainedEdit } from '../core/alg/event.ts';
import { type Endpoint, formatEndpoint } from '../core/net/address.ts';
import { isResponse, methodOf, startLineOf } from '../observe/call-id.ts';
import type { Exchange } from '../observe/exchange.ts';
import { plainText } from '../observe/plain-text.ts';
import { eventSentence } from '../observe/sentence.ts';
import { printable, renderDiff } from './explanation.ts';

export type LadderPaint = (
  style: 'good' | 'bad' | 'dim' | 'strong' | 'before' | 'after',
  text: string,
) => string;

export interface LadderOptions {
  readonly paint: LadderPaint;
  readonly colour: boolean;
  /** Whole messages with what was changed, instead of the edits alone. */
  readonly full: boolean;
}

/** The place of an endpoint: an IPv4 address with its port. */
const ENDPOINT = 21;
const LABEL = 13;
/** Calls that have a number; then numbers begin anew. */
const MOST_CALLS = 10_000;

export class Ladder {
  readonly #options: LadderOptions;
  readonly #numbers = new Map<string, number>();

  constructor(options: LadderOptions) {
    this.#options = options;
  }

  /** Lines of one exchange. */
  lines(exchange: Exchange): string[] {
    const { paint } = this.#options;
    const { received, sent, flow, events, atMs, callId } = exchange;
    const time = paint('dim', clock(atMs));
    const lines: string[] = [];
    const number = this.#number(callId);
    if (number?.isNew === true)
      lines.push(paint('strong', `${tag(number.value)}  Call-ID ${printable(callId!)}`));
    const mark = paint('dim', number === undefined ? '    ' : tag(number.value));
    if (received !== undefined && flow !== undefined) lines.push(`${time} ${mark} ${this.#rung(exchange)}`);
    else
      for (const message of sent)
        lines.push(
          `${time} ${mark} ${place(undefined)} ${' '.repeat(LABEL + 6)} ┃ ${arrow('', 4, 'right')} ${formatEndpoint(message.flow.remote)}  of our own`,
        );
    for (const event of events) lines.push(...this.#about(event, exchange, time, mark));
    return lines;
  }

  /** What was lost for want of speed. */
  missed(count: number): string {
    return this.#options.paint('bad', `… ${count} messages were not fetched in time`);
  }

  #rung({ flow, received, sent, handledMs, atMs, events }: Exchange): string {
    const { paint } = this.#options;
    const isFromPhone = flow!.side === 'internal';
    const way = isFromPhone ? 'right' : 'left';
    const left = sent[0];
    const across = left?.flow.side === flow!.side;
    const phone = isFromPhone ? flow!.remote : left?.flow.remote;
    const provider = isFromPhone ? (left?.flow.remote ?? flow!.local) : flow!.remote;
    const label = labelOf(received!);
    const dropped = events.some(({ kind }) => kind === 'message.dropped');
    const watched = left === undefined && !dropped;
    const here = arrow(isFromPhone ? label : '', LABEL, way);
    const there = arrow(isFromPhone ? '' : label, LABEL, way);
    const cut = paint('bad', '✕');
    const inner = isFromPhone || !dropped ? here : `${' '.repeat(LABEL + 4)}`;
    const outer = !isFromPhone || !dropped ? there : `${' '.repeat(LABEL + 4)}`;
    const middle = dropped ? cut : watched ? paint('dim', '┊') : '┃';
    const took = handledMs - atMs;
    const transport = flow!.transport === 'udp' ? '' : ` ${flow!.transport}`;
    const fact = across ? 'to another phone here' : `${took.toFixed(took < 10 ? 1 : 0)} ms`;
    return `${place(phone)} ${inner} ${middle} ${outer} ${place(provider)} ${verdict(events, paint)} ${paint('dim', `${fact}${transport}`)}`.trimEnd();
  }

  #about(event: AlgEvent, { received, callId }: Exchange, time: string, mark: string): string[] {
    const { paint, colour, full } = this.#options;
    const indent = ' '.repeat(6);
    switch (event.kind) {
      case 'message.translated':
        if (full && received !== undefined)
          return renderDiff(received, event.edits, colour).map((line) => `${indent}${line}`);
        return [
          ...event.edits.map((edit) => `${indent}${this.#edit(edit)}`),
          ...(event.left === undefined ? [] : [`${indent}${paint('bad', 'left alone')}: ${event.left}`]),
        ];
      case 'message.passed':
        return full && received !== undefined && startLineOf(received) !== undefined
          ? renderDiff(received, [], colour).map((line) => `${indent}${line}`)
          : [];
      case 'message.dropped':
        return [];
      case 'keepalive.sent':
      case 'keepalive.answered':
        return [];
      default: {
        // The call's number stands before it already.
        const sentence = eventSentence(event).replace(callId === undefined ? '' : `  ${callId}`, '');
        return [`${time} ${mark} ${paint('dim', `· ${plainText(sentence)}`)}`];
      }
    }
  }

  #edit({ rule, before, after, source }: ExplainedEdit): string {
    const { paint } = this.#options;
    const shown = (text: string): string => printable(text.trimEnd()) || '(nothing)';
    return `${rule.padEnd(22)} ${paint('before', shown(before))} → ${paint('after', shown(after))}  ${paint('dim', source)}`;
  }

  /** Calls are told apart by a number that is shorter than a Call-ID. */
  #number(callId: string | undefined): { readonly value: number; readonly isNew: boolean } | undefined {
    if (callId === undefined) return undefined;
    const known = this.#numbers.get(callId);
    if (known !== undefined) return { value: known, isNew: false };
    if (this.#numbers.size >= MOST_CALLS) this.#numbers.clear();
    const value = this.#numbers.size + 1;
    this.#numbers.set(callId, value);
    return { value, isNew: true };
  }
}

function verdict(events: readonly AlgEvent[], paint: LadderPaint): string {
  for (const event of events) {
    if (event.kind === 'message.translated')
      return paint('good', `${event.edits.length} ${event.edits.length === 1 ? 'edit' : 'edits'}`);
    if (event.kind === 'message.passed') {
      const defects = event.defects.length === 0 ? '' : ` (${event.defects.join(', ')})`;
      return plainText(`as it came: ${event.why}${defects}`);
    }
    if (event.kind === 'message.dropped') return paint('bad', plainText(`dropped: ${event.why}`));
    if (event.kind === 'keepalive.answered') return 'answers a keepalive of ours';
  }
  return '';
}

/** `INVITE`, `200 INVITE`, or what else it is. */
function labelOf(bytes: Uint8Array): string {
  const line = startLineOf(bytes);
  const method = methodOf(bytes);
  if (line === undefined || method === undefined) return `${bytes.length} octets`;
  const text = isResponse(bytes) ? `${line.slice(8, 11)} ${method}` : method;
  return printable(text).slice(0, LABEL);
}

function arrow(label: string, width: number, way: 'left' | 'right'): string {
  const text = label === '' ? '' : ` ${label} `;
  const line = '─'.repeat(width + 3 - text.length);
  return way === 'right' ? `─${text}${line}▶`.slice(0, width + 5) : `◀─${text}${line}`.slice(0, width + 5);
}

function place(endpoint: Endpoint | undefined): string {
  return (endpoint === undefined ? '' : formatEndpoint(endpoint)).padEnd(ENDPOINT);
}

function tag(value: number): string {
  return `#${value}`.padEnd(4);
}

/** The time of day where the reader is, to the millisecond. */
function clock(atMs: number): string {
  const d = new Date(atMs);
  const digits = (n: number, width: number): string => String(n).padStart(width, '0');
  return `${digits(d.getHours(), 2)}:${digits(d.getMinutes(), 2)}:${digits(d.getSeconds(), 2)}.${digits(d.getMilliseconds(), 3)}`;
}
