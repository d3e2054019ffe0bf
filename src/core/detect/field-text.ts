/** The text of one header field, read as leniently as may be: what is looked at may have been damaged. */
import { textOf } from '../sip/octets.ts';

const COMPACT: Readonly<Record<string, string>> = {
  'call-id': 'i',
  from: 'f',
  to: 't',
  via: 'v',
  contact: 'm',
};

/** Of the topmost one of that name, which is in lower case; undefined where there is none. */
export function fieldText(bytes: Uint8Array, name: string): string | undefined {
  const text = textOf(bytes, 0, bytes.length);
  const end = text.indexOf('\r\n\r\n');
  const header = end < 0 ? text : text.slice(0, end);
  const short = COMPACT[name] ?? name;
  return new RegExp(`\\r\\n(?:${name}|${short})[ \\t]*:[ \\t]*([^\\r]*)`, 'i').exec(header)?.[1];
}
