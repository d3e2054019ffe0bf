/**
 * The external address as the router itself knows it: by UPnP (WANIPConnection:1 §2.4.18, GetExternalIPAddress), by NAT-PMP (RFC
 * 6886 §3.2) and by PCP (RFC 6887 §11.6: a mapping of the discard port, for as long as it takes). The first two change nothing in
 * the router; PCP is asked only where they have said nothing, and what it made is taken back.
 */
import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { isIPv4 } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { XMLParser } from 'fast-xml-parser';
import { fetchOwn, ownUrl, search } from './upnp.ts';

export interface ExternalAddress {
  readonly address: string;
  readonly by: 'UPnP' | 'NAT-PMP' | 'PCP';
}

const PORT = 5351;
const MOST_DESCRIPTIONS = 3;
const DEEPEST = 6;
/** The discard service (RFC 863): nobody listens there. */
const DISCARD = 9;
/** PCP servers grant two minutes or more mostly (RFC 6887 §15); it is taken back at once. */
const LIFETIME_S = 120;
const TRY_EVERY_MS = 250;

/** `host`: an IPv4 address of the own network. Everything that it says within the time; nothing where it says nothing. */
export async function externalAddresses(host: string, timeoutMs: number): Promise<ExternalAddress[]> {
  const [upnp, natPmp] = await Promise.all([byUpnp(host, timeoutMs), byNatPmp(host, timeoutMs)]);
  const found = [...upnp, ...natPmp];
  return found.length > 0 ? found : byPcp(host, timeoutMs);
}

async function byUpnp(host: string, timeoutMs: number): Promise<ExternalAddress[]> {
  const answers = await search(host, timeoutMs);
  const locations = new Set(answers.flatMap(({ location }) => ownUrl(host, location ?? '')?.href ?? []));
  const found = await Promise.all(
    [...locations].slice(0, MOST_DESCRIPTIONS).map(async (location) => {
      const base = new URL(location);
      const xml = await fetchOwn(base, { method: 'GET' }, timeoutMs);
      const service = xml === undefined ? undefined : connectionService(xml);
      const url = service === undefined ? undefined : ownUrl(host, service.control, base);
      if (service === undefined || url === undefined) return undefined;
      const answer = await fetchOwn(
        url,
        {
          method: 'POST',
          headers: {
            'content-type': 'text/xml; charset="utf-8"',
            soapaction: `"${service.type}#GetExternalIPAddress"`,
          },
          body: `<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body><u:GetExternalIPAddress xmlns:u="${service.type}"/></s:Body></s:Envelope>`,
        },
        timeoutMs,
      );
      return answer === undefined
        ? undefined
        : /<NewExternalIPAddress>\s*([\d.]{7,15})\s*</.exec(answer)?.[1];
    }),
  );
  return [...new Set(found.filter(isAddress))].map((address) => ({ address, by: 'UPnP' }));
}

