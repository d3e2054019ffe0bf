/**
 * How the NAT behaves (RFC 4787 §4 and §5, as RFC 5780 tries it out): from one socket to several ports and addresses of the
 * reflector, and from several of them back. What it finds is nature and no fault: it explains what else was seen.
 */
import type { Fact, NatBehaviour } from '../../core/detect/check-report.ts';
import {
  carrierSigns,
  dependences,
  filteringOf,
  type LetsIn,
  mappingOf,
} from '../../core/detect/nat-behaviour.ts';
import { type Endpoint, sameEndpoint } from '../../core/net/address.ts';
import { octetsOf } from '../../core/sip/octets.ts';
import type { Place } from '../control/protocol.ts';
import type { Phone } from './phone.ts';
import { otherAddress } from './phones.ts';
import { type Stand, within } from './stand.ts';
import { NotChecked, type StepResult } from './step.ts';

const STEP = 'nat';

export async function measureNat(stand: Stand): Promise<StepResult> {
  const [near] = stand.udp('control');
  const [otherPort] = stand.udp('other');
  const [farAddress] = stand.udp('control', true);
  if (near === undefined || otherPort === undefined) throw new NotChecked('the reflector lacks ports for it');
  const phone = await stand.phone();
  const first = await reach(stand, phone, near);
  if (first === undefined) throw new NotChecked('no datagram arrived');
  const facts: Fact[] = [];
  // Filtering comes first: sending elsewhere would open the way.
  const letsIn = await whoComesIn(stand, phone, first, otherPort, farAddress);
  const filtering = filteringOf(letsIn);
  const filteringText = textOfFiltering(letsIn, farAddress !== undefined);
  facts.push({ id: 'nat-filtering', text: `Filtering: ${filteringText}.` });
  if (sameEndpoint(first, phone.local)) {
    facts.push({
      id: 'nat',
      text: 'There is no NAT: the reflector sees this machine’s own address and port.',
    });
    return { result: 'no NAT', facts };
  }
  const seen = {
    first,
    atOtherPort: await reach(stand, phone, otherPort),
    atOtherAddress: farAddress === undefined ? undefined : await reach(stand, phone, farAddress),
  };
  const mapping = mappingOf(seen);
  const mappingText = textOfMapping(seen, mapping, farAddress !== undefined);
  const keepsPort = first.port === phone.local.port;
  facts.push(
    { id: 'nat-mapping', text: `Mapping: ${mappingText}.` },
    {
      id: 'nat-port',
      text: keepsPort
        ? 'The NAT keeps the source port where it is free.'
        : 'The NAT chooses a source port of its own.',
    },
  );
  if (keepsPort && mapping === 'endpoint-independent') facts.push(await collide(stand, near, farAddress));
  const turned = await turnsRound(stand, phone, first);
  facts.push({
    id: 'nat-hairpin',
    text: turned
      ? 'A packet from inside to a mapping of this NAT comes back in (hairpinning).'
      : 'A packet from inside to a mapping of this NAT does not come back in (no hairpinning).',
  });
  const outside = [
    ...[first, seen.atOtherPort, seen.atOtherAddress].flatMap((one) =>
      one === undefined ? [] : [one.address],
    ),
    stand.control.welcome.you.address,
  ];
  const signs = carrierSigns(phone.local.address, outside);
  if (signs.length > 0)
    facts.push({ id: 'nat-carrier-signs', text: `Signs of a carrier’s NAT: ${signs.join('; ')}.` });
  const behaviour: NatBehaviour = {
    mapping,
    filtering,
    keepsPort: keepsPort ? 'yes' : 'no',
    hairpinning: turned ? 'yes' : 'no',
    oneAddress: new Set(outside).size === 1 ? 'yes' : 'no',
    carrier: signs.length > 0 ? 'yes' : 'not-checked',
  };
  return { result: `${mappingText}; ${filteringText}`, facts, natBehaviour: behaviour, addresses: outside };
}

