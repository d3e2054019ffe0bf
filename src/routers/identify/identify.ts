/**
 * Which router it is. Everything that a device says without a login is asked for at once, each question bounded in time;
 * nobody but the device is asked, and no password is sent.
 */
import type { Recipe } from '../schema.ts';
import { askBanner } from './banners.ts';
import { type Evidence, evidence } from './evidence.ts';
import { macVendor } from './mac-vendors.ts';
import { macAddress } from './place.ts';
import { askPortMapping } from './port-mapping.ts';
import { type Candidate, rankRecipes, toldApart } from './rank.ts';
import { askSnmp } from './snmp.ts';
import { askUpnp } from './upnp.ts';
import { askWeb } from './web.ts';

export interface IdentifyOptions {
  readonly recipes: readonly Recipe[];
  /** Where `mac-vendors.txt` is. */
  readonly folder: string;
  readonly snmp: boolean;
  /** The kind of engine that a check has seen on the wire. */
  readonly engine?: string | undefined;
  /** Longest wait for one answer. Default: 2.5 s; with what follows on an answer it is at most four times that. */
  readonly timeoutMs?: number;
}

export interface Identification {
  readonly host: string;
  readonly mac: string | undefined;
  readonly evidence: readonly Evidence[];
  /** Best first. */
  readonly candidates: readonly Candidate[];
  readonly best: Candidate | undefined;
}

const TIMEOUT_MS = 2_500;
const MAX_PATHS = 8;

export async function identify(
  host: string,
  { recipes, folder, snmp, engine, timeoutMs = TIMEOUT_MS }: IdentifyOptions,
): Promise<Identification> {
  const paths = tellingPaths(recipes);
  const answers = await Promise.all([
    askUpnp(host, timeoutMs),
    askWeb(host, 80, false, paths, timeoutMs),
    askWeb(host, 443, true, paths, timeoutMs),
    askBanner(host, 22, 'ssh-banner', timeoutMs),
    askBanner(host, 23, 'telnet-banner', timeoutMs),
    askPortMapping(host, timeoutMs),
    ...(snmp ? [askSnmp(host, timeoutMs)] : []),
  ]);
  // Only now is the neighbour table sure to know it.
  const mac = macAddress(host);
  const vendor = mac === undefined ? [] : evidence('mac-vendor', macVendor(mac, folder), mac);
  const found = [...vendor, ...answers.flat(), ...evidence('engine', engine, 'on the wire')];
  const candidates = rankRecipes(recipes, found);
  return { host, mac, evidence: found, candidates, best: toldApart(candidates) };
}

/** Paths that a recipe names as they are, without any pattern. */
function tellingPaths(recipes: readonly Recipe[]): string[] {
  const literal = recipes
    .flatMap(({ fingerprints }) => fingerprints)
    .filter(({ kind }) => kind === 'http-path')
    .map(({ match }) => match.replaceAll(/^\^|\$$/g, '').replaceAll('\\', ''))
    .filter((path) => /^\/[\w./-]{1,100}$/.test(path));
  return [...new Set(literal)].slice(0, MAX_PATHS);
}
