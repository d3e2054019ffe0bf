/**
 * Which of our external addresses are there, and what becomes of mappings and media whose address is gone.
 *
 * Facts: a line that is dialled again (PPPoE) or a lease that is renewed (DHCP) takes an address away and brings it back
 * within seconds, or brings another one. A contact binding, a Via and an SDP that name the old address cannot be changed by
 * anybody but the phone: with its next REGISTER (RFC 3261 §10.2.4), with a re-INVITE (§14.1). So a mapping is held for a
 * while, and for as long as no other address is there; then it is closed, and the phone's next message gets a new one.
 */
import { type Due, TimerQueue, UNQUEUED } from '../nat/timer-queue.ts';
import { type Address, isIPv6 } from '../net/address.ts';
import { SECOND_MS, type TimeMs } from '../net/time.ts';
import type { SignallingMapping } from './mappings.ts';
import type { EngineState } from './state.ts';

/** How long a mapping waits for its external address to come back, from the moment when another one is there. */
export const ADDRESS_GRACE_MS = 60 * SECOND_MS;
/** Calls that are named one by one where an address is lost; `address.lost` counts them all. */
const STRANDED_TOLD = 100;

interface GoneAddress extends Due {
  readonly address: Address;
}

export class ExternalAddresses {
  /** Undefined while nobody has told: then every address counts as there. */
  #present: ReadonlySet<Address> | undefined;
  readonly #gone = new Map<Address, GoneAddress>();
  readonly timers = new TimerQueue<GoneAddress>();

  isPresent(address: Address): boolean {
    return this.#present?.has(address) ?? true;
  }

  tell(addresses: readonly Address[]): void {
    this.#present = new Set(addresses);
  }

  /** Compares what is in use with what is there, and tells the difference. */
  reconcile(state: EngineState, now: TimeMs): void {
    if (this.#present === undefined) return;
    const used = usedAddresses(state);
    for (const address of used)
      if (!this.#present.has(address) && !this.#gone.has(address)) {
        this.#gone.set(address, { address, dueAt: Number.POSITIVE_INFINITY, place: UNQUEUED });
        state.event({ kind: 'address.gone', address, ...usersOf(state, address) });
      }
    for (const gone of this.#gone.values()) {
      const { address } = gone;
      if (this.#present.has(address)) this.#back(state, now, gone);
      else if (!used.has(address)) this.#forget(gone);
      else if (!this.#isReplaced(address)) this.timers.cancel(gone);
      else if (gone.dueAt === Number.POSITIVE_INFINITY) {
        gone.dueAt = now + ADDRESS_GRACE_MS;
        this.timers.schedule(gone);
      }
    }
  }

  /** The grace of an address has ended: closes what has it. */
  lose(state: EngineState, { address }: GoneAddress, close: (mapping: SignallingMapping) => void): void {
    this.#gone.delete(address);
    state.event({ kind: 'address.lost', address, ...usersOf(state, address) });
    let told = 0;
    for (const callId of letMediaGo(state, address))
      if (told++ < STRANDED_TOLD) state.event({ kind: 'dialog.stranded', callId, address });
    for (const mapping of [...state.mappings.values()])
      if (mapping.external.address === address) close(mapping);
  }

  #back(state: EngineState, now: TimeMs, gone: GoneAddress): void {
    this.#forget(gone);
    state.event({ kind: 'address.back', address: gone.address, ...usersOf(state, gone.address) });
    for (const mapping of state.mappings.values())
      if (mapping.external.address === gone.address) state.hold(mapping, now);
  }

  #forget(gone: GoneAddress): void {
    this.#gone.delete(gone.address);
    this.timers.cancel(gone);
  }

  /** Whether a phone could be served at another address of the same family by now. */
  #isReplaced(address: Address): boolean {
    for (const other of this.#present ?? []) if (isIPv6(other) === isIPv6(address)) return true;
    return false;
  }
}

/** What the operator has laid down stays where it is, and what is routed is the phone's: neither need be ours. */
function usedAddresses(state: EngineState): Set<Address> {
  const used = new Set<Address>();
  for (const { external, routed } of state.mappings.values()) if (!routed) used.add(external.address);
  for (const { external, routed } of state.media.values()) if (!routed) used.add(external.address);
  for (const { external } of [...(state.options.mappings ?? []), ...(state.options.mediaMappings ?? [])])
    used.delete(external.address);
  return used;
}

function usersOf(state: EngineState, address: Address): { mappings: number; calls: number } {
  let mappings = 0;
  for (const { external } of state.mappings.values()) if (external.address === address) mappings++;
  const calls = new Set<string>();
  for (const { external, users } of state.media.values())
    if (external.address === address) for (const key of users.keys()) calls.add(key);
  return { mappings, calls: calls.size };
}

/** Closes the media of an address; the Call-IDs of the calls that had it, which go on without. */
function letMediaGo(state: EngineState, address: Address): Set<string> {
  const calls = new Set<string>();
  for (const record of [...state.media.values()]) {
    if (record.external.address !== address) continue;
    for (const key of [...record.users.keys()]) {
      const dialog = state.dialogs.byKey(key);
      if (dialog === undefined) continue;
      calls.add(dialog.callId);
      dialog.offered.delete(record.id);
      dialog.committed.delete(record.id);
      for (const [i, id] of dialog.byDescription.entries())
        if (id === record.id) dialog.byDescription[i] = undefined;
      state.media.release(record.id, dialog, state.out);
      state.dirtyDialogs.add(dialog);
    }
  }
  return calls;
}
