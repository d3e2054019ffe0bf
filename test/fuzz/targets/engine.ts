/**
 * Any message, through the whole engine: from the phone, then from the provider, then through `explain`. Kernel, relay and
 * explicit mode, with the default policy or the opposite one.
 */
import assert from 'node:assert/strict';
import { explainMessage } from '../../../src/core/alg/explain.ts';
import type { EngineOptions, Limits } from '../../../src/core/alg/policy.ts';
import type { Address } from '../../../src/core/net/address.ts';
import { scanMessage } from '../../../src/core/sip/message.ts';
import { Driver } from '../driver.ts';
import { EXTERNAL, generateMessage, messageSeeds, messageTokens, PHONE, PROVIDER } from '../messages.ts';
import { toOctets } from '../octets.ts';
import { hashOctets } from '../random.ts';
import { bucket, type Seen, type Target } from '../target.ts';

export const LIMITS: Partial<Limits> = { mappings: 4, dialogs: 4, media: 6, pending: 4, transactions: 8 };

/** The modes and policies by number. */
export function engineDriver(choice: number, seen: Seen): Driver {
  const mode = (['kernel', 'relay', 'explicit'] as const)[choice % 3]!;
  const isOther = Math.floor(choice / 3) % 2 === 1;
  const profile = (['auto', 'observe', 'mixed'] as const)[Math.floor(choice / 6) % 3]!;
  const options: EngineOptions & { limits: Partial<Limits> } = {
    media: mode === 'kernel' ? 'kernel' : 'relay',
    limits: LIMITS,
    signallingPorts: { low: 20_000, high: 20_007 },
    mediaPorts: { low: 30_000, high: 30_039 },
    ...(mode === 'explicit' ? { own: [{ address: '192.168.1.1', port: 5060 }] } : {}),
    ...(isOther ? { policy: { origin: 'translate', received: 'expose', ice: 'translate-all' } } : {}),
    upstreamNat: choice % 18 === 9 ? 'yes' : 'no',
    ...(profile === 'auto' ? {} : { choose: profile === 'observe' ? observed : mixed }),
  };
  return new Driver(options, seen, mode === 'kernel' ? undefined : '192.168.1.1');
}

/** One provider is observed. */
function observed(_phone: Address, provider: Address): 'auto' | 'observe' {
  return PROVIDER.startsWith(`${provider}:`) ? 'observe' : 'auto';
}

/** Each phone another choice. */
function mixed(phone: Address): 'auto' | 'observe' | 'assist' {
  return phone.endsWith('0') ? 'auto' : phone.endsWith('1') ? 'observe' : 'assist';
}

const request = toOctets(
  [
    'REGISTER sip:x SIP/2.0',
    `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKa;rport`,
    'From: <sip:a@x>;tag=a1',
    'To: <sip:b@x>',
    'Call-ID: 1@192.168.1.50',
    'CSeq: 2 REGISTER',
    `Contact: <sip:alice@${PHONE}:5060>`,
    '',
    '',
  ].join('\r\n'),
);

export const engineTarget: Target = {
  name: 'engine',
  share: 70_000,
  seeds: messageSeeds,
  tokens: messageTokens,
  generate: generateMessage,
  run(bytes, seen) {
    const driver = engineDriver(hashOctets(bytes), seen);
    driver.phone(request, `${PHONE}:5060`);
    const out = driver.phone(bytes, `${PHONE}:5060`);
    driver.provider(bytes, { address: EXTERNAL, port: 5060 });
    seen(`out ${bucket(out.length)}`);
    driver.check();
    for (const direction of ['out', 'in'] as const) {
      const {
        verdict,
        bytes: explained,
        edits,
      } = explainMessage(bytes, {
        direction,
        mappings: [{ internal: { address: PHONE }, external: { address: EXTERNAL } }],
        media: [],
      });
      if (verdict !== 'translate') {
        assert.equal(explained, bytes, 'not translated, and explain shows something else');
        assert.equal(edits.length, 0);
      } else assert.ok(scanMessage(bytes).ok, 'what is not understood was translated');
    }
  },
};
