/** What needs a person's attention, in plain words, the gravest first. */
import type { StatusReport } from '../gateway/status-report.ts';
import type { Conversation } from './calls.ts';

export interface Attention {
  readonly level: 'bad' | 'warn' | 'info';
  readonly text: string;
  readonly remedy?: string;
  /** Where in the page more is to be seen. */
  readonly link?: string;
}

const RECENT_MS = 30 * 60_000;
const MOST_NOTICES = 3;

export function attentionOf(
  report: StatusReport,
  conversations: readonly Conversation[],
  now: number,
): Attention[] {
  const found: Attention[] = [];
  const add = (level: Attention['level'], text: string, more: Partial<Attention> = {}): void => {
    found.push({ level, text, ...more });
  };
  if (report.switch === 'off')
    add(
      'warn',
      'The gateway is switched off. Your router translates addresses as usual, and SIP messages pass unchanged.',
      {
        remedy: 'Switch it on above when phones need it.',
      },
    );
  else if (!report.interception.active)
    add('bad', `SIP goes past the gateway at present: ${report.interception.why ?? 'it rests'}.`, {
      remedy: '`sipalg preflight` on the gateway says what stands in the way.',
    });
  else if (report.phoneCount === 0)
    add('info', 'No phone has been seen yet.', {
      remedy: 'Phones show up here when they register; restarting one makes it do so.',
    });
  for (const call of conversations)
    if (call.kind === 'call' && call.hearing?.good === false && now - call.lastAt < RECENT_MS)
      add(call.state === 'talking' ? 'bad' : 'warn', call.hearing.text, {
        link: `/calls/${encodeURIComponent(call.callId)}`,
      });
  for (const { limit, of, used, reached } of report.limits)
    if (reached > 0)
      add('warn', `The limit “${limit}” was reached ${reached === 1 ? 'once' : `${reached} times`}.`, {
        remedy: `Raise limits.${limit} in the settings if this is ordinary traffic.`,
        link: '/settings',
      });
    else if (used !== undefined && of > 0 && used / of > 0.8)
      add('info', `“${limit}” is filled to ${Math.round((100 * used) / of)} %.`, { link: '/settings' });
  const notices = report.notices.filter(({ at, code }) => now - at < RECENT_MS && code !== 'limit.reached');
  for (const { text } of notices.slice(-MOST_NOTICES).reverse()) add('warn', text);
  const order = { bad: 0, warn: 1, info: 2 };
  return found.sort((a, b) => order[a.level] - order[b.level]);
}
