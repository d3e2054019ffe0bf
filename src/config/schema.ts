/**
 * Every key of the configuration, in one table: its values, its default, its unit and one sentence. The reader, the
 * error texts and docs/reference/config.md all come from here, so that they cannot disagree.
 */
import * as v from 'valibot';
import { defaultLimits, defaultPolicy } from '../core/alg/policy.ts';
import { defaultConnectionLimits } from '../stream/connections.ts';
import {
  absolutePath,
  addressValue,
  chainValue,
  collectorValue,
  consolePlace,
  endpointValue,
  hostName,
  integerBetween,
  interfaceName,
  pairedPortRange,
  portRange,
  prefixValue,
  sipPort,
} from './value.ts';

export interface KeyNote {
  /** One sentence: what the key decides. */
  readonly summary: string;
  /** What the value counts or holds, where the summary does not make it plain. */
  readonly unit?: string;
  /** A line that can be copied. */
  readonly example: string;
  /** What happens without the key, where it has no fixed default. */
  readonly without?: string;
  /** Its value is shown to nobody. */
  readonly secret?: boolean;
  /** The command-line option of `sipalg gateway` that overrides it. */
  readonly option?: string;
}

/** A key with a default. */
function key<const Schema extends v.GenericSchema, const Default extends v.InferInput<Schema>>(
  schema: Schema,
  fallback: Default,
  note: KeyNote,
) {
  return v.optional(v.pipe(schema, v.metadata({ note })), fallback);
}

/** A key that may be absent. */
function openKey<const Schema extends v.GenericSchema>(schema: Schema, note: KeyNote) {
  return v.optional(v.pipe(schema, v.metadata({ note })));
}

/** A key that its table cannot do without. */
function requiredKey<const Schema extends v.GenericSchema>(schema: Schema, note: KeyNote) {
  return v.pipe(schema, v.metadata({ note }));
}

/** What passes on media is looked at every few seconds at most. */
const SHORTEST_CALL_IDLE_S = 6;

export const DEFAULT_STATE_DIR = '/var/lib/sipalg';
export const DEFAULT_CONSOLE = '127.0.0.1:8060';

const mode = v.picklist(['auto', 'observe', 'assist', 'off']);

