/** What `sipalg explain` shows of several messages: each in order with its own diff, and what happened beside. */
import { styleText } from 'node:util';
import type { ExplainedCall, ExplainedMessage } from '../core/alg/explain-call.ts';
import { formatEndpoint } from '../core/net/address.ts';
import { eventSentence } from '../observe/sentence.ts';
import { renderExplanation } from './explanation.ts';

export interface CallContext {
  /** Milliseconds of each packet; undefined for a text, which has no time. */
  readonly timeOf: (message: ExplainedMessage) => number | undefined;
  readonly colour: boolean;
}

export function* renderCall(call: ExplainedCall, { timeOf, colour }: CallContext): Generator<string> {
  const bold = (text: string): string =>
    colour ? styleText(['bold', 'underline'], text, { validateStream: false }) : text;
  const dim = (text: string): string => (colour ? styleText('dim', text, { validateStream: false }) : text);
  const total = call.messages.length;
  let first: number | undefined;
  for (const [index, message] of call.messages.entries()) {
    const time = timeOf(message);
    first ??= time;
    const way = message.direction === 'out' ? 'phone → provider' : 'provider → phone';
    const where =
      time === undefined || first === undefined
        ? way
        : `${way}  ${formatEndpoint(message.flow.remote)} → ${formatEndpoint(message.flow.local)}  +${((time - first) / 1_000).toFixed(3)} s`;
    yield `${index === 0 ? '' : '\n'}${bold(`${index + 1}/${total}  ${visible(message.summary)}`)}  ${where}\n`;
    yield renderExplanation(message.before, message, colour);
    if (message.events.length > 0)
      yield `\n${message.events.map((event) => `  ${dim(`· ${visible(eventSentence(event))}`)}\n`).join('')}`;
  }
}

/** The object of one message in the `messages` array of `--json`. */
export function messageObject(message: ExplainedMessage, timeMs: number | undefined): object {
  const { direction, summary, flow, verdict, why, edits, defects, events } = message;
  const seen =
    timeMs === undefined
      ? {}
      : { timeMs, source: formatEndpoint(flow.remote), destination: formatEndpoint(flow.local) };
  return { direction, summary, ...seen, verdict, why, edits, defects, events };
}

/** Nothing that a terminal would obey. */
function visible(text: string): string {
  return text.replaceAll(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
