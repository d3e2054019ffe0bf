/** Times, numbers and names as people read them. */

export function clock(at: number): string {
  return new Date(at).toLocaleTimeString([], {
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
    hourCycle: 'h23',
  });
}

export function minute(at: number): string {
  return clock(at).slice(0, 5);
}

export function exactClock(at: number): string {
  return `${clock(at)}.${String(Math.floor(at % 1000)).padStart(3, '0')}`;
}

export function day(at: number): string {
  return new Date(at).toLocaleString([], { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' });
}

/** `4 min`, `2 h`. */
export function span(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 90) return `${seconds} s`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} days`;
}

export function ago(at: number, now: number): string {
  return now - at < 2_000 ? 'just now' : `${span(now - at)} ago`;
}

export function count(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString()} ${n === 1 ? one : many}`;
}

/** `sip:alice@example.net;transport=udp` as `alice@example.net`. */
export function party(uri: string): string {
  const match = /^(?:sips?|tel):(?:([^@]*)@)?([^;?>]*)/i.exec(uri);
  if (match === null) return uri === '' ? 'unknown' : uri;
  const [, user, host = ''] = match;
  return user === undefined || user === '' ? host : `${user}@${host}`;
}

/** Whether the name of a party is hidden, as in the log. */
export function isHidden(uri: string): boolean {
  return /^(?:sips?|tel):…/i.test(uri);
}
