/** Explicit mode's reader of where a datagram wants to go: a place that exists, or none. */
import assert from 'node:assert/strict';
import { parseAddress } from '../../../src/core/net/address.ts';
import { scanMessage } from '../../../src/core/sip/message.ts';
import { type HopTarget, readAddressee, requestTransaction } from '../../../src/gateway/explicit/next-hop.ts';
import { generateMessage, messageSeeds, messageTokens } from '../messages.ts';
import { bucket, type Target } from '../target.ts';
import { isPort } from './spans.ts';

export const nextHopTarget: Target = {
  name: 'next-hop',
  share: 60_000,
  seeds: messageSeeds,
  tokens: messageTokens,
  generate: generateMessage,
  run(bytes, seen) {
    const addressee = readAddressee(bytes);
    const transaction = requestTransaction(bytes);
    const scan = scanMessage(bytes);
    const check = (target: HopTarget | undefined): string => {
      if (target === undefined) return 'none';
      isPort(target.port, target.host);
      assert.ok(target.host !== '', 'a target without a host');
      assert.equal(target.host, target.host.toLowerCase());
      const address = parseAddress(target.host);
      if (address !== undefined) assert.equal(address, target.host);
      return address === undefined ? 'name' : 'address';
    };
    if (addressee.kind === 'unknown') {
      assert.ok(!scan.ok);
      return seen(`unknown ${check(addressee.target)}`);
    }
    assert.ok(scan.ok && scan.message.kind === addressee.kind);
    if (addressee.kind === 'response') {
      assert.equal(transaction, undefined);
      assert.ok(addressee.transaction !== '');
      return seen(`response ${check(addressee.sentBy)}`);
    }
    assert.ok(transaction !== undefined && transaction !== '');
    assert.ok(!addressee.complete || addressee.targets.length > 0);
    const kinds = new Set(addressee.targets.map(check));
    seen(`request ${addressee.complete} ${bucket(addressee.targets.length)} ${[...kinds].sort().join(' ')}`);
  },
};