/** The service of a description that knows the address; undefined where it has none, or is no XML. */
export function connectionService(
  xml: string,
): { readonly type: string; readonly control: string } | undefined {
  let parsed: unknown;
  try {
    parsed = new XMLParser({ processEntities: false, parseTagValue: false }).parse(xml);
  } catch {
    return undefined;
  }
  const find = (value: unknown, depth: number): ReturnType<typeof connectionService> => {
    if (depth > DEEPEST * 2 || typeof value !== 'object' || value === null) return undefined;
    const { serviceType, controlURL } = value as { serviceType?: unknown; controlURL?: unknown };
    if (
      typeof serviceType === 'string' &&
      typeof controlURL === 'string' &&
      /^urn:schemas-upnp-org:service:WAN(?:IP|PPP)Connection:\d$/.test(serviceType)
    )
      return { type: serviceType, control: controlURL };
    for (const child of Object.values(value)) {
      const found = find(child, depth + 1);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return find(parsed, 0);
}

async function byNatPmp(host: string, timeoutMs: number): Promise<ExternalAddress[]> {
  const address = await exchange(host, timeoutMs, () => Buffer.from([0, 0]), natPmpAddress);
  return address === undefined ? [] : [{ address, by: 'NAT-PMP' }];
}

/** Of an answer to "which is your external address" (RFC 6886 §3.2); undefined where it is none, or tells none. */
export function natPmpAddress(bytes: Uint8Array): string | undefined {
  if (bytes.length < 12 || bytes[0] !== 0 || bytes[1] !== 0x80 || bytes[2] !== 0 || bytes[3] !== 0)
    return undefined;
  const address = bytes.subarray(8, 12).join('.');
  return isAddress(address) ? address : undefined;
}

async function byPcp(host: string, timeoutMs: number): Promise<ExternalAddress[]> {
  const nonce = randomBytes(12);
  const read = (bytes: Uint8Array): string | undefined => pcpAddress(bytes, nonce);
  const address = await exchange(
    host,
    timeoutMs,
    (own) => mapRequest(own, nonce, LIFETIME_S),
    read,
    (own) => mapRequest(own, nonce, 0),
  );
  return address === undefined ? [] : [{ address, by: 'PCP' }];
}

/** Version 2, opcode MAP (RFC 6887 §7.1, §11.1), for UDP to the discard port. */
function mapRequest(own: string, nonce: Buffer, lifetime: number): Buffer {
  const request = Buffer.alloc(60);
  request[0] = 2;
  request[1] = 1;
  request.writeUInt32BE(lifetime, 4);
  request.fill(0xff, 18, 20);
  Buffer.from(own.split('.').map(Number)).copy(request, 20);
  nonce.copy(request, 24);
  request[36] = 17;
  request.writeUInt16BE(DISCARD, 40);
  // No suggestion: the IPv4 address of zeros, as IPv6 has it.
  request.fill(0xff, 54, 56);
  return request;
}

/** The assigned external address of an answer to that request; undefined where it is none, or a refusal. */
export function pcpAddress(bytes: Uint8Array, nonce: Uint8Array): string | undefined {
  if (bytes.length < 60 || bytes[0] !== 2 || bytes[1] !== 0x81 || bytes[3] !== 0) return undefined;
  if (!nonce.every((octet, i) => octet === bytes[24 + i])) return undefined;
  const mapped =
    bytes.subarray(44, 54).every((octet) => octet === 0) && bytes[54] === 0xff && bytes[55] === 0xff;
  const address = mapped ? bytes.subarray(56, 60).join('.') : '';
  return isAddress(address) ? address : undefined;
}

/** Asks until there is an answer that can be read, or the time is over; `after` is sent behind an answer. */
async function exchange(
  host: string,
  timeoutMs: number,
  make: (own: string) => Buffer,
  read: (bytes: Uint8Array) => string | undefined,
  after?: (own: string) => Buffer,
): Promise<string | undefined> {
  const socket = createSocket('udp4');
  try {
    const { promise: refused, reject } = Promise.withResolvers<never>();
    refused.catch(() => {});
    socket.on('error', reject);
    const answered = new Promise<string>((resolve) => {
      socket.on('message', (bytes) => {
        const found = read(bytes);
        if (found !== undefined) resolve(found);
      });
    });
    // Connected, so that a port that is closed says so at once, and nobody else is heard.
    await Promise.race([
      new Promise<void>((resolve) => socket.connect(PORT, host, () => resolve())),
      refused,
    ]);
    const own = socket.address().address;
    for (const end = performance.now() + timeoutMs; performance.now() < end; ) {
      socket.send(make(own), () => {});
      const found = await Promise.race([answered, refused, sleep(TRY_EVERY_MS)]);
      if (found === undefined) continue;
      if (after !== undefined) await sendLast(socket, after(own));
      return found;
    }
    return undefined;
  } catch {
    // The port is closed, or there is no way there.
    return undefined;
  } finally {
    socket.close();
  }
}

function sendLast(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => socket.send(bytes, () => resolve()));
}

/** What a router has, and not the zeros of one that has none. */
function isAddress(text: string | undefined): text is string {
  return text !== undefined && isIPv4(text) && text !== '0.0.0.0';
}
