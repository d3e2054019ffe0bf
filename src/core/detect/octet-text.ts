/** Octets for people: text where it is text, escapes and hexadecimal where it is not. */
import { textOf } from '../sip/octets.ts';

/**
 * As UTF-8 where it is valid, as latin-1 where not. Line ends and tabs are kept; other control octets become \xNN, so
 * that no terminal is told anything by a message.
 */
export function octetText(bytes: Uint8Array): string {
  return utf8(bytes).replace(/[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g, (c) => `\\x${hex(c.charCodeAt(0))}`);
}

/** Text that was taken from a message, with control characters as \\xNN: a terminal is told nothing by a stranger. */
export function printable(text: string): string {
  return text.replace(/[\0-\x1f\x7f-\x9f]/g, (c) => `\\x${hex(c.charCodeAt(0))}`);
}

/** In one line: line ends are written as \r\n. */
export function oneLine(bytes: Uint8Array): string {
  return octetText(bytes).replaceAll('\r', '\\r').replaceAll('\n', '\\n').replaceAll('\t', '\\t');
}

/** Whether hexadecimal says more than text: octets that do not print. */
export function needsHex(bytes: Uint8Array): boolean {
  return bytes.some((octet) => octet < 0x20 || octet === 0x7f);
}

/** `0d 0a`; cut off after `limit` octets. */
export function hexOf(bytes: Uint8Array, limit = 32): string {
  const shown = [...bytes.subarray(0, limit)].map(hex).join(' ');
  return bytes.length > limit ? `${shown} … (${bytes.length} octets)` : shown;
}

function hex(octet: number): string {
  return octet.toString(16).padStart(2, '0');
}

/** RFC 3629; anything that is not valid is taken as latin-1 as a whole. */
function utf8(bytes: Uint8Array): string {
  const latin = textOf(bytes, 0, bytes.length);
  if (!/[\x80-\xff]/.test(latin)) return latin;
  try {
    return decodeURIComponent(latin.replace(/[%\x80-\xff]/g, (c) => `%${hex(c.charCodeAt(0))}`));
  } catch {
    return latin;
  }
}
