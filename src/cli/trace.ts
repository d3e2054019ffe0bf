/** `sipalg trace`: the ladder of what the running gateway handles, live, with every edit. */
import { styleText } from 'node:util';
import { writeExchange } from '../observe/exchange-json.ts';
import { plainJson } from '../observe/plain-text.ts';
import { exitCode } from './exit-code.ts';
import { type FollowOptions, startFollowing } from './following.ts';
import { Ladder, type LadderPaint } from './ladder.ts';

export interface TraceOptions extends FollowOptions {
  readonly full?: boolean;
  readonly json?: boolean;
}

const STYLES = {
  good: 'green',
  bad: 'red',
  dim: 'dim',
  strong: 'bold',
  before: 'red',
  after: 'green',
} as const;

export async function trace(options: TraceOptions): Promise<number> {
  // Of one call everything that is remembered; of all only what comes.
  const following = await startFollowing(options, options.call === undefined ? {} : { since: 0 });
  if (following === undefined) return exitCode.usage;
  const colour = process.stdout.hasColors?.() === true;
  const paint: LadderPaint = (style, text) => styleText(STYLES[style], text, { stream: process.stdout });
  const ladder = new Ladder({ paint, colour, full: options.full === true });
  if (process.stdout.isTTY && options.json !== true && options.past !== true)
    process.stderr.write(
      `phone, gateway, provider; Ctrl-C ends it${options.reveal === true ? '' : '; users and credentials are hidden, --reveal shows them'}\n`,
    );
  try {
    for await (const { exchanges, missed } of following.followed) {
      const lines: string[] = [];
      if (options.json === true) {
        if (missed > 0) lines.push(JSON.stringify({ missed }));
        lines.push(...exchanges.map((one) => plainJson(writeExchange(one))));
      } else {
        if (missed > 0) lines.push(ladder.missed(missed));
        lines.push(...exchanges.flatMap((exchange) => ladder.lines(exchange)));
      }
      if (lines.length > 0 && !process.stdout.write(`${lines.join('\n')}\n`))
        await new Promise((drained) => process.stdout.once('drain', drained));
    }
  } finally {
    following.close();
  }
  return exitCode.ok;
}
