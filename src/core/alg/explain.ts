/**
 * What the gateway would do to one message: the engine itself, with the mappings laid down, and a packet that has come
 * from nowhere. No network, no state. Several messages that belong together are in explain-call.ts.
 */
import type { Address } from '../net/address.ts';
import { type Defect, defects as defectTable } from '../sip/defect.ts';
import { type Message, scanMessage } from '../sip/message.ts';
import { classify } from './classify.ts';
import type { ExplainedEdit } from './event.ts';
import { ExplainDriver } from './explain-driver.ts';
import { type Direction, EXTERNAL, flowOf, guessMapping, internalOf, somebody } from './explain-flow.ts';
import type { EngineOptions, Policy, StaticMapping } from './policy.ts';
import type { ProfileView } from './profile.ts';

export interface ExplainOptions extends Partial<Policy> {
  readonly direction: Direction;
  readonly mappings: readonly StaticMapping[];
  readonly media: readonly StaticMapping[];
  /** As the gateway's configuration has it. */
  readonly engine?: Pick<
    EngineOptions,
    'limits' | 'signallingPorts' | 'mediaPorts' | 'media' | 'own' | 'isProxy' | 'choose'
  >;
  /** The gateway's external address where no mapping names one. */
  readonly externalAddress?: Address | undefined;
  /** Explicit mode: the gateway's address towards the phones. */
  readonly innerAddress?: Address | undefined;
  /** Whether the configuration leaves the messages of this phone alone; the reason, where it does. */
  readonly leftAlone?: (phone: Address, provider: Address | undefined) => string | undefined;
}

export interface ExplainedDefect {
  readonly code: string;
  readonly text: string;
  readonly offset: number;
}

export interface Explanation {
  readonly verdict: 'pass' | 'translate' | 'drop';
  /** Why nothing was changed. */
  readonly why: string | undefined;
  readonly edits: readonly ExplainedEdit[];
  readonly defects: readonly ExplainedDefect[];
  /** Of a REGISTER: observed or translated, and what it shows that speaks for it. */
  readonly profile?: Pick<ProfileView, 'mode' | 'chosen' | 'evidence'>;
  /** What would be sent. */
  readonly bytes: Uint8Array;
}

export function explainMessage(bytes: Uint8Array, options: ExplainOptions): Explanation {
  const { message, defects } = lookInto(bytes);
  const externalAddress = options.externalAddress ?? EXTERNAL;
  const mappings =
    options.mappings.length > 0
      ? options.mappings
      : guessMapping(message, options.direction, externalAddress);
  const flow = flowOf(message, options.direction, mappings, externalAddress);
  const isOut = flow.side === 'internal';
  const phone = isOut ? flow.remote : (internalOf(mappings, flow.local) ?? somebody());
  const left = options.leftAlone?.(phone.address, undefined);
  if (left !== undefined) return { verdict: 'pass', why: left, edits: [], defects, bytes };

  const driver = new ExplainDriver(engineOptions(options, mappings));
  // An empty datagram of the phone's opens its mapping.
  if (!isOut) driver.open('udp', phone, flow.local.address, flow.remote);
  const outputs = driver.feed({
    kind: 'packet',
    flow,
    bytes,
    externalAddress: mappings[0]?.external.address ?? externalAddress,
    ...(options.innerAddress === undefined ? {} : { innerAddress: options.innerAddress }),
  });

  let verdict: Explanation['verdict'] = 'drop';
  let why: string | undefined;
  let edits: readonly ExplainedEdit[] = [];
  let sent = bytes;
  for (const output of outputs) {
    if (output.kind === 'send') sent = output.bytes;
    if (output.kind !== 'event') continue;
    if (output.event.kind === 'message.translated') {
      verdict = 'translate';
      edits = output.event.edits;
    } else if (output.event.kind === 'message.passed') {
      verdict = 'pass';
      why = output.event.why;
    } else if (output.event.kind === 'message.dropped') why = output.event.why;
  }
  const [profile] = driver.profiles();
  return {
    verdict,
    why,
    edits,
    defects,
    ...(profile === undefined ? {} : { profile }),
    bytes: verdict === 'translate' ? sent : bytes,
  };
}

/** The engine as `explain` runs it: everybody may call, and ports are easily told apart. */
export function engineOptions(options: ExplainOptions, mappings: readonly StaticMapping[]): EngineOptions {
  const { origin, received, ice, rules } = options;
  return {
    signallingPorts: { low: 61_000, high: 61_999 },
    ...options.engine,
    policy: {
      ...(origin === undefined ? {} : { origin }),
      ...(received === undefined ? {} : { received }),
      ...(ice === undefined ? {} : { ice }),
      ...(rules === undefined ? {} : { rules }),
    },
    mappings,
    mediaMappings: options.media,
    isProvider: () => true,
  };
}

/** The message, where it may be edited, and what is wrong with it. */
export function lookInto(bytes: Uint8Array): {
  message: Message | undefined;
  defects: ExplainedDefect[];
} {
  const scan = classify(bytes) === 'sip' ? scanMessage(bytes) : undefined;
  const found: readonly Defect[] =
    scan === undefined ? [{ code: 'not-sip', offset: 0 }] : scan.ok ? scan.message.defects : scan.defects;
  return {
    message: scan?.ok === true ? scan.message : undefined,
    defects: found.map(({ code, offset }) => ({ code, text: defectTable[code][1], offset })),
  };
}
