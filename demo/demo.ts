/**
 * The demonstration: a phone behind NAT registers, and every few seconds a call is made, out and in by turns, with
 * two-way audio. It tells what happens on the wire, what the gateway rewrote, and why.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Call } from './call.ts';
import { ConsoleFront } from './console-front.ts';
import { namespaceObstacle, removeStaleNamespaces } from './namespace.ts';
import { Narrator } from './narrator.ts';
import { removeStaleDirectories } from './run.ts';
import { loopbackStage, namespaceStage, type Stage } from './stage.ts';

export interface DemoOptions {
  /** One JSON object a line instead of text. */
  readonly json?: boolean;
  /** Two calls, one each way, and then the end. */
  readonly once?: boolean;
}

const PAUSE_MS = 4000;
/** Two seconds of audio. */
const PACKETS = 100;
const EXPIRES_SECONDS = 300;

/** Runs until interrupted, or for two calls. Gives the exit code: 0 where audio went both ways in every call. */
export async function runDemo(options: DemoOptions = {}): Promise<number> {
  const narrator = new Narrator(options.json ?? false);
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt);
  // Nobody reads any more (a closed pipe): that is an interrupt too.
  process.stdout.on('error', interrupt);
  let stage: Stage | undefined;
  let front: ConsoleFront | undefined;
  try {
    stage = await openStage(narrator);
    narrator.open(stage.picture);
    if (options.once !== true) {
      front = await ConsoleFront.open(stage.gateway);
      narrator.console(
        `${front.address}${stage.reflector === undefined ? '' : `&reflector=${stage.reflector}`}`,
      );
    }
    return await play(stage, narrator, options.once ?? false, interrupted.signal);
  } catch (error) {
    narrator.failure(error);
    return 1;
  } finally {
    front?.close();
    await stage?.close();
    narrator.close('Cleaned up: nothing is left of it.');
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt);
  }
}

async function openStage(narrator: Narrator): Promise<Stage> {
  const obstacle = namespaceObstacle();
  const removed = [...(obstacle === undefined ? removeStaleNamespaces() : []), ...removeStaleDirectories()];
  if (removed.length > 0) narrator.caution(`Removed what a crashed run left behind: ${removed.join(', ')}`);
  if (obstacle === undefined) return namespaceStage();
  narrator.caution(
    `The demo network cannot be built: ${obstacle}.\n` +
      'So this is the explicit mode on loopback instead: the same engine behind ordinary sockets, with a relay for audio.',
  );
  return loopbackStage();
}

async function play(stage: Stage, narrator: Narrator, once: boolean, signal: AbortSignal): Promise<number> {
  const { log } = stage.gateway;
  const tell = log.add.bind(log);
  log.add = (line) => {
    tell(line);
    narrator.gateway(line);
  };
  narrator.step('The phone registers');
  const granted = await stage.phone.register(EXPIRES_SECONDS);
  await told(stage, '200 to REGISTER', 0);
  narrator.fact(
    `registered for ${granted} s; the provider will call it at ${stage.provider.contactOf('alice')}`,
  );

  let renewAt = performance.now() + (granted * 1000) / 2;
  let good = true;
  for (let number = 1; !signal.aborted && !(once && number > 2); number++) {
    if (performance.now() > renewAt) {
      narrator.step('The phone renews its registration');
      renewAt = performance.now() + ((await stage.phone.register(EXPIRES_SECONDS)) * 1000) / 2;
    }
    try {
      const heard = await untilAborted(oneCall(stage, narrator, number), signal);
      if (heard === 'aborted') break;
      good &&= heard;
    } catch (error) {
      good = false;
      narrator.failure(error);
    }
    if (!once) await delay(PAUSE_MS, undefined, { signal }).catch(() => {});
  }
  return good ? 0 : 1;
}

/** One call from its INVITE to the end of its BYE. Odd ones go out, even ones come in. */
async function oneCall(stage: Stage, narrator: Narrator, number: number): Promise<boolean> {
  const { phone, provider } = stage;
  const outgoing = number % 2 === 1;
  narrator.step(`Call ${number}: ${outgoing ? 'the phone calls Bob' : 'Bob calls the phone'}`);
  const logged = stage.gateway.log.entries.length;
  const seen = (outgoing ? provider.agent : phone).calls.entries.length;
  const caller = await (outgoing ? phone.call(stage.bob) : provider.call('alice'));
  const called = await (outgoing ? provider.agent : phone).incoming(3000, seen);
  await caller.reached('ringing');
  called.answer();
  await called.reached('confirmed');
  const [inside, outside]: [Call, Call] = outgoing ? [caller, called] : [called, caller];
  let bothWays = true;
  try {
    await Promise.all([
      inside.media.hear(outside.hertz, 5000, PACKETS),
      outside.media.hear(inside.hertz, 5000, PACKETS),
    ]);
  } catch {
    bothWays = false;
  }
  await (outgoing ? caller : called).hangup();
  await (outgoing ? called : caller).reached('ended');
  await told(stage, '200 to BYE', logged);
  narrator.audio({
    phoneHeard: inside.media.received.entries.length,
    providerHeard: outside.media.received.entries.length,
    phoneSources: inside.media.sources(),
    providerSources: outside.media.sources(),
    bothWays,
  });
  phone.forget();
  provider.agent.forget();
  stage.gateway.log.clear();
  stage.gateway.program.lines.clear();
  return bothWays;
}

/** The gateway's log comes through a pipe, a little later than what it is about. It is for people: no news is no error. */
async function told(stage: Stage, summary: string, from: number): Promise<void> {
  await stage.gateway.log
    .until((line) => String(line.summary).startsWith(summary), 1000, summary, from)
    .catch(() => {});
}

async function untilAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T | 'aborted'> {
  work.catch(() => {});
  const aborted = new Promise<'aborted'>((resolve) => {
    if (signal.aborted) resolve('aborted');
    else signal.addEventListener('abort', () => resolve('aborted'), { once: true });
  });
  return Promise.race([work, aborted]);
}
