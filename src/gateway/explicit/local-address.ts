/**
 * Our own addresses, as the system's routes have them.
 *
 * Facts: connecting a UDP socket sends nothing, and binds it to the address that the route to the other end prescribes
 * (connect(2), udp(7)).
 */
import { networkInterfaces } from 'node:os';
import { ExpiringMap } from '../../core/nat/expiring-map.ts';
import { type Address, isUnspecified, parseAddress } from '../../core/net/address.ts';
import { createLiteralSocket } from './udp-socket.ts';

/** Routes change seldom, and a mapping that was made on the old one goes on to live there anyway. */
const ROUTE_LIFETIME_MS = 30_000;
const MAX_ROUTES = 1024;
/** The discard port: the socket is closed before anything could be sent. */
const ANY_PORT = 9;

export class LocalAddresses {
  readonly #routes = new ExpiringMap<Address>(ROUTE_LIFETIME_MS, MAX_ROUTES);

  /** Our address on the route to `destination`; undefined where there is no route. */
  towards(destination: Address): Address | undefined {
    const now = Date.now();
    const known = this.#routes.get(destination, now);
    if (known !== undefined) return known;
    const found = askRoute(destination);
    if (found !== undefined) this.#routes.set(destination, found, now);
    return found;
  }

  has(address: Address): boolean {
    return Object.values(networkInterfaces()).some((list) =>
      list?.some((one) => parseAddress(one.address) === address),
    );
  }
}

function askRoute(destination: Address): Address | undefined {
  const socket = createLiteralSocket(destination);
  // An error that is told as an event comes after the question has been answered.
  socket.on('error', () => {});
  try {
    socket.connect(ANY_PORT, destination);
    const address = parseAddress(socket.address().address);
    return address === undefined || isUnspecified(address) ? undefined : address;
  } catch {
    return undefined;
  } finally {
    socket.close();
  }
}
