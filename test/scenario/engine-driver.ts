/** Plays a scenario on the engine: no sockets, no clock; what the engine opens is open at once. */
import type { AlgEvent } from '../../src/core/alg/event.ts';
import type { EngineOptions, Policy, StaticMapping } from '../../src/core/alg/policy.ts';
import { type RuleId, rules } from '../../src/core/alg/rules.ts';
import type { PortRange } from '../../src/core/nat/port-pool.ts';
import { type Endpoint, parseEndpoint } from '../../src/core/net/address.ts';
import { type ConnectionId, type Flow, over } from '../../src/core/net/flow.ts';
import { Framer } from '../../src/core/sip/framing.ts';
import { at, Workbench } from '../engine/bench.ts';
import type { Driver, OpenMedia, Outcome } from './driver.ts';
import type { Scenario } from './scenario.ts';

const EXTERNAL = '203.0.113.1';
/** Laid down here, so that a scenario may name a port that is given out first. */
const SIGNALLING_PORTS: PortRange = { low: 20_000, high: 29_999 };
const MEDIA_PORTS: PortRange = { low: 30_000, high: 39_999 };

export async function startEngine(scenario: Scenario): Promise<Driver> {
  const { gateway } = scenario;
  const bench = new Workbench(engineOptions(gateway));
  let externalAddress: string | undefined = gateway.get('external') ?? EXTERNAL;
  let otherAddresses: string[] = [];
  const innerAddress = gateway.get('inner');
  const connections = new Map<string, ConnectionId>();
  let lastId: ConnectionId = 0;
  const idOf = (name: string): ConnectionId => {
    const id = connections.get(name) ?? ++lastId;
    connections.set(name, id);
    return id;
  };
  const nameOf = ({ transport, connection }: Flow): { on?: string } => {
    if (transport === 'udp') return {};
    return { on: [...connections].find(([, id]) => id === connection)?.[0] ?? 'any' };
  };
  const outcome = (run: () => void): Promise<Outcome> => {
    const sent = bench.sent.length;
    const told = bench.events.length;
    run();
    const events = bench.events.slice(told);
    return Promise.resolve({
      arrivals: bench.sent
        .slice(sent)
        .map(({ flow, bytes }) => ({ from: flow.local, to: flow.remote, bytes, ...nameOf(flow) })),
      events: events.map((event) => ({ kind: event.kind, fields: { ...event } })),
      rules: rulesOf(events),
    });
  };
  return {
    tells: { events: true, rules: true, media: true },
    send: (side, from, to, sent, { transport, connection } = { transport: 'udp', connection: '1' }) =>
      outcome(() => {
        const id = transport === 'tcp' ? idOf(connection) : undefined;
        for (const bytes of transport === 'tcp' ? messagesOf(sent) : [sent])
          bench.feed({
            kind: 'packet',
            flow: over({ transport, side, local: to, remote: from }, id),
            bytes,
            ...(side === 'internal' && externalAddress !== undefined ? { externalAddress } : {}),
            ...(side === 'internal' && otherAddresses.length > 0 ? { otherAddresses } : {}),
            ...(side === 'internal' && innerAddress !== undefined ? { innerAddress } : {}),
          });
      }),
    closed: (name) =>
      outcome(() => {
        bench.feed({ kind: 'closed', connection: idOf(name) });
        connections.delete(name);
      }),
    pass: (ms) => outcome(() => bench.pass(ms)),
    readdress: (addresses) =>
      outcome(() => {
        [externalAddress, ...otherAddresses] = addresses;
        bench.feed({ kind: 'external-address-changed', addresses });
      }),
    media: () => openMedia(bench),
    close: () => Promise.resolve(),
  };
}

/** The messages that lie one behind the other in a piece of a stream. */
export function messagesOf(bytes: Uint8Array): Uint8Array[] {
  return new Framer()
    .feed(bytes)
    .filter(({ kind }) => kind === 'message')
    .map((frame) => frame.bytes);
}