async function reach(stand: Stand, phone: Phone, place: Place): Promise<Endpoint | undefined> {
  const passage = await stand.sendOut(phone, place, { step: STEP, what: 'a datagram' }, (id) => octetsOf(id));
  return passage.received === undefined ? undefined : stand.outsideOf(phone, place);
}

function textOfMapping(
  {
    first,
    atOtherPort,
    atOtherAddress,
  }: { first: Endpoint; atOtherPort: Endpoint | undefined; atOtherAddress: Endpoint | undefined },
  mapping: NatBehaviour['mapping'],
  hasOtherAddress: boolean,
): string {
  if (atOtherPort === undefined) return 'not checked, the second port could not be reached';
  if (mapping === 'not-checked')
    return `the same towards another port (another address was not checked: ${hasOtherAddress ? 'it could not be reached' : 'the reflector has one only'})`;
  if (mapping === 'address-and-port-dependent') {
    const isByPortAlone = atOtherAddress === undefined || sameEndpoint(first, atOtherAddress);
    return `another one towards each ${isByPortAlone ? '' : 'address and '}port (${dependences[mapping]})`;
  }
  return mapping === 'endpoint-independent'
    ? `the same towards everybody (${dependences[mapping]})`
    : `another one towards each address (${dependences[mapping]})`;
}

async function whoComesIn(
  stand: Stand,
  phone: Phone,
  outside: Endpoint,
  otherPort: Place,
  farAddress: Place | undefined,
): Promise<LetsIn> {
  const pace = { ...stand.pace, tries: 2 };
  const from = async (place: Place): Promise<boolean> => {
    const label = { step: STEP, what: 'a datagram from where nothing was sent to' };
    const passage = await stand.sendIn(phone, place, label, (id) => octetsOf(id), outside, pace);
    return passage?.received !== undefined;
  };
  const isOpen = farAddress === undefined ? undefined : await from(farAddress);
  return { otherAddress: isOpen, otherPort: isOpen === true ? undefined : await from(otherPort) };
}

function textOfFiltering({ otherPort, otherAddress: isOpen }: LetsIn, hasOtherAddress: boolean): string {
  if (isOpen === true) return `anybody may answer (${dependences['endpoint-independent']})`;
  if (otherPort !== true)
    return `only who was sent to may answer (${dependences['address-and-port-dependent']})`;
  return hasOtherAddress
    ? `any port of an address that was sent to may answer (${dependences['address-dependent']})`
    : 'another port of the same address may answer (another address was not checked: the reflector has one only)';
}

/**
 * A NAT that keeps ports looks endpoint-independent as long as nobody else inside uses the same port. Then it has to take another, and
 * that may be another one towards each destination (RFC 4787 §4.1 asks for the same). Two sockets with one port show it.
 */
async function collide(stand: Stand, near: Place, farAddress: Place | undefined): Promise<Fact> {
  const id = 'nat-collision';
  const second = otherAddress(stand.control.local.address);
  const why =
    farAddress === undefined
      ? 'the reflector has one address only'
      : second === undefined
        ? 'this machine has one address only'
        : undefined;
  const notChecked = (reason: string): Fact => ({
    id,
    text: `Whether that holds where two phones use the same port was not checked: ${reason}.`,
  });
  if (farAddress === undefined || second === undefined) return notChecked(why!);
  const one = await stand.phone();
  let other: Phone;
  try {
    other = await stand.phone(one.local.port, second);
  } catch {
    return notChecked('the same port is not free on both addresses of this machine');
  }
  const [held, squeezed] = [await reach(stand, one, near), await reach(stand, other, near)];
  const elsewhere = await reach(stand, other, farAddress);
  if (held === undefined || squeezed === undefined || elsewhere === undefined)
    return notChecked('a datagram was lost');
  if (sameEndpoint(held, squeezed))
    return {
      id,
      text: 'Two phones that use the same port share one external port: what is for one may reach the other.',
    };
  return {
    id,
    text: sameEndpoint(squeezed, elsewhere)
      ? 'That holds where two phones use the same port as well.'
      : 'Where two phones use the same port, the second has another mapping towards each address: then STUN does not help it.',
  };
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