/** The order here is the order of the reference. */
export const configSchema = v.object({
  internal: key(v.array(interfaceName), [], {
    summary: 'The interfaces on which the phones are (transparent mode).',
    example: 'internal = ["br0"]',
    option: '--internal IF',
  }),
  external: key(v.array(interfaceName), [], {
    summary: 'The interfaces that lead to the provider (transparent mode).',
    example: 'external = ["eth0"]',
    option: '--external IF',
  }),
  listen: key(v.array(endpointValue), [], {
    summary:
      'Explicit mode: where the phones, which name the gateway as outbound proxy, reach it. Excludes the two keys above.',
    example: 'listen = ["0.0.0.0:5060"]',
    option: '--listen ADDR:PORT',
  }),
  advertise: openKey(addressValue, {
    summary:
      'Explicit mode: our own address as the provider sees it, where that is not the address of the outgoing interface.',
    without: 'the local address of the route to the provider',
    example: 'advertise = "203.0.113.7"',
  }),
  'upstream-nat': key(v.picklist(['auto', 'yes', 'no']), 'auto', {
    summary:
      'Whether there is another NAT between the gateway and the provider, which registered phones are kept reachable through by keepalives; auto: where our external address is a private one.',
    example: 'upstream-nat = "yes"',
  }),
  'state-dir': key(absolutePath, DEFAULT_STATE_DIR, {
    summary: 'The directory for what has to survive a restart: mappings, dialogs and ports in use.',
    example: 'state-dir = "/var/lib/sipalg"',
    option: '--state-dir DIR',
  }),
  'accept-chains': key(v.array(chainValue), [], {
    summary:
      'Chains of your own firewall in which the gateway may add one rule that accepts the providers of registered phones, for providers that call from addresses other than the registrar.',
    example: 'accept-chains = ["inet filter forward"]',
    option: "--accept-chain 'FAMILY TABLE CHAIN'",
  }),

  signalling: table({
    ports: key(v.array(sipPort), [5060], {
      summary: 'The destination ports of the providers whose traffic is taken for SIP.',
      unit: 'UDP and TCP ports',
      example: 'ports = [5060, 5070]',
      option: '--sip-port PORT',
    }),
    'external-ports': key(portRange, '20000-23999', {
      summary:
        "Where a phone's own port is taken already, its external signalling port comes from this range.",
      unit: 'UDP and TCP ports, both ends included',
      example: 'external-ports = "20000-23999"',
    }),
  }),

  media: table({
    ports: key(pairedPortRange, '24000-32767', {
      summary: 'External ports for RTP and RTCP. A call with one audio stream takes two.',
      unit: 'UDP ports, both ends included; even first, odd last',
      example: 'ports = "24000-32767"',
    }),
  }),

  policy: table({
    origin: key(v.picklist(['keep', 'translate']), defaultPolicy.origin, {
      summary:
        'Whether the address in the origin line of an SDP (o=) is translated as well. It is an identifier, so nobody needs it.',
      example: 'origin = "keep"',
    }),
    received: key(v.picklist(['restore', 'expose']), defaultPolicy.received, {
      summary:
        'Whether received and rport in responses name the phone as it sees itself (restore), or show it the external endpoint (expose).',
      example: 'received = "restore"',
    }),
    ice: key(v.picklist(['leave', 'translate-all']), defaultPolicy.ice, {
      summary:
        'Media descriptions with ICE candidates find their own way and are left alone (leave), or are translated like any other (translate-all).',
      example: 'ice = "leave"',
    }),
  }),

  limits: table({
    mappings: limit(
      'mappings',
      defaultLimits.mappings,
      'signalling mappings, one for each phone endpoint',
      60_000,
    ),
    dialogs: limit('dialogs', defaultLimits.dialogs, 'dialogs at the same time', 1_000_000),
    media: limit('media', defaultLimits.media, 'media mappings at the same time', 1_000_000),
    transactions: limit(
      'transactions',
      defaultLimits.transactions,
      'transactions remembered; the oldest goes first',
      10_000_000,
    ),
    connections: limit(
      'connections',
      defaultConnectionLimits.connections,
      'TCP connections of phones and of providers',
      60_000,
    ),
    'connections-per-phone': limit(
      'connections-per-phone',
      defaultConnectionLimits.connectionsPerPhone,
      'TCP connections of one phone address, or to one mapping',
      60_000,
    ),
    'mappings-per-phone': limit(
      'mappings-per-phone',
      defaultLimits.mappingsPerPhone,
      'signalling mappings of one phone address',
      60_000,
    ),
    'dialogs-per-phone': limit(
      'dialogs-per-phone',
      defaultLimits.dialogsPerPhone,
      'dialogs of one phone address',
      1_000_000,
    ),
    'media-per-phone': limit(
      'media-per-phone',
      defaultLimits.mediaPerPhone,
      'media mappings of one phone address',
      1_000_000,
    ),
    'transactions-per-phone': limit(
      'transactions-per-phone',
      defaultLimits.transactionsPerPhone,
      'transactions remembered of one phone address',
      10_000_000,
    ),
    'messages-per-second-per-phone': key(integerBetween(1, 1_000_000), 1_000, {
      summary:
        'What one phone address may send to providers. Over UDP what is more is dropped, in the transparent mode by the kernel, before it costs anything; over TCP it is read more slowly. A PBX with many lines sends about seven messages for a call.',
      unit: 'messages a second, of 1500 octets; twice as many at once',
      example: 'messages-per-second-per-phone = 1000',
    }),
    'messages-per-second-per-provider': key(integerBetween(1, 1_000_000), 5_000, {
      summary: 'What one provider address may send to phones: the same.',
      unit: 'messages a second, of 1500 octets; twice as many at once',
      example: 'messages-per-second-per-provider = 5000',
    }),
    'media-per-description': limit(
      'media-per-description',
      defaultLimits.mediaPerDescription,
      'media descriptions with a mapping in one SDP',
      256,
    ),
    'contacts-per-mapping': limit(
      'contacts-per-mapping',
      defaultLimits.contactsPerMapping,
      'contact bindings remembered for one mapping',
      4096,
    ),
    'peers-per-mapping': limit(
      'peers-per-mapping',
      defaultLimits.peersPerMapping,
      'provider addresses to which one mapping has sent',
      4096,
    ),
    'new-mappings-per-message': limit(
      'new-mappings-per-message',
      defaultLimits.newMappingsPerMessage,
      'mappings that one message may open for further ports of its phone',
      256,
    ),
    pending: limit(
      'pending',
      defaultLimits.pending,
      'datagrams held back until one mapping is open',
      100_000,
    ),
    'message-bytes': limit(
      'message-bytes',
      defaultLimits.messageBytes,
      'bytes in one message; a longer one passes untouched',
      65_535,
      1_500,
    ),
    'keepalives-per-second': limit(
      'keepalives-per-second',
      defaultLimits.keepalivesPerSecond,
      'keepalives of our own in one second, through a NAT upstream; what is more waits',
      100_000,
    ),
    'call-idle': key(integerBetween(SHORTEST_CALL_IDLE_S, 86_400), defaultLimits.callIdleMs / 1000, {
      summary:
        'A call that is not held and has neither media nor messages for this long is over, because its BYE was lost; only our state of it goes, and nothing is sent.',
      unit: 'seconds',
      example: 'call-idle = 600',
    }),
  }),

  log: table({
    level: key(v.picklist(['error', 'warn', 'info', 'debug']), 'info', {
      summary:
        'How much is logged: info tells of calls, registrations and mappings, and of what had to be left alone in a message; debug also of every message, what was changed in it and why.',
      example: 'level = "info"',
      option: '--log-level LEVEL',
    }),
    reveal: key(v.boolean(), false, {
      summary:
        'Whether user names and credentials appear in the log in the clear. Addresses always do: they are the point.',
      example: 'reveal = false',
    }),
  }),

  observe: table({
    messages: key(integerBetween(0, 1_000_000), 10_000, {
      summary:
        'How many of the last messages are kept in memory, as they came and as they left, for the ladder, captures and the console; 0: none, and neither of these shows anything.',
      unit: 'messages',
      example: 'messages = 10000',
    }),
    memory: key(integerBetween(1, 4_096), 8, {
      summary: 'How much memory they may take; the oldest go first.',
      unit: 'MiB',
      example: 'memory = 8',
    }),
  }),

  hep: table({
    to: openKey(collectorValue, {
      summary:
        'Where each message is exported to as it came and as it left, in HEP3: Homer, or another collector. One that is down costs nothing but what it misses.',
      without: 'nothing is exported',
      example: 'to = "udp:homer.example.net:9060"',
    }),
    'capture-id': key(integerBetween(0, 0xffff_ffff), 2060, {
      summary: 'The number by which the collector tells this gateway from other agents.',
      example: 'capture-id = 2060',
    }),
    password: openKey(v.string(), {
      summary: 'The authentication key, where the collector asks for one.',
      without: 'none is sent',
      secret: true,
      example: 'password = "secret"',
    }),
    reveal: key(v.boolean(), false, {
      summary:
        'Whether users, credentials, keys and bodies are exported in the clear; otherwise each hidden octet is an x.',
      example: 'reveal = false',
    }),
  }),

  metrics: table({
    listen: openKey(endpointValue, {
      summary:
        'Where Prometheus finds /metrics without a token. Keep it on a loopback address, or on one that only Prometheus reaches.',
      without: 'only the console serves them, with its token',
      example: 'listen = "127.0.0.1:9160"',
    }),
  }),

  console: table({
    listen: key(consolePlace, DEFAULT_CONSOLE, {
      summary:
        'Where the web console and the HTTP API are served: an address and port, the path of a Unix socket, or off. Whoever asks needs the token in the state directory; on any other address than a loopback one, what is asked and told crosses the network in the clear. Where the default is taken already, it is another port, which the ready line names.',
      example: 'listen = "127.0.0.1:8060"',
      option: '--console PLACE',
    }),
    names: key(v.array(hostName), [], {
      summary:
        'Host names under which browsers may ask for the console, besides localhost and literal addresses: the name of a reverse proxy, for instance.',
      example: 'names = ["gateway.example.net"]',
    }),
  }),

  linux: table({
    'route-table': key(integerBetween(1, 0xffff_ffff), 5060, {
      summary: 'The number of the routing table that delivers intercepted packets to this machine.',
      unit: 'routing table number',
      example: 'route-table = 5060',
    }),
    'engine-threads': key(integerBetween(1, 16), 1, {
      summary:
        'How many threads handle messages, each those of its own share of the phones (transparent mode). One core carries more than ten thousand messages a second, and one thread is the simplest and smallest; with more, each has the limits above for itself and 30 MB to 60 MB of memory, and metrics.listen and hep cost each message a copy from thread to thread.',
      unit: 'threads; no more than cores',
      example: 'engine-threads = 2',
    }),
    ipv6: key(v.picklist(['auto', 'routed', 'translated', 'off']), 'auto', {
      summary:
        "Whether phones with IPv6 are routed as they are (routed: only watched, and not a byte changed), translated by this router (translated: NAT66, treated like IPv4), or left alone (off); auto reads it from the router's own NAT rules.",
      example: 'ipv6 = "auto"',
    }),
  }),

  provider: v.optional(
    v.array(
      v.object({
        name: requiredKey(v.string(), {
          summary: 'What the provider is called in the log and by `sipalg on` and `sipalg off`.',
          example: 'name = "example-voip"',
        }),
        addresses: requiredKey(v.array(prefixValue), {
          summary: 'The addresses and networks from which it sends and at which it is reached.',
          unit: 'addresses or CIDR',
          example: 'addresses = ["198.51.100.0/24"]',
        }),
        mode: key(mode, 'auto', {
          summary:
            'Whether its messages are translated (assist), kept as they are while mappings and timers are kept for them (observe), or never intercepted (off); auto observes where the evidence for it is solid, and translates otherwise.',
          example: 'mode = "observe"',
        }),
      }),
    ),
    [],
  ),

  phone: v.optional(
    v.array(
      v.object({
        address: requiredKey(prefixValue, {
          summary: 'The address of the phone, or the network of the phones.',
          unit: 'address or CIDR',
          example: 'address = "192.168.1.50"',
        }),
        mode: key(mode, 'auto', {
          summary:
            "The same for a phone. Off wins wherever it stands; otherwise the phone's mode wins over the provider's, unless it is auto.",
          example: 'mode = "off"',
        }),
        proxy: key(v.boolean(), false, {
          summary:
            'Whether it is a proxy or PBX with phones behind it, whose own entries in Record-Route and Route are translated too.',
          example: 'proxy = true',
        }),
      }),
    ),
    [],
  ),
});

