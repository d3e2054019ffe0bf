/** Phones and providers with their switches: those that are seen now, and those that only the configuration names. */
import type { GatewayConfig, PolicyMode } from '../config/gateway-config.ts';
import { modeOf } from '../config/mode.ts';
import { formatPrefix } from '../config/prefix.ts';
import { evidenceTable } from '../core/alg/evidence.ts';
import { formatEndpoint } from '../core/net/address.ts';
import type { PhoneStatus, StatusReport } from '../gateway/status-report.ts';

export interface PhoneView {
  /** Its address; or a network, where the configuration names one. */
  readonly address: string;
  /** What its own entry in the configuration says; auto where it has none. */
  readonly mode: PolicyMode;
  /** Where something else decides for it: what that is. */
  readonly decidedBy?: string;
  readonly rows: readonly PhoneRow[];
}

export interface PhoneRow extends Omit<PhoneStatus, 'internal' | 'external' | 'peer' | 'profile'> {
  readonly internal: string;
  readonly external: string;
  readonly peer?: string;
  readonly treatment?: {
    readonly mode: 'observe' | 'assist';
    /** One sentence. */
    readonly why: string;
    readonly evidence: readonly { readonly what: string; readonly text: string; readonly source: string }[];
  };
}

export interface ProviderView {
  /** Its name in the configuration, or its address. */
  readonly name: string;
  readonly addresses: readonly string[];
  readonly mode: PolicyMode;
  readonly phones: number;
}

export function phonesOf(report: StatusReport, config: GatewayConfig): PhoneView[] {
  const groups = new Map<string, PhoneRow[]>();
  for (const phone of report.phones) {
    const { address } = phone.internal;
    const rows = groups.get(address) ?? [];
    rows.push(rowOf(phone));
    groups.set(address, rows);
  }
  for (const { address } of config.phones) {
    const name = formatPrefix(address);
    if (!groups.has(name)) groups.set(name, []);
  }
  return [...groups].map(([address, rows]) => {
    const own = config.phones.find((one) => formatPrefix(one.address) === address);
    const decidedBy = rows.length === 0 ? undefined : decision(config, address, own?.mode);
    return {
      address,
      mode: own?.mode ?? 'auto',
      ...(decidedBy === undefined ? {} : { decidedBy }),
      rows,
    };
  });
}

export function providersOf(report: StatusReport, config: GatewayConfig): ProviderView[] {
  const seen = new Map<string, Set<string>>();
  for (const { peer, internal } of report.phones)
    if (peer !== undefined)
      seen.set(peer.address, (seen.get(peer.address) ?? new Set()).add(internal.address));
  const named = config.providers.map(({ name, addresses, mode }): ProviderView => {
    const phones = new Set<string>();
    for (const [address, behind] of seen)
      if (modeOf({ phones: [], providers: [{ name, addresses, mode: 'observe' }] }, '0.0.0.0', address).by) {
        for (const one of behind) phones.add(one);
        seen.delete(address);
      }
    return { name, addresses: addresses.map(formatPrefix), mode, phones: phones.size };
  });
  const others = [...seen].map(
    ([address, phones]): ProviderView => ({
      name: address,
      addresses: [address],
      mode: 'auto',
      phones: phones.size,
    }),
  );
  return [...named, ...others];
}

function decision(config: GatewayConfig, address: string, own: PolicyMode | undefined): string | undefined {
  if (own !== undefined && own !== 'auto') return undefined;
  const { by } = modeOf({ phones: config.phones, providers: [] }, address, undefined);
  return by === undefined || !('address' in by) ? undefined : `the entry for ${formatPrefix(by.address)}`;
}

function rowOf({ internal, external, peer, profile, ...rest }: PhoneStatus): PhoneRow {
  return {
    ...rest,
    internal: formatEndpoint(internal),
    external: formatEndpoint(external),
    ...(peer === undefined ? {} : { peer: formatEndpoint(peer) }),
    ...(profile === undefined
      ? {}
      : {
          treatment: {
            mode: profile.mode,
            why: {
              configuration: 'The configuration says so.',
              evidence: 'Evidence says so.',
              default: 'Nothing speaks against it.',
            }[profile.chosen],
            evidence: profile.evidence.map(({ what, source }) => ({
              what,
              source,
              text: evidenceTable[what as keyof typeof evidenceTable]?.text ?? what,
            })),
          },
        }),
  };
}
