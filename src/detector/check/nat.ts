/**
 * How the NAT behaves (RFC 4787 §4 and §5, as RFC 5780 tries it out): from one socket to several ports and addresses of the
 * reflector, and from several of them back. What it finds is nature and no fault: it explains what else was seen.
 */
import type { Fact } from '../../core/detect/check-report.ts';
import { type Endpoint, endpointKey, isPrivate, sameEndpoint } from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import { type Stand, within } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'nat';

export async function measureNat(stand: Stand): Promise<StepResult> {
  const [near] = stand.udp('control');
  const [otherPort] = stand.udp('other');
  const [otherAddress] = stand.udp('control', true);
  if (near === undefined || otherPort === undefined) throw new NotChecked('the reflector lacks ports for it');
  const phone = await stand.phone();
  const first = await reach(stand, phone, near);
  if (first === undefined) throw new NotChecked('no datagram arrived');
  const facts: Fact[] = [];
  // Filtering comes first: sending elsewhere would open the way.
  const filtering = await filteringOf(stand, phone, first, otherPort, otherAddress);
  facts.push({ id: 'nat-filtering', text: `Filtering: ${filtering}.` });
  if (sameEndpoint(first, phone.local)) {
    facts.push({
      id: 'nat',
      text: 'There is no NAT: the reflector sees this machine’s own address and port.',
    });
    return { result: 'no NAT', facts };
  }
  const mapping = await mappingOf(stand, phone, first, otherPort, otherAddress);
  facts.push({ id: 'nat-mapping', text: `Mapping: ${mapping}.` });
  facts.push({
    id: 'nat-port',
    text:
      first.port === phone.local.port
        ? 'The NAT keeps the source port where it is free.'
        : 'The NAT chooses a source port of its own.',
  });
  if (isPrivate(first.address))
    facts.push({
      id: 'nat-outside-private',
      text: `The reflector sees ${first.address}, which is private: this machine and the reflector are behind the same carrier.`,
    });
  const turned = await turnsRound(stand, phone, first);
  facts.push({
    id: 'nat-hairpin',
    text: turned
      ? 'A packet from inside to a mapping of this NAT comes back in (hairpinning).'
      : 'A packet from inside to a mapping of this NAT does not come back in (no hairpinning).',
  });
  return { result: `${mapping}; ${filtering}`, facts };
}

async function reach(stand: Stand, phone: Phone, place: Place): Promise<Endpoint | undefined> {
  const passage = await stand.sendOut(phone, place, { step: STEP, what: 'a datagram' }, (id) => octetsOf(id));
  return passage.received === undefined ? undefined : stand.outsideOf(phone, place);
}

async function mappingOf(
  stand: Stand,
  phone: Phone,
  first: Endpoint,
  otherPort: Place,
  otherAddress: Place | undefined,
): Promise<string> {
  const towardsPort = await reach(stand, phone, otherPort);
  const towardsAddress = otherAddress === undefined ? undefined : await reach(stand, phone, otherAddress);
  if (towardsPort === undefined) return 'not checked, the second port could not be reached';
  const isSamePort = endpointKey(towardsPort) === endpointKey(first);
  if (otherAddress === undefined || towardsAddress === undefined)
    return isSamePort
      ? 'the same towards another port (another address was not checked: the reflector has one only)'
      : 'another one towards each port (address- and port-dependent)';
  if (endpointKey(towardsAddress) === endpointKey(first) && isSamePort)
    return 'the same towards everybody (endpoint-independent)';
  return isSamePort
    ? 'another one towards each address (address-dependent)'
    : 'another one towards each address and port (address- and port-dependent)';
}

async function filteringOf(
  stand: Stand,
  phone: Phone,
  outside: Endpoint,
  otherPort: Place,
  otherAddress: Place | undefined,
): Promise<string> {
  const pace = { ...stand.pace, tries: 2 };
  const from = async (place: Place): Promise<boolean> => {
    const label = { step: STEP, what: 'a datagram from where nothing was sent to' };
    const passage = await stand.sendIn(phone, place, label, (id) => octetsOf(id), outside, pace);
    return passage?.received !== undefined;
  };
  if (otherAddress !== undefined && (await from(otherAddress)))
    return 'anybody may answer (endpoint-independent)';
  const otherPortComesIn = await from(otherPort);
  if (otherAddress === undefined)
    return otherPortComesIn
      ? 'another port of the same address may answer (another address was not checked)'
      : 'only who was sent to may answer (address- and port-dependent)';
  return otherPortComesIn
    ? 'any port of an address that was sent to may answer (address-dependent)'
    : 'only who was sent to may answer (address- and port-dependent)';
}

/** Whether a second socket of this machine reaches the first at its external endpoint. */
async function turnsRound(stand: Stand, phone: Phone, outside: Endpoint): Promise<boolean> {
  const other = await stand.phone();
  const text = stand.newId();
  const { promise, resolve } = Promise.withResolvers<void>();
  let came = false;
  const stop = phone.listen(({ bytes }) => {
    if (!Buffer.from(bytes).includes(text)) return;
    came = true;
    resolve();
  });
  for (let i = 0; i < 2 && !came; i++) {
    try {
      await other.send(outside, octetsOf(text));
    } catch {
      break;
    }
    await within(promise, stand.pace.patienceMs / 2);
  }
  stop();
  return came;
}
