/** What a turn of the loop changes in the connection table: gathered, each flow once, and carried out together. */
import { endpointKey } from '../core/net/address.ts';
import type { Conntrack, ConntrackChange, Tuple } from './conntrack.ts';

export class FlowChanges {
  readonly #conntrack: Conntrack;
  readonly #changes = new Map<string, ConntrackChange>();

  constructor(conntrack: Conntrack) {
    this.#conntrack = conntrack;
  }

  get size(): number {
    return this.#changes.size;
  }

  /** A flow by one of its tuples is to go. */
  remove(original: Tuple): void {
    const key = keyOf(original);
    // What was to be held until now is so no more.
    this.#changes.delete(key);
    this.#changes.set(key, { kind: 'remove', entry: { original } });
  }

  /** As `Conntrack.hold`. */
  hold(change: ConntrackChange & { readonly kind: 'hold' }): void {
    const key = keyOf({ source: change.local, destination: change.peer });
    // It takes the place of what is still to be removed.
    this.#changes.delete(key);
    this.#changes.set(key, change);
  }

  /** Throws a `SystemError` for the first change that the kernel refuses, when all have been tried. */
  flush(): void {
    if (this.#changes.size === 0) return;
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    this.#conntrack.carryOut(changes);
  }
}

function keyOf({ source, destination }: Tuple): string {
  return `${endpointKey(source)} ${endpointKey(destination)}`;
}
