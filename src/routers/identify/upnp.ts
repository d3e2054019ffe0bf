/**
 * UPnP: what a device says in answer to M-SEARCH (UPnP Device Architecture §1.3.2), and in its description (§2.3). The
 * description is fetched only from the device itself, whatever LOCATION says.
 *
 * M-SEARCH is one datagram, written here: the packages for it join the multicast group, announce themselves and fetch from
 * wherever an answer points.
 */
import { createSocket } from 'node:dgram';
import { isIP } from 'node:net';
import { XMLParser } from 'fast-xml-parser';
import { askHttp, type HttpRequest } from '../drive/http.ts';
import { type Evidence, evidence } from './evidence.ts';

const PORT = 1900;
const GROUP = '239.255.255.250';
const MAX_ANSWERS = 20;

export interface SearchAnswer {
  readonly server: string | undefined;
  readonly location: string | undefined;
}

export async function askUpnp(host: string, timeoutMs: number): Promise<Evidence[]> {
  const answers = await search(host, timeoutMs);
  const found = answers.flatMap(({ server }) => evidence('upnp', server, `udp ${PORT}`));
  const locations = [
    ...new Set(answers.flatMap(({ location }) => (location === undefined ? [] : [location]))),
  ];
  const descriptions = await Promise.all(
    locations.slice(0, 3).map((location) => describe(host, location, timeoutMs)),
  );
  return distinct([...found, ...descriptions.flat()]);
}

/** To the device alone and, as some answer only that, to the group; with a time to live that ends on the link. */
export function search(host: string, timeoutMs: number): Promise<SearchAnswer[]> {
  return new Promise((resolve) => {
    const family = isIP(host);
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    const answers: SearchAnswer[] = [];
    const done = (): void => {
      clearTimeout(timer);
      socket.close();
      resolve(answers);
    };
    const timer = setTimeout(done, timeoutMs);
    socket.on('error', () => {});
    socket.on('message', (bytes, from) => {
      if (from.address !== host || answers.length >= MAX_ANSWERS) return;
      answers.push(...searchAnswer(bytes.toString('latin1')));
    });
    socket.bind(0, () => {
      for (const target of ['upnp:rootdevice', 'urn:schemas-upnp-org:device:InternetGatewayDevice:1']) {
        const message = [
          'M-SEARCH * HTTP/1.1',
          `HOST: ${GROUP}:${PORT}`,
          'MAN: "ssdp:discover"',
          'MX: 1',
          `ST: ${target}`,
          '',
          '',
        ].join('\r\n');
        socket.send(message, PORT, host, () => {});
        if (family !== 4) continue;
        socket.setMulticastTTL(1);
        socket.send(message, PORT, GROUP, () => {});
      }
    });
  });
}

/** What an answer to M-SEARCH says; nothing where it is none. */
export function searchAnswer(text: string): SearchAnswer[] {
  if (!/^HTTP\/1\.1 200/i.test(text)) return [];
  return [{ server: header(text, 'server'), location: header(text, 'location') }];
}

function header(text: string, name: string): string | undefined {
  return new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r?$`, 'im').exec(text)?.[1];
}

async function describe(host: string, location: string, timeoutMs: number): Promise<Evidence[]> {
  const url = ownUrl(host, location);
  const xml = url === undefined ? undefined : await fetchOwn(url, { method: 'GET' }, timeoutMs);
  return url === undefined || xml === undefined ? [] : descriptionEvidence(xml, `tcp ${portOf(url)}`);
}

/** A URL of the device itself; undefined for all others. */
export function ownUrl(host: string, text: string, base?: URL): URL | undefined {
  const url = URL.parse(text, base?.href);
  return url !== null && url.hostname.replaceAll(/[[\]]/g, '') === host && /^https?:$/.test(url.protocol)
    ? url
    : undefined;
}

/** The body of its answer; undefined where there is none. */
export async function fetchOwn(
  url: URL,
  request: Omit<HttpRequest, 'path'>,
  timeoutMs: number,
): Promise<string | undefined> {
  const place = {
    host: url.hostname.replaceAll(/[[\]]/g, ''),
    port: portOf(url),
    secure: url.protocol === 'https:',
    timeoutMs,
  };
  try {
    return (await askHttp(place, { ...request, path: `${url.pathname}${url.search}` })).body;
  } catch {
    return undefined;
  }
}

function portOf(url: URL): number {
  return Number(url.port) || (url.protocol === 'https:' ? 443 : 80);
}

/** Manufacturer and model of the root device. What is not XML says nothing. */
export function descriptionEvidence(xml: string, where: string): Evidence[] {
  let parsed: unknown;
  try {
    parsed = new XMLParser({ processEntities: false, parseTagValue: false }).parse(xml);
  } catch {
    return [];
  }
  const device = child(child(parsed, 'root'), 'device');
  const text = (name: string): string => {
    const value = child(device, name);
    return typeof value === 'string' ? value : '';
  };
  const words = ['manufacturer', 'modelName', 'modelNumber', 'modelDescription', 'friendlyName'].map(text);
  return evidence('upnp', [...new Set(words)].filter((word) => word !== '').join(' | '), where);
}

function child(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return (value as Readonly<Record<string, unknown>>)[name];
}

function distinct(list: readonly Evidence[]): Evidence[] {
  return list.filter(
    (one, i) => list.findIndex(({ kind, value }) => kind === one.kind && value === one.value) === i,
  );
}
