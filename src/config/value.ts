/** What one value of the configuration may be: its text form, what it becomes, and what to say where it is wrong. */
import * as v from 'valibot';
import type { PortRange } from '../core/nat/port-pool.ts';
import { type Address, type Endpoint, parseAddress, parseEndpoint } from '../core/net/address.ts';
import { type Prefix, parsePrefix } from './prefix.ts';
import type { ProblemCode } from './problem.ts';

/** A chain of the operator's own firewall. */
export interface Chain {
  readonly family: 'inet' | 'ip' | 'ip6';
  readonly table: string;
  readonly chain: string;
}

/** Why a value is refused. */
export interface Refusal {
  readonly code: ProblemCode;
  readonly what: string;
  readonly remedy: string;
}

class Refused {
  readonly refusal: Refusal;
  constructor(code: ProblemCode, what: string, remedy: string) {
    this.refusal = { code, what, remedy };
  }
}

/** A refusal travels through valibot as the text of an issue; this reads it back. */
export function refusalFrom(message: string): Refusal | undefined {
  if (!message.startsWith('{"code":"config/')) return undefined;
  return JSON.parse(message) as Refusal;
}

function refine<In, Out>(
  base: v.GenericSchema<In>,
  read: (value: In) => Out | Refused,
): v.GenericSchema<In, Out> {
  return v.pipe(
    base,
    v.rawTransform(({ dataset, addIssue, NEVER }) => {
      const result = read(dataset.value);
      if (!(result instanceof Refused)) return result;
      addIssue({ message: JSON.stringify(result.refusal) });
      return NEVER;
    }),
  );
}

export function integerBetween(low: number, high: number): v.GenericSchema<number, number> {
  return refine(v.number(), (value) =>
    Number.isInteger(value) && value >= low && value <= high
      ? value
      : new Refused(
          'config/not-a-number-in-range',
          `${value} is not a whole number from ${low} to ${high}`,
          `write a whole number from ${low} to ${high}`,
        ),
  );
}

/** The kernel allows 15 bytes, and neither "/" nor white space. */
export const interfaceName = refine(v.string(), (text) =>
  /^[^\s/:"]{1,15}$/.test(text) && text !== '.' && text !== '..'
    ? text
    : new Refused(
        'config/not-an-interface',
        `"${text}" cannot be a network interface`,
        'name it as `ip link` shows it, at most 15 characters (without "@…")',
      ),
);

export const addressValue: v.GenericSchema<string, Address> = refine(
  v.string(),
  (text) =>
    parseAddress(text) ??
    new Refused(
      'config/not-an-address',
      `"${text}" is not an IPv4 or IPv6 address`,
      'write an address such as 203.0.113.7 or 2001:db8::7, without brackets and without a port; names are not looked up',
    ),
);

export const prefixValue: v.GenericSchema<string, Prefix> = refine(
  v.string(),
  (text) =>
    parsePrefix(text) ??
    new Refused(
      'config/not-a-prefix',
      `"${text}" is neither an address nor a network`,
      'write an address or CIDR, such as 198.51.100.5 or 198.51.100.0/24; names are not looked up',
    ),
);

export const endpointValue: v.GenericSchema<string, Endpoint> = refine(
  v.string(),
  (text) =>
    parseEndpoint(text) ??
    new Refused(
      'config/not-an-endpoint',
      `"${text}" is not an address with a port`,
      'write ADDRESS:PORT, such as 0.0.0.0:5060 or [2001:db8::1]:5060',
    ),
);

/** Something that takes exports; a name is looked up when it is used. */
export interface Collector {
  readonly transport: 'udp' | 'tcp';
  readonly host: string;
  readonly port: number;
}

export const collectorValue: v.GenericSchema<string, Collector> = refine(v.string(), (text) => {
  const match = /^(udp|tcp):(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]{1,253})):(\d{1,5})$/.exec(text);
  const host = match?.[2] ?? match?.[3];
  const port = Number(match?.[4]);
  if (host !== undefined && port >= 1 && port <= 65_535)
    return { transport: match![1] as Collector['transport'], host, port };
  return new Refused(
    'config/not-a-collector',
    `"${text}" is not a transport, a host and a port`,
    'write udp:HOST:PORT or tcp:HOST:PORT, such as "udp:192.0.2.9:9060"; IPv6 stands in brackets',
  );
});

