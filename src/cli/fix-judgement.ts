/** Whether the wire is better than before: two checks, one before and one after something was switched. */
import type { CheckReport } from '../core/detect/check-report.ts';

export type Judgement = 'mended' | 'better' | 'unchanged' | 'worse';

type Looked = Pick<CheckReport, 'verdict' | 'figures'> & {
  readonly findings: readonly Pick<CheckReport['findings'][number], 'fault' | 'severity'>[];
};

/**
 * A check that cannot see any more is worse than one that could; so is one that loses more messages, and a new fault that is as
 * grave as the gravest that is gone: a router that lets no SIP through at all alters none.
 */
export function compareChecks(before: Looked, after: Looked | undefined): Judgement {
  if (after === undefined || after.verdict === 'inconclusive') return 'worse';
  if (after.verdict !== 'faulty') return 'mended';
  if (lostShare(after) > lostShare(before) + BAD_WEATHER) return 'worse';
  const [first, second] = [severitiesOf(before), severitiesOf(after)];
  const gone = [...first].filter(([fault]) => !second.has(fault)).map(([, severity]) => severity);
  const added = [...second].filter(([fault]) => !first.has(fault)).map(([, severity]) => severity);
  const left = [...second].filter(([fault]) => first.has(fault)).map(([, severity]) => severity);
  // One look may find what another misses. What helps makes something grave go, or much of it.
  const much = touchedShare(before) - touchedShare(after) > BAD_WEATHER;
  if (gone.length === 0 || (!much && Math.max(...gone) < Math.max(0, ...left))) return 'unchanged';
  return added.length > 0 && Math.max(...added) >= Math.max(...gone) ? 'worse' : 'better';
}

/** What may come and go by itself: one message in twenty. */
const BAD_WEATHER = 0.05;

function lostShare({ figures: { messages, arrived } }: Looked): number {
  return messages === 0 ? 1 : (messages - arrived) / messages;
}

function touchedShare(report: Looked): number {
  const { messages, altered } = report.figures;
  return lostShare(report) + (messages === 0 ? 0 : altered / messages);
}

/** Each fault once, by its severity. */
function severitiesOf({ findings }: Looked): ReadonlyMap<string, number> {
  return new Map(findings.map(({ fault, severity }) => [fault, severity]));
}
