/** Where a message that has come from nowhere would have come from: its direction, its flow and its phone's mapping. */
import { type Address, type Endpoint, parseAddress } from '../net/address.ts';
import type { Flow } from '../net/flow.ts';
import type { Message } from '../sip/message.ts';
import { textOf } from '../sip/octets.ts';
import { scanSipUri } from '../sip/uri.ts';
import { SIP_PORT } from './classify.ts';
import { contactUri } from './decide.ts';
import type { StaticMapping } from './policy.ts';

export type Direction = 'out' | 'in';

/** RFC 5737: addresses for documentation. */
export const EXTERNAL: Address = '203.0.113.1';
export const PROVIDER: Endpoint = { address: '198.51.100.5', port: SIP_PORT };
const SOMEBODY: Address = '192.0.2.200';

/** Where no mapping is given: the phone is whoever the topmost Via names, and keeps its port. */
export function guessMapping(
  message: Message | undefined,
  direction: Direction,
  external: Address,
): StaticMapping[] {
  const address = direction === 'out' && message?.kind === 'request' ? message.via.sentBy.address : undefined;
  return address === undefined ? [] : [{ internal: { address }, external: { address: external } }];
}

/** The flow of one message on its own. */
export function flowOf(
  message: Message | undefined,
  direction: Direction,
  mappings: readonly StaticMapping[],
  externalAddress: Address,
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
  const local: Endpoint =
    named !== undefined && mappings.some((one) => isExternal(one, named))
      ? named
      : {
          address: first?.external.address ?? externalAddress,
          port: first?.external.port ?? SIP_PORT,
        };
  return { transport: 'udp', side: 'external', local, remote: PROVIDER };
}

/**
 * Which way a message of a call goes, as far as it says so itself: what is meant for a mapping's endpoint comes in, a
 * request that names one in its Via goes out.
 */
export function directionOf(
  message: Message | undefined,
  mappings: readonly StaticMapping[],
  given: Direction,
): Direction {
  if (message === undefined) return given;
  const isInternal = (e: Endpoint): boolean =>
    mappings.some(({ internal }) => internal.address === e.address);
  const { sentBy } = message.via;
  // A phone may well call another one by its external endpoint.
  if (message.kind === 'request' && sentBy.address !== undefined)
    if (isInternal({ address: sentBy.address, port: SIP_PORT })) return 'out';
  const named = target(message);
  if (named !== undefined && mappings.some((one) => isExternal(one, named))) return 'in';
  // Written down inside the NAT, where nobody had translated it.
  return named !== undefined && isInternal(named) ? 'in' : given;
}

/** The phone's endpoint that a Contact of the message names. */
export function contactPhone(message: Message, mappings: readonly StaticMapping[]): Endpoint | undefined {
  for (const contact of message.contacts) {
    const uri = contactUri(message, contact);
    if (uri?.address !== undefined && mappings.some(({ internal }) => internal.address === uri.address))
      return { address: uri.address, port: uri.port ?? SIP_PORT };
  }
  return undefined;
}

/** The endpoint that a message from outside is meant for, as it says itself. */
export function target(message: Message): Endpoint | undefined {
  const written =
    message.kind === 'response'
      ? message.via.sentBy
      : scanSipUri(message.bytes, message.requestUri.start, message.requestUri.end);
  if (written === undefined) return undefined;
  const address =
    written.address ?? parseAddress(textOf(message.bytes, written.host.start, written.host.end));
  return address === undefined ? undefined : { address, port: written.port ?? SIP_PORT };
}

/** The phone's endpoint behind an external one. */
export function internalOf(mappings: readonly StaticMapping[], external: Endpoint): Endpoint | undefined {
  const exact = mappings.find(
    (one) => one.external.address === external.address && one.external.port === external.port,
  );
  const host = mappings.find(
    (one) => one.external.address === external.address && one.external.port === undefined,
  );
  const found = exact ?? host;
  return found === undefined
    ? undefined
    : { address: found.internal.address, port: found.internal.port ?? external.port };
}

/** A phone of which nothing is known. */
export function somebody(): Endpoint {
  return { address: SOMEBODY, port: SIP_PORT };
}

function isExternal({ external }: StaticMapping, endpoint: Endpoint): boolean {
  return external.address === endpoint.address && (external.port ?? endpoint.port) === endpoint.port;
}
