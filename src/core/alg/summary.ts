/** A message in one line, as events name it. */
import type { Message } from '../sip/message.ts';

export function summaryOf(message: Message): string {
  if (message.kind === 'response') return `${message.status} to ${message.method}`;
  return `${message.method} ${message.text.slice(message.requestUri.start, message.requestUri.end)}`;
}

/** Of what was not looked into, or passed as it came. */
export function sizeOf(bytes: Uint8Array): string {
  return `${bytes.length} octets`;
}
