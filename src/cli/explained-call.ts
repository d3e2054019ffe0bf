/** What `sipalg explain` shows of several messages: each in order with its own diff, and what happened beside. */
import { styleText } from 'node:util';
import type { CallPacket, ExplainedCall, ExplainedMessage } from '../core/alg/explain-call.ts';
import { formatEndpoint } from '../core/net/address.ts';
import { eventSentence } from '../observe/sentence.ts';
import { renderExplanation } from './explanation.ts';

/** The packets that were explained, in order; those of a text have neither time nor addresses. */
export type Packets = readonly CallPacket[];

export function* renderCall(call: ExplainedCall, packets: Packets, colour: boolean): Generator<string> {
  const bold = (text: string): string =>
    colour ? styleText(['bold', 'underline'], text, { validateStream: false }) : text;
  const dim = (text: string): string => (colour ? styleText('dim', text, { validateStream: false }) : text);
  const total = call.messages.length;
  let first: number | undefined;
  for (const [index, message] of call.messages.entries()) {
    const { seen } = packets[message.packet]!;
    first ??= seen?.timeMs;
    const way = message.direction === 'out' ? 'phone → provider' : 'provider → phone';
    const where =
      seen === undefined || first === undefined
        ? way
        : `${way}  ${formatEndpoint(seen.source)} → ${formatEndpoint(seen.destination)}  +${((seen.timeMs - first) / 1_000).toFixed(3)} s`;
    yield `${index === 0 ? '' : '\n'}${bold(`${index + 1}/${total}  ${visible(message.summary)}`)}  ${where}\n`;
    yield renderExplanation(message.before, message, colour);
    if (message.events.length > 0)
      yield `\n${message.events.map((event) => `  ${dim(`· ${visible(eventSentence(event))}`)}\n`).join('')}`;
  }
}

/**
 * `--json`, part by part. Of a text, `verdict`, `edits` and `defects` stand for the whole of it as well, with offsets in
 * the file, so that its edits can be made without taking it apart; `offsets` says where its messages begin.
 */
export function* callJson(
  call: ExplainedCall,
  packets: Packets,
  offsets: readonly number[] | undefined,
): Generator<string> {
  yield '{\n';
  if (offsets !== undefined) {
    const moved = <T extends { readonly offset: number }>(list: readonly T[], packet: number): T[] =>
      list.map((one) => ({ ...one, offset: one.offset + offsets[packet]! }));
    const whole = {
      verdict: verdictOf(call.messages),
      edits: call.messages.flatMap(({ edits, packet }) => moved(edits, packet)),
      defects: call.messages.flatMap(({ defects, packet }) => moved(defects, packet)),
    };
    for (const [name, value] of Object.entries(whole)) yield `  "${name}": ${indented(value, '  ')},\n`;
  }
  yield '  "messages": [\n';
  for (const [index, message] of call.messages.entries()) {
    const object = messageObject(message, packets[message.packet]!, offsets?.[message.packet]);
    yield `    ${indented(object, '    ')}${index === call.messages.length - 1 ? '' : ','}\n`;
  }
  yield '  ]\n}\n';
}

function messageObject(message: ExplainedMessage, { seen }: CallPacket, offset: number | undefined): object {
  const { direction, summary, verdict, why, edits, defects, events } = message;
  const where =
    seen === undefined
      ? { offset }
      : {
          timeMs: seen.timeMs,
          source: formatEndpoint(seen.source),
          destination: formatEndpoint(seen.destination),
        };
  return { direction, summary, ...where, verdict, why, edits, defects, events };
}

function verdictOf(messages: readonly ExplainedMessage[]): ExplainedMessage['verdict'] {
  if (messages.some(({ verdict }) => verdict === 'translate')) return 'translate';
  return messages.every(({ verdict }) => verdict === 'drop') ? 'drop' : 'pass';
}

function indented(value: unknown, by: string): string {
  return JSON.stringify(value, null, 2).replaceAll('\n', `\n${by}`);
}

/** Nothing that a terminal would obey. */
function visible(text: string): string {
  return text.replaceAll(
    /[\u0000-\u001f\u007f-\u009f]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}
