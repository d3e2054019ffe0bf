/** Which server is asked: `sip:provider[:port][;transport=tcp]`, read as RFC 3261 §19.1 has it, and looked up as RFC 3263 has it. */
import { promises as dns } from 'node:dns';
import { type Endpoint, endpoint, parseAddress } from '../../core/net/address.ts';
import { CheckError } from '../check/failure.ts';

export type ServerTransport = 'udp' | 'tcp';

export interface ServerTarget {
  /** A name, or an address without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  readonly transport: ServerTransport;
}

const DEFAULT_PORT = 5060;
const LOOKUP_MS = 5_000;
const MOST_RECORDS = 4;

/** Undefined where the text is no such URI; `sips:`, users, headers and other transports are none. */
export function parseTarget(text: string): ServerTarget | undefined {
  const match =
    /^sip:(?:\[([\da-f:.]{2,45})\]|([a-z\d._-]{1,253}))(?::(\d{1,5}))?((?:;[a-z]+=[a-z]+)*)$/i.exec(text);
  if (match === null) return undefined;
  const [, v6, name, portText, rest] = match;
  const host = v6 === undefined ? name!.toLowerCase() : parseAddress(v6);
  const port = portText === undefined ? undefined : Number(portText);
  if (host === undefined || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  const transport = /^(?:;transport=(udp|tcp))?$/i.exec(rest!);
  if (transport === null) return undefined;
  return { host, port, transport: (transport[1]?.toLowerCase() ?? 'udp') as ServerTransport };
}

/**
 * Where the target is served, in the order of its SRV records (priority first; weights do not matter for one test). A
 * literal, or a port that is written, needs no SRV (RFC 3263 §4.2). Throws where there is no such place.
 */
export async function lookUp({ host, port, transport }: ServerTarget): Promise<Endpoint> {
  const literal = parseAddress(host);
  if (literal !== undefined) return endpoint(literal, port ?? DEFAULT_PORT);
  let why = 'it has no address';
  try {
    const found = await inTime(ask(host, port, transport));
    if (found !== undefined) return found;
  } catch (error) {
    why = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
  }
  throw new CheckError(
    'detector/unreachable',
    `${host} is not found (${why})`,
    'is the name written as the provider writes it? `sip:ADDRESS` needs no lookup',
  );
}

async function ask(
  host: string,
  port: number | undefined,
  transport: ServerTransport,
): Promise<Endpoint | undefined> {
  if (port !== undefined) return addressOf(host, port);
  const records = await dns.resolveSrv(`_sip._${transport}.${host}`).catch(() => []);
  // "." says that the service is decidedly not offered (RFC 2782).
  if (records.length === 1 && records[0]!.name === '')
    throw new Error(`it offers no SIP over ${transport.toUpperCase()}`);
  const inOrder = records
    .sort((a, b) => a.priority - b.priority || b.weight - a.weight)
    .slice(0, MOST_RECORDS);
  for (const record of inOrder) {
    const found = await addressOf(record.name, record.port).catch(() => undefined);
    if (found !== undefined) return found;
  }
  return addressOf(host, DEFAULT_PORT);
}

/** getaddrinfo, so that the hosts file counts too. IPv4 first: NAT is what is looked for. */
async function addressOf(host: string, port: number): Promise<Endpoint | undefined> {
  const [first] = await dns.lookup(host, { all: true, order: 'ipv4first' });
  const address = first === undefined ? undefined : parseAddress(first.address);
  return address === undefined ? undefined : endpoint(address, port);
}

function inTime<T>(promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error('the DNS does not answer')), LOOKUP_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
