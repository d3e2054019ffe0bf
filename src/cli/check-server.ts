/** `sipalg check --server sip:PROVIDER`: what the answers of a server that is somebody else's let conclude. */
import { writeFileSync } from 'node:fs';
import { hostRedactor } from '../detector/check/redaction.ts';
import { type Asked, defaultManners } from '../detector/server/questions.ts';
import { ServerCheck } from '../detector/server/run.ts';
import { parseTarget } from '../detector/server/target.ts';
import { exitCodeOf, type RawCheckOptions, readMilliseconds, tellStep, wantsColour } from './check.ts';
import { reportHtml } from './check-html.ts';
import { reportJson } from './check-json.ts';
import { reportText } from './check-text.ts';
import { UsageError } from './failure.ts';

/** They need both ends. */
const REFLECTOR_ONLY = ['quick', 'long', 'idle'] as const;

export async function checkServer(text: string, raw: RawCheckOptions): Promise<number> {
  const target = parseTarget(text);
  if (target === undefined)
    throw new UsageError(
      `--server ${text}: not a SIP server`,
      'write sip:HOST, sip:HOST:PORT or sip:HOST;transport=tcp, such as sip:sip.example.com',
    );
  for (const option of REFLECTOR_ONLY)
    if (raw[option] !== undefined)
      throw new UsageError(`--${option} goes with a reflector`, 'leave it out, or leave out --server');
  const { report, asked, server } = await ServerCheck.run(target, {
    manners: {
      ...defaultManners,
      ...(raw.patience === undefined ? {} : { patienceMs: readMilliseconds('--patience', raw.patience) }),
    },
    register: raw.register === true,
    tell: raw.json === true ? () => {} : tellStep,
  });
  if (raw.trace !== undefined) writeFileSync(raw.trace, askedJson(asked));
  const hide =
    raw.redact === true
      ? hostRedactor(
          [target.host, server.address],
          asked.flatMap(({ inside, echo }) => [
            inside.address,
            ...(echo?.mapped === undefined ? [] : [echo.mapped.address]),
          ]),
        )
      : undefined;
  const shown = hide ?? ((one: string): string => one);
  if (raw.html !== undefined) writeFileSync(raw.html, reportHtml(report, shown, new Date()));
  process.stdout.write(
    raw.json === true ? reportJson(report, hide) : `\n${reportText(report, shown, wantsColour())}`,
  );
  return exitCodeOf(report);
}

/** Every question with its answer as one JSON object a line. */
function askedJson(asked: readonly Asked[]): string {
  return asked
    .map(({ sent, received, echo: _, ...rest }) => {
      const octets = {
        sent: Buffer.from(sent).toString('base64'),
        received: received === undefined ? null : Buffer.from(received).toString('base64'),
      };
      return `${JSON.stringify({ ...rest, ...octets })}\n`;
    })
    .join('');
}
