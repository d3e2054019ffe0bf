/** What simulated boxes do to a message: edits of its lines and its body, each a careless piece of work. */
import type { Passing } from './box.ts';

export type Edit = (text: string, passing: Passing) => string | undefined;

export function isRequest(text: string): boolean {
  return !text.startsWith('SIP/2.0');
}

export function methodOf(text: string): string {
  return isRequest(text)
    ? text.slice(0, text.indexOf(' '))
    : (/^CSeq:[ \t]*\d+[ \t]+([A-Z]+)/im.exec(text)?.[1] ?? '');
}

/** Messages of the phone. */
export const outbound = (edit: Edit): Edit => directed('to-server', edit);
/** Messages of the server. */
export const inbound = (edit: Edit): Edit => directed('to-client', edit);

function directed(direction: Passing['direction'], edit: Edit): Edit {
  return (text, passing) => (passing.direction === direction ? edit(text, passing) : text);
}

/** The lines of a header field, CRLF included. */
export function field(text: string, name: string, edit: (line: string) => string): string {
  const end = text.indexOf('\r\n\r\n') + 2;
  const head = text.slice(0, end).replaceAll(new RegExp(`^${name}[ \\t]*:.*\\r\\n`, 'gim'), edit);
  return head + text.slice(end);
}

/** The body, with a Content-Length that follows. */
export function body(text: string, edit: (body: string) => string): string {
  const start = text.indexOf('\r\n\r\n') + 4;
  const after = edit(text.slice(start));
  return field(text.slice(0, start), 'Content-Length', () => `Content-Length: ${after.length}\r\n`) + after;
}

/** Something else in the place of what matches, in messages of the phone. */
export const replaced = (what: RegExp | string, by: string): Edit =>
  outbound((text) => text.replace(what, by));

/** The same in bodies. */
export const bodyReplaced = (what: RegExp | string, by: string): Edit =>
  outbound((text) => body(text, (one) => one.replace(what, by)));

/** The phone's address as text, everywhere in the lines of some fields. */
export const addressIn = (...names: string[]): Edit =>
  outbound((text, { inside, outside }) =>
    names.reduce(
      (result, name) => field(result, name, (line) => line.replaceAll(inside.address, outside.address)),
      text,
    ),
  );

export const dropped =
  (matches: (text: string, passing: Passing) => boolean): Edit =>
  (text, passing) =>
    matches(text, passing) ? undefined : text;
