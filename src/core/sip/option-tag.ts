/** Option tags: tokens separated by commas, in fields that may stand several times (RFC 3261 §20.32, §20.37). */
import { firstField, type Message } from './message.ts';
import { COMMA, equalsIgnoreCase, skipLws, skipToken } from './octets.ts';

/** Whether one of the fields of this name has the tag; a value that does not follow the grammar has none behind the fault. */
export function hasOptionTag(message: Message, name: 'supported' | 'require', lowerTag: string): boolean {
  if (firstField(message, name) === undefined) return false;
  const { bytes } = message;
  return message.fields.some((field) => {
    if (field.name !== name) return false;
    const { end } = field;
    let i = skipLws(bytes, field.start, end);
    while (i < end) {
      const tagEnd = skipToken(bytes, i, end);
      if (equalsIgnoreCase(bytes, i, tagEnd, lowerTag)) return true;
      i = skipLws(bytes, tagEnd, end);
      if (i >= end || bytes[i] !== COMMA) return false;
      i = skipLws(bytes, i + 1, end);
    }
    return false;
  });
}
