/** Which data plane carries the engine out: the kernel's, or ordinary sockets. Loaded only where it is used. */
import type { GatewayConfig } from '../config/gateway-config.ts';
import { formatPrefix } from '../config/prefix.ts';
import type { DataPlane, MappingId } from '../core/alg/io.ts';
import type { Dropped } from '../linux/flood-watch.ts';
import type { LinuxPlane, LinuxPlaneHandler, LinuxPlaneOptions } from '../linux/plane-options.ts';
import type { ConnectionLimits } from '../stream/connections.ts';

/** What every data plane may ask of the gateway. */
export type GatewayHandler = LinuxPlaneHandler;

/** Packets of one media mapping's first port, which is RTP. */
export interface MediaTraffic {
  readonly fromPhone: number;
  readonly toPhone: number;
}

/** The data plane at one moment. */
export interface PlaneStatus {
  /** Why SIP goes past the gateway at present; undefined while it does not. */
  readonly resting: string | undefined;
  /** Asked only where there are calls to show. Mappings that nobody counts for are not in it. */
  traffic(): ReadonlyMap<MappingId, MediaTraffic>;
  /** Packets dropped before they cost anything, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
  /** TCP connections of phones and of providers. */
  readonly connections: number;
  /** Signs of life to the kernel since the start; undefined where no kernel waits for one. */
  readonly heartbeats: number | undefined;
}

export interface OpenPlane {
  readonly plane: DataPlane;
  /** What a person or a script wants to know of it. */
  readonly facts: Readonly<Record<string, unknown>>;
  status(): PlaneStatus;
}

/** A call without media is noticed this much later than asked for, at most. */
const LONGEST_MEDIA_LOOK_MS = 30_000;

/** The configuration in the words of the kernel's data plane. */
export function linuxPlaneOptions(config: GatewayConfig): LinuxPlaneOptions {
  const { messagesPerSecondPerPhone, messagesPerSecondPerProvider } = config.limits;
  const off = <T extends { readonly mode: string }>(list: readonly T[]): T[] =>
    list.filter((one) => one.mode === 'off');
  return {
    internal: config.internal,
    external: config.external,
    sipPorts: config.signalling.ports,
    excludedPhones: off(config.phones).map((one) => formatPrefix(one.address)),
    excludedProviders: off(config.providers).flatMap((one) => one.addresses.map(formatPrefix)),
    providers: config.providers
      .filter((one) => one.mode !== 'off')
      .flatMap((one) => one.addresses.map(formatPrefix)),
    acceptChains: config.acceptChains,
    routeTable: config.linux.routeTable,
    rates: {
      perPhone: messagesPerSecondPerPhone,
      perProvider: messagesPerSecondPerProvider,
    },
    connections: connectionLimits(config),
    mediaLookMs: mediaLookMs(config),
    ipv6: config.linux.ipv6,
  };
}

function mediaLookMs(config: GatewayConfig): number {
  return Math.min(LONGEST_MEDIA_LOOK_MS, config.limits.callIdleMs / 3);
}

function connectionLimits({ limits }: GatewayConfig): ConnectionLimits {
  const { connections, connectionsPerPhone, messagesPerSecondPerPhone, messagesPerSecondPerProvider } =
    limits;
  return { connections, connectionsPerPhone, messagesPerSecondPerPhone, messagesPerSecondPerProvider };
}

/** Opens the kernel's data plane. `shared`: one engine's of several (threads/), without what there is one of. */
export async function openLinuxPlane(
  config: GatewayConfig,
  handler: GatewayHandler,
  shared: boolean,
): Promise<OpenPlane & { readonly plane: LinuxPlane }> {
  const { createLinuxPlane } = await import('../linux/plane.ts');
  const plane = createLinuxPlane({ ...linuxPlaneOptions(config), shared }, handler);
  plane.start();
  return {
    plane,
    facts: {
      internal: config.internal,
      external: config.external,
      ports: config.signalling.ports,
      ipv6: plane.ipv6(),
    },
    status: () => {
      const { shed, dropped, connections: open, heartbeats } = plane.stats();
      return {
        resting: plane.resting(),
        traffic: () => plane.mediaTraffic(),
        dropped: droppedEarly(shed, dropped),
        connections: open,
        heartbeats,
      };
    },
  };
}

/** `shed`: by us; the others by the kernel, before they came to us. */
export function droppedEarly(shed: number, dropped: Dropped | undefined): PlaneStatus['dropped'] {
  return {
    overload: shed,
    'too-fast-phones': dropped?.tooFastPhones ?? 0,
    'too-fast-providers': dropped?.tooFastProviders ?? 0,
    strangers: dropped?.strangers ?? 0,
  };
}

/** Opens the data plane that the configuration asks for; throws what keeps it from opening. */
export async function openPlane(config: GatewayConfig, handler: GatewayHandler): Promise<OpenPlane> {
  if (config.mode === 'transparent') return openLinuxPlane(config, handler, false);
  const { createExplicitPlane } = await import('./explicit/plane.ts');
  const advertise = config.advertise === undefined ? {} : { advertise: config.advertise };
  const plane = await createExplicitPlane(
    {
      listen: config.listen,
      limits: connectionLimits(config),
      mediaLookMs: mediaLookMs(config),
      ...advertise,
    },
    handler,
  );
  if (plane.sockets === 'batched') {
    const { returnProgramPages, STARTED_MS } = await import('../linux/program-pages.ts');
    setTimeout(returnProgramPages, STARTED_MS).unref();
  }
  const traffic = (): Map<MappingId, MediaTraffic> =>
    new Map(
      plane
        .snapshot()
        .media.flatMap(({ id, streams: [first] }): [MappingId, MediaTraffic][] =>
          first === undefined
            ? []
            : [[id, { fromPhone: first.internal.packets, toPhone: first.external.packets }]],
        ),
    );
  return {
    plane,
    facts: { listen: plane.addresses, sockets: plane.sockets },
    status: () => {
      const { dropped, connections: open } = plane.snapshot();
      return { resting: undefined, traffic, dropped, connections: open, heartbeats: undefined };
    },
  };
}