export type ConfigValues = v.InferOutput<typeof configSchema>;

export interface ConfigKey {
  /** `['signalling', 'ports']`. */
  readonly path: readonly string[];
  /** The table is an array of tables: `[[provider]]`. */
  readonly repeated: boolean;
  readonly required: boolean;
  /** As it would be written in TOML; undefined where there is none. */
  readonly fallback: unknown;
  readonly note: KeyNote;
  /** The words, where only some words are allowed. */
  readonly words: readonly string[] | undefined;
}

/** The tables with the `[[…]]` form. */
export const repeatedTables: readonly string[] = ['provider', 'phone'];

export const configKeys: readonly ConfigKey[] = Object.freeze(collect(configSchema.entries, [], false));

function table<const Entries extends v.ObjectEntries>(entries: Entries) {
  return v.optional(v.object(entries), {} as never);
}

function limit(name: string, fallback: number, unit: string, high: number, low = 1) {
  return key(integerBetween(low, high), fallback, {
    summary: `At most so many ${unit}.`,
    unit: 'count',
    example: `${name} = ${fallback}`,
  });
}

/** Only what this file itself builds: optional, pipe, object, array of objects, picklist. */
interface Shape {
  readonly type: string;
  readonly wrapped?: Shape;
  readonly default?: unknown;
  readonly entries?: Record<string, Shape>;
  readonly item?: Shape;
  readonly options?: readonly string[];
  readonly pipe?: readonly { readonly type: string; readonly metadata?: { readonly note?: KeyNote } }[];
}

function collect(
  entries: Record<string, unknown>,
  prefix: readonly string[],
  repeated: boolean,
): ConfigKey[] {
  return Object.entries(entries as Record<string, Shape>).flatMap(([name, shape]): ConfigKey[] => {
    const path = [...prefix, name];
    const inner = shape.wrapped ?? shape;
    const note = inner.pipe?.find((item) => item.metadata?.note !== undefined)?.metadata?.note;
    if (note !== undefined) {
      const required = shape.wrapped === undefined;
      return [{ path, repeated, required, fallback: shape.default, note, words: inner.options }];
    }
    if (inner.entries !== undefined) return collect(inner.entries, path, false);
    return collect(inner.item?.entries ?? {}, path, true);
  });
}
