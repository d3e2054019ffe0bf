/**
 * What a domain has for SIP (RFC 3263 §4), as one machine's resolver tells it. The reflector looks it up where it stands and the client
 * where it stands; what differs was altered in between, or on purpose.
 */
import { promises as dns } from 'node:dns';

export const recordTypes = ['NAPTR', 'SRV', 'A'] as const;
export type RecordType = (typeof recordTypes)[number];

/** All records of one name and type, as text, sorted; none where there are none. */
export interface NameRecords {
  readonly name: string;
  readonly type: RecordType;
  readonly values: string[];
}

const SERVICES = ['_sip._udp', '_sip._tcp', '_sips._tcp'];
/** Names that SRV records may add. */
const MOST_TARGETS = 4;
const MOST_VALUES = 16;
const MOST_OCTETS = 500;
const PATIENCE_MS = 3_000;

/** Answers that there is nothing of the kind. Everything else is a failure to answer. */
const NOTHING = new Set(['ENOTFOUND', 'ENODATA']);

/** Undefined where the resolver does not answer. */
export async function lookUp(name: string, type: RecordType): Promise<NameRecords | undefined> {
  const resolver = new dns.Resolver({ timeout: PATIENCE_MS, tries: 2 });
  try {
    const values = await valuesOf(resolver, name, type);
    return { name, type, values: values.map(printable).sort().slice(0, MOST_VALUES) };
  } catch (error) {
    return NOTHING.has((error as NodeJS.ErrnoException).code ?? '') ? { name, type, values: [] } : undefined;
  }
}

/** What a server says may hold anything, and stands in reports. */
function printable(value: string): string {
  return value.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, MOST_OCTETS);
}

async function valuesOf(resolver: dns.Resolver, name: string, type: RecordType): Promise<string[]> {
  switch (type) {
    case 'A':
      return resolver.resolve4(name);
    case 'SRV':
      return (await resolver.resolveSrv(name)).map(
        ({ priority, weight, port, name: target }) => `${priority} ${weight} ${port} ${target.toLowerCase()}`,
      );
    case 'NAPTR':
      return (await resolver.resolveNaptr(name)).map(
        ({ order, preference, flags, service, regexp, replacement }) =>
          `${order} ${preference} "${flags}" "${service}" "${regexp}" ${replacement.toLowerCase()}`,
      );
  }
}

/** Everything that a phone would ask for a domain. What is not there is left out: a phone does not miss it. */
export async function namesOf(domain: string): Promise<NameRecords[]> {
  const first = await Promise.all([
    lookUp(domain, 'NAPTR'),
    lookUp(domain, 'A'),
    ...SERVICES.map((service) => lookUp(`${service}.${domain}`, 'SRV')),
  ]);
  const targets = new Set(
    first.flatMap((found) =>
      found?.type === 'SRV' ? found.values.map((value) => value.split(' ')[3]!) : [],
    ),
  );
  const more = await Promise.all([...targets].slice(0, MOST_TARGETS).map((target) => lookUp(target, 'A')));
  return [...first, ...more].filter(
    (found) => found !== undefined && found.values.length > 0,
  ) as NameRecords[];
}
