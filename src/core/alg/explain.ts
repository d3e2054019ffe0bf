/**
 * What the gateway would do to one message: the engine itself, with the mappings laid down, and a packet that has come
 * from nowhere. No network, no state.
 */
import { type Address, type Endpoint, parseAddress } from '../net/address.ts';
import type { Flow } from '../net/flow.ts';
import { type Defect, defects as defectTable } from '../sip/defect.ts';
import { type Message, scanMessage } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { scanSipUri } from '../sip/uri.ts';
import { classify, SIP_PORT } from './classify.ts';
import { Engine } from './engine.ts';
import type { ExplainedEdit } from './event.ts';
import type { Input, Output } from './io.ts';
import type { Policy, StaticMapping } from './policy.ts';

export interface ExplainOptions extends Partial<Policy> {
  readonly direction: 'out' | 'in';
  readonly mappings: readonly StaticMapping[];
  readonly media: readonly StaticMapping[];
}

export interface Explanation {
  readonly verdict: 'pass' | 'translate' | 'drop';
  /** Why nothing was changed. */
  readonly why: string | undefined;
  readonly edits: readonly ExplainedEdit[];
  readonly defects: readonly { readonly code: string; readonly text: string; readonly offset: number }[];
  /** What would be sent. */
  readonly bytes: Uint8Array;
}

/** RFC 5737: addresses for documentation. */
const EXTERNAL: Address = '203.0.113.1';
const PROVIDER: Endpoint = { address: '198.51.100.5', port: SIP_PORT };
const SOMEBODY: Address = '192.0.2.200';

export function explainMessage(bytes: Uint8Array, options: ExplainOptions): Explanation {
  const scan = classify(bytes) === 'sip' ? scanMessage(bytes) : undefined;
  const message = scan?.ok === true ? scan.message : undefined;
  const found: readonly Defect[] =
    scan === undefined ? [{ code: 'not-sip', offset: 0 }] : scan.ok ? scan.message.defects : scan.defects;
  const defects = found.map(({ code, offset }) => ({ code, text: defectTable[code][1], offset }));
  const mappings = options.mappings.length > 0 ? options.mappings : guessMapping(message, options.direction);
  const flow = flowOf(message, options.direction, mappings);
  const { direction: _direction, mappings: _mappings, media, ...policy } = options;

  const engine = new Engine({
    policy,
    mappings,
    mediaMappings: media,
    signallingPorts: { low: 61_000, high: 61_999 },
    isProvider: () => true,
  });
  const outputs: Output[] = [];
  const feed = (input: Input): void => {
    for (const output of engine.handle(0, input)) {
      outputs.push(output);
      if (output.kind === 'signalling' && output.command.action === 'open')
        feed({ kind: 'opened', id: output.command.id });
      if (output.kind === 'media' && output.command.action === 'open')
        feed({ kind: 'opened', id: output.command.id });
    }
  };
  if (flow.side === 'external') {
    // An empty datagram of the phone's opens its mapping.
    const internal = internalOf(mappings, flow.local);
    feed({
      kind: 'packet',
      flow: { transport: 'udp', side: 'internal', local: PROVIDER, remote: internal },
      bytes: new Uint8Array(0),
      externalAddress: flow.local.address,
    });
    outputs.length = 0;
  }
  feed({ kind: 'packet', flow, bytes, externalAddress: mappings[0]?.external.address ?? EXTERNAL });

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
  return { verdict, why, edits, defects, bytes: verdict === 'translate' ? sent : bytes };
}

/** Where no mapping is given: the phone is whoever the topmost Via names, and keeps its port. */
function guessMapping(message: Message | undefined, direction: 'out' | 'in'): StaticMapping[] {
  const address = direction === 'out' && message?.kind === 'request' ? message.via.sentBy.address : undefined;
  return address === undefined ? [] : [{ internal: { address }, external: { address: EXTERNAL } }];
}

function flowOf(
  message: Message | undefined,
  direction: 'out' | 'in',
  mappings: readonly StaticMapping[],
): Flow {
  const first = mappings[0];
  if (direction === 'out') {
    const sentBy = message?.kind === 'request' ? message.via.sentBy : undefined;
    const port = sentBy?.port ?? SIP_PORT;
    const known = mappings.find(({ internal }) => internal.address === sentBy?.address);
    const remote: Endpoint =
      known !== undefined
        ? { address: known.internal.address, port }
        : first !== undefined
          ? { address: first.internal.address, port: first.internal.port ?? SIP_PORT }
          : { address: SOMEBODY, port: SIP_PORT };
    return { transport: 'udp', side: 'internal', local: PROVIDER, remote };
  }
  const named = message === undefined ? undefined : target(message);
  const known =
    named === undefined
      ? undefined
      : mappings.find(
          ({ external }) =>
            external.address === named.address && (external.port ?? named.port) === named.port,
        );
  const local: Endpoint =
    known !== undefined && named !== undefined
      ? named
      : { address: first?.external.address ?? EXTERNAL, port: first?.external.port ?? SIP_PORT };
  return { transport: 'udp', side: 'external', local, remote: PROVIDER };
}

/** The endpoint that a message from outside is meant for, as it says itself. */
function target(message: Message): Endpoint | undefined {
  const written =
    message.kind === 'response'
      ? message.via.sentBy
      : scanSipUri(message.bytes, message.requestUri.start, message.requestUri.end);
  if (written === undefined) return undefined;
  const address =
    written.address ?? parseAddress(textOf(message.bytes, written.host.start, written.host.end));
  return address === undefined ? undefined : { address, port: written.port ?? SIP_PORT };
}

function internalOf(mappings: readonly StaticMapping[], external: Endpoint): Endpoint {
  const exact = mappings.find(
    (one) => one.external.address === external.address && one.external.port === external.port,
  );
  const host = mappings.find(
    (one) => one.external.address === external.address && one.external.port === undefined,
  );
  const found = exact ?? host;
  return found === undefined
    ? { address: SOMEBODY, port: SIP_PORT }
    : { address: found.internal.address, port: found.internal.port ?? external.port };
}
