/**
 * Is there a second NAT behind the router's? The router is asked for its external address (UPnP, NAT-PMP, PCP), and that is
 * held against the one that the reflector sees. A router that does not tell leaves the question open.
 */
import { isShared } from '../../core/detect/nat-behaviour.ts';
import { type Address, isPrivate, parseAddress } from '../../core/net/address.ts';
import { externalAddresses } from '../../routers/identify/external-address.ts';
import { gatewayAddress } from '../../routers/identify/place.ts';
import { NotChecked, type StepResult } from './step.ts';

const ANSWER_MS = 1_500;

/** `inside`: this machine; `outside`: as the reflector sees it. */
export async function findCarrier(inside: Address, outside: Address | undefined): Promise<StepResult> {
  if (outside === undefined) throw new NotChecked('the reflector has seen nothing of this machine');
  if (outside.includes(':')) throw new NotChecked('over IPv6 there is none');
  if (outside === inside) return { result: 'there is no NAT at all', carrier: 'no' };
  const gateway = gatewayAddress();
  if (gateway === undefined) throw new NotChecked('this machine has no default gateway that could be asked');
  const told = (await externalAddresses(gateway, ANSWER_MS)).flatMap(({ address, by }) => {
    const parsed = parseAddress(address);
    return parsed === undefined ? [] : [{ address: parsed, by }];
  });
  const [first] = told;
  if (first === undefined)
    throw new NotChecked(
      `the router ${gateway} does not tell its external address (UPnP, NAT-PMP and PCP are off there, or say nothing)`,
    );
  const addresses = told.map(({ address }) => address);
  const own = told.find(({ address }) => address === outside);
  if (own !== undefined)
    return {
      result: `no: the external address of the router ${gateway} (by ${own.by}) is the one that the reflector sees`,
      facts: [{ id: 'nat-single', text: 'There is one NAT on the way, that of the router.' }],
      addresses,
      carrier: 'no',
    };
  const says = `The router ${gateway} says that its external address is ${first.address} (by ${first.by}), and the reflector sees ${outside}`;
  const text = isShared(first.address)
    ? `${says}: there are two NATs, and the second is the carrier’s (100.64.0.0/10 is for that, RFC 6598).`
    : isPrivate(first.address)
      ? `${says}: there are two NATs, for the first address is private: another router stands in front of yours.`
      : `${says}: something between the router and the Internet translates once more, or this traffic leaves by another way (a second line, a VPN).`;
  // A public one may as well be that of a second line.
  const carrier = isPrivate(first.address) ? 'yes' : 'not-checked';
  return { result: 'yes, or another way out', facts: [{ id: 'nat-double', text }], addresses, carrier };
}