export const portRange: v.GenericSchema<string, PortRange> = refine(v.string(), readPortRange);

/** Whole RTP/RTCP pairs: an even port first (RFC 3550 §11), an odd port last. */
export const pairedPortRange: v.GenericSchema<string, PortRange> = refine(v.string(), (text) => {
  const range = readPortRange(text);
  if (range instanceof Refused || (range.low % 2 === 0 && range.high % 2 === 1)) return range;
  // The nearest range of whole pairs inside the one that was written; where there is none, around it.
  const low = range.low + (range.low % 2);
  const high = range.high - (1 - (range.high % 2));
  return new Refused(
    'config/port-range-odd',
    `"${text}" does not hold whole RTP/RTCP pairs: its first port must be even and its last odd`,
    high > low ? `write "${low}-${high}"` : `write "${range.low & ~1}-${range.high | 1}"`,
  );
});

function readPortRange(text: string): PortRange | Refused {
  const match = /^\s*(\d{1,5})\s*-\s*(\d{1,5})\s*$/.exec(text);
  const low = Number(match?.[1]);
  const high = Number(match?.[2]);
  if (low >= 1 && high <= 65_535 && low <= high) return { low, high };
  return new Refused(
    'config/not-a-port-range',
    `"${text}" is not a range of ports`,
    match !== null && low > high && high >= 1 && low <= 65_535
      ? `write "${high}-${low}"`
      : 'write LOW-HIGH, both from 1 to 65535, such as "24000-32767"',
  );
}

/** A port that carries SIP in the clear. */
export const sipPort: v.GenericSchema<number, number> = refine(integerBetween(1, 65_535), (port) =>
  port === 5061
    ? new Refused(
        'config/tls-port',
        'port 5061 carries SIP over TLS, which is encrypted: nothing on the way can read or mend it',
        'leave 5061 out; phones that use TLS need server-side NAT support from their provider',
      )
    : port,
);

export const chainValue: v.GenericSchema<string, Chain> = refine(v.string(), (text) => {
  const match = /^\s*(inet|ip6?)\s+([A-Za-z_][\w./-]*)\s+([A-Za-z_][\w./-]*)\s*$/.exec(text);
  if (match !== null) return { family: match[1] as Chain['family'], table: match[2]!, chain: match[3]! };
  return new Refused(
    'config/not-a-chain',
    `"${text}" does not name an nftables chain`,
    'write FAMILY TABLE CHAIN as `nft list chains` shows them, with the family inet, ip or ip6, such as "inet filter forward"',
  );
});

export const absolutePath: v.GenericSchema<string, string> = refine(v.string(), (text) =>
  text.startsWith('/')
    ? text
    : new Refused(
        'config/not-absolute',
        `"${text}" is not an absolute path`,
        'write the path from the root, such as "/var/lib/sipalg"',
      ),
);

/** Where the console is served. */
export type ConsolePlace =
  | { readonly kind: 'off' }
  | { readonly kind: 'tcp'; readonly endpoint: Endpoint }
  | { readonly kind: 'unix'; readonly path: string };

export const consolePlace: v.GenericSchema<string, ConsolePlace> = refine(v.string(), (text) => {
  if (text === 'off') return { kind: 'off' } as const;
  if (text.startsWith('/')) return { kind: 'unix', path: text } as const;
  const endpoint = parseEndpoint(text);
  return endpoint === undefined
    ? new Refused(
        'config/not-an-endpoint',
        `"${text}" is no place for the console`,
        'write ADDRESS:PORT such as 127.0.0.1:8060, the path of a Unix socket, or off',
      )
    : ({ kind: 'tcp', endpoint } as const);
});

/** A name under which a web browser may ask for the console; no port. */
export const hostName: v.GenericSchema<string, string> = refine(v.string(), (text) =>
  /^[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/.test(text)
    ? text.toLowerCase()
    : new Refused(
        'config/not-a-host-name',
        `"${text}" is not a host name`,
        'write the name as it stands in the browser, without http:// and port',
      ),
);
