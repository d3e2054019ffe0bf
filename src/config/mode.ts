/** Which mode holds for one phone and one provider, of all that the configuration says. */
import type { Address } from '../core/net/address.ts';
import type { GatewayConfig, PhoneConfig, PolicyMode, ProviderConfig } from './gateway-config.ts';
import { prefixContains } from './prefix.ts';

/**
 * `off` wins wherever it stands. Otherwise the phone's entry decides, the one with the longest prefix; where that is auto,
 * the provider's. `provider` undefined: whoever it is.
 */
export function modeOf(
  { phones, providers }: Pick<GatewayConfig, 'phones' | 'providers'>,
  phone: Address,
  provider: Address | undefined,
): { readonly mode: PolicyMode; readonly by: PhoneConfig | ProviderConfig | undefined } {
  let ofPhone: PhoneConfig | undefined;
  for (const one of phones) {
    if (!prefixContains(one.address, phone)) continue;
    if (one.mode === 'off') return { mode: 'off', by: one };
    if (ofPhone === undefined || one.address.length > ofPhone.address.length) ofPhone = one;
  }
  const ofProvider =
    provider === undefined
      ? undefined
      : providers.find((one) => one.addresses.some((prefix) => prefixContains(prefix, provider)));
  if (ofProvider?.mode === 'off') return { mode: 'off', by: ofProvider };
  if (ofPhone !== undefined && ofPhone.mode !== 'auto') return { mode: ofPhone.mode, by: ofPhone };
  if (ofProvider !== undefined && ofProvider.mode !== 'auto')
    return { mode: ofProvider.mode, by: ofProvider };
  return { mode: 'auto', by: undefined };
}

/** Answers that are kept; what comes on top of them is worked out anew. */
const MOST_KNOWN = 4096;

/** What the engine asks; undefined where nothing but auto can come of it. */
export function chooser(
  config: Pick<GatewayConfig, 'phones' | 'providers'>,
): ((phone: Address, provider: Address) => Exclude<PolicyMode, 'off'>) | undefined {
  const names = (mode: PolicyMode): boolean => mode === 'observe' || mode === 'assist';
  if (![...config.phones, ...config.providers].some((one) => names(one.mode))) return undefined;
  // Asked for each message of phones that have no profile.
  const known = new Map<string, Exclude<PolicyMode, 'off'>>();
  return (phone, provider) => {
    const key = `${phone} ${provider}`;
    let answer = known.get(key);
    if (answer === undefined) {
      const { mode } = modeOf(config, phone, provider);
      // What is off is not intercepted; what comes all the same, in explicit mode, is served as ever.
      answer = mode === 'off' ? 'assist' : mode;
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(key, answer);
    }
    return answer;
  };
}
