/** The ladder: time goes down, and each message is an arrow between phone, gateway and provider. */
import type { Rung } from '../src/console/calls.ts';
import { exactClock } from './words.ts';

export function Ladder({
  rungs,
  phone,
  provider,
  chosen,
  choose,
}: {
  readonly rungs: readonly Rung[];
  readonly phone: string;
  readonly provider: string;
  readonly chosen: number | undefined;
  readonly choose: (id: number) => void;
}) {
  return (
    <div class="ladder">
      <div class="posts" aria-hidden="true">
        <span>
          phone<small>{phone}</small>
        </span>
        <span>
          sipalg<small>this gateway</small>
        </span>
        <span>
          provider<small>{provider}</small>
        </span>
      </div>
      <ol>
        {rungs.map((rung) => (
          <li key={rung.id}>
            <button
              type="button"
              class={`rung ${rung.verdict}`}
              aria-pressed={rung.id === chosen}
              onClick={() => choose(rung.id)}
            >
              <span class="what">
                <span class="summary">{shortOf(rung.summary)}</span>
                <time>{exactClock(rung.atMs)}</time>
                <span class="unseen">{wayOf(rung)}</span>
              </span>
              <span class="track" aria-hidden="true">
                <i class="post-line" />
                <i class="post-line" />
                <i class="post-line" />
                {arrowsOf(rung).map((arrow) => (
                  <i key={arrow} class={`arrow-line ${arrow}`} />
                ))}
                <i class={`mark ${rung.verdict}`}>
                  {rung.verdict === 'translated' ? rung.edits : rung.verdict === 'dropped' ? '×' : ''}
                </i>
              </span>
            </button>
          </li>
        ))}
      </ol>
      <p class="key-line muted small">
        <span>
          <i class="mark translated">4</i> so many edits
        </span>
        <span>
          <i class="mark passed" /> passed as it was
        </span>
        <span>
          <i class="mark dropped">×</i> not sent on
        </span>
      </p>
    </div>
  );
}

/** Without what is the same in every line. */
function shortOf(summary: string): string {
  return summary.replace(/^([A-Z]+) sips?:([^;]*).*$/, '$1 $2');
}

/** Halves of the way: the phone's on the left, the provider's on the right. */
function arrowsOf({ from, to }: Rung): string[] {
  const arrows: string[] = [];
  if (from === 'phone') arrows.push('left to-right');
  if (from === 'provider') arrows.push('right to-left');
  for (const one of to) {
    const arrow = one === 'phone' ? 'left to-left' : 'right to-right';
    arrows.push(arrow);
  }
  return arrows;
}

/** The arrows in words. */
function wayOf({ from, to, verdict, edits }: Rung): string {
  const what = {
    translated: `${edits} ${edits === 1 ? 'edit' : 'edits'}`,
    passed: 'passed as it was',
    dropped: 'not sent on',
    sent: 'sent by the gateway',
  }[verdict];
  return `from the ${from}${to.length === 0 ? '' : ` to the ${to.join(' and the ')}`}, ${what}`;
}