export function engineOptions(gateway: ReadonlyMap<string, string>): EngineOptions {
  const policy: { -readonly [K in keyof Policy]?: Policy[K] } = {};
  const limits: Record<string, number> = {};
  const switches: Partial<Record<RuleId, boolean>> = {};
  for (const [key, value] of gateway) {
    if (key === 'origin') policy.origin = value === 'translate' ? 'translate' : 'keep';
    if (key === 'received') policy.received = value === 'expose' ? 'expose' : 'restore';
    if (key === 'ice') policy.ice = value === 'translate-all' ? 'translate-all' : 'leave';
    if (key.startsWith('limit.')) limits[key.slice(6)] = Number(value);
    if (key.startsWith('rule.')) switches[ruleNamed(key.slice(5))] = value === 'on';
  }
  const providers = gateway.get('provider')?.split(',') ?? [];
  const proxies = gateway.get('proxy')?.split(',') ?? [];
  return {
    policy: { ...policy, rules: switches },
    limits,
    media: gateway.get('media') === 'relay' ? 'relay' : 'kernel',
    mappings: staticMappings(gateway.get('map')),
    mediaMappings: staticMappings(gateway.get('map-media')),
    upstreamNat: upstreamNat(gateway.get('upstream-nat')),
    ...chooser(gateway),
    own: (gateway.get('own')?.split(',') ?? []).map(at),
    isProvider: (address) => providers.includes(address),
    isProxy: (address) => proxies.includes(address),
    signallingPorts: portRange(gateway.get('signalling-ports')) ?? SIGNALLING_PORTS,
    mediaPorts: portRange(gateway.get('media-ports')) ?? MEDIA_PORTS,
  };
}

function upstreamNat(word: string | undefined): 'auto' | 'yes' | 'no' {
  return word === 'yes' || word === 'no' ? word : 'auto';
}

/** `mode.ADDRESS=observe`: of a phone or of a provider; the phone's wins. */
function chooser(gateway: ReadonlyMap<string, string>): Pick<EngineOptions, 'choose'> {
  if (![...gateway.keys()].some((key) => key.startsWith('mode.'))) return {};
  return {
    choose(phone, provider) {
      const word = gateway.get(`mode.${phone}`) ?? gateway.get(`mode.${provider}`);
      return word === 'observe' || word === 'assist' ? word : 'auto';
    },
  };
}

function openMedia(bench: Workbench): OpenMedia[] {
  const open = new Map<number, OpenMedia>();
  for (const command of bench.media) {
    if (command.action === 'close') open.delete(command.id);
    else {
      const inside = command.inner ?? command.internal;
      if (inside !== undefined)
        open.set(command.id, {
          inside,
          external: command.external,
          ports: command.ports,
          sources: command.sources,
        });
    }
  }
  return [...open.values()];
}

function rulesOf(events: readonly AlgEvent[]): string[] {
  const found = new Set<string>();
  for (const event of events)
    if (event.kind === 'message.translated') for (const edit of event.edits) found.add(edit.rule);
  return [...found];
}

function ruleNamed(name: string): RuleId {
  const found = rules.find((rule) => rule.id === name);
  if (found === undefined) throw new Error(`there is no rule ${name}`);
  return found.id;
}

/** `192.168.1.50=203.0.113.7,192.168.1.51:5060=203.0.113.1:6000`. */
function staticMappings(text: string | undefined): StaticMapping[] {
  return (text?.split(',') ?? []).map((one) => {
    const [internal = '', external = ''] = one.split('=');
    return { internal: endpointOrHost(internal), external: endpointOrHost(external) };
  });
}

function endpointOrHost(text: string): Endpoint | { address: string } {
  return parseEndpoint(text) ?? { address: text };
}

function portRange(text: string | undefined): PortRange | undefined {
  const match = /^(\d+)-(\d+)$/.exec(text ?? '');
  return match === null ? undefined : { low: Number(match[1]), high: Number(match[2]) };
}
