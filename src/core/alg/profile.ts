/**
 * Observe or assist, for each provider and phone. Observe changes no byte: the mapping, its timers and the registration are
 * kept, and the media is left to plain NAT and to the provider. Assist translates.
 *
 * A profile changes only at a REGISTER, and only where the new contact binding takes the place of the old one: because the
 * Contact is the same in both profiles, because outbound keys it by instance and reg-id (RFC 5626 §6), or because the
 * operator says so. A dialog keeps what it began with, a response what its request had. Evidence that fails once is not
 * believed again until the registration has ended, so nothing flaps (docs/decisions/0012-observe-or-assist.md).
 */

import { SmallMap } from '../nat/small-map.ts';
import { type Due, TimerQueue, UNQUEUED } from '../nat/timer-queue.ts';
import type { Address, Endpoint } from '../net/address.ts';
import { SECOND_MS, type TimeMs } from '../net/time.ts';
import type { Message } from '../sip/message.ts';
import { hasOptionTag } from '../sip/option-tag.ts';
import type { AlgEvent } from './event.ts';
import {
  asksForOutbound,
  contactsAreExternal,
  type Evidence,
  type EvidenceId,
  evidenceTable,
  responseComesBack,
  responseEvidence,
  writtenContacts,
} from './evidence.ts';
import type { Output } from './io.ts';
import type { SignallingMapping } from './mappings.ts';
import type { Limits } from './policy.ts';

export type ProfileMode = 'observe' | 'assist';
/** What an operator can ask for; `off` never reaches the engine. */
export type ProfileChoice = ProfileMode | 'auto';

/** Plain data about one profile, for status. */
export interface ProfileView {
  readonly phone: Address;
  readonly provider: Address;
  readonly mode: ProfileMode;
  /** Who chose it: the operator, evidence, or nobody (assist is the default). */
  readonly chosen: 'configuration' | 'evidence' | 'default';
  /** What was seen, newest last. */
  readonly evidence: readonly Evidence[];
  /** When the mode was chosen. */
  readonly since: TimeMs;
  /** When it is forgotten, unless the phone registers again. */
  readonly endsAt: TimeMs;
}

export interface ProfileRow {
  readonly phone: Address;
  readonly provider: Address;
  readonly mode: ProfileMode;
  readonly chosen: ProfileView['chosen'];
  readonly evidence: readonly Evidence[];
  readonly since: TimeMs;
  readonly assistedUntil: TimeMs;
  readonly written: readonly Endpoint[];
  readonly refuted: boolean;
}

interface Profile extends Due {
  readonly phone: Address;
  readonly provider: Address;
  mode: ProfileMode;
  chosen: ProfileView['chosen'];
  readonly evidence: SmallMap<EvidenceId, TimeMs>;
  since: TimeMs;
  /** Until then somebody may still send to an endpoint that was advertised by translation. */
  assistedUntil: TimeMs;
  /** What the Contacts of the last REGISTER named. */
  written: readonly Endpoint[];
  /** The last REGISTER asked for outbound. */
  asked: boolean;
  /** Evidence has failed: not believed again as long as this profile lives. */
  refuted: boolean;
  /** The same phone's with another provider; most have none. */
  next: Profile | undefined;
}

/** Without a registration a profile is forgotten after this (64·T1: the REGISTER is over). */
const LINGER_MS = 64 * SECOND_MS;

export class Profiles {
  /** Of each phone, the first of its own. */
  readonly #byPhone = new Map<Address, Profile>();
  #size = 0;
  readonly #choose: (phone: Address, provider: Address) => ProfileChoice;
  readonly #isProxy: (phone: Address) => boolean;
  readonly #limits: Limits;
  readonly timers = new TimerQueue<Profile>();
  /** Whether anything may ever have to be left as it is; while it is false, no message is asked about. */
  mayObserve: boolean;

  /** `choose`: what the operator asks for. Undefined: always auto. */
  constructor(
    choose: ((phone: Address, provider: Address) => ProfileChoice) | undefined,
    isProxy: (phone: Address) => boolean,
    limits: Limits,
  ) {
    this.#choose = choose ?? (() => 'auto');
    this.#isProxy = isProxy;
    this.#limits = limits;
    this.mayObserve = choose !== undefined;
  }

  get size(): number {
    return this.#size;
  }

  views(): ProfileView[] {
    const views: ProfileView[] = [];
    for (let one of this.#byPhone.values() as Iterable<Profile | undefined>)
      for (; one !== undefined; one = one.next) {
        const { phone, provider, mode, chosen, since, dueAt } = one;
        const evidence = evidenceList(one.evidence);
        views.push({ phone, provider, mode, chosen, evidence, since, endsAt: dueAt });
      }
    return views;
  }

  /** Whether a request that begins nothing known is left as it is. */
  observes(now: TimeMs, direction: 'out' | 'in', phone: Address, provider: Address): boolean {
    const profile = this.#find(phone, provider);
    if (profile === undefined) return this.#choose(phone, provider) === 'observe';
    // What was advertised by translation is translated back as long as somebody may use it.
    return profile.mode === 'observe' && (direction === 'out' || profile.assistedUntil <= now);
  }

  /** Why a message is left as it is, for the log and for `explain`. */
  reason(phone: Address, provider: Address): string {
    const profile = this.#find(phone, provider);
    if (profile?.chosen === 'evidence')
      for (const what of profile.evidence.keys()) {
        const { decides, text, source } = evidenceTable[what];
        if (decides) return `observed: ${text} (${source})`;
      }
    return profile === undefined || profile.chosen === 'configuration'
      ? 'observed: the configuration says so'
      : 'observed: it began so';
  }

  /** The phone's REGISTER, which is where a profile is chosen. `known`: it is sent again, and stays as it was. */
  atRegister(
    now: TimeMs,
    message: Message,
    mapping: SignallingMapping,
    provider: Address,
    known: boolean | undefined,
    out: Output[],
  ): boolean {
    if (known !== undefined) return known;
    const phone = mapping.internal.address;
    const choice = this.#choose(phone, provider);
    const old = this.#find(phone, provider);
    // Without a Contact it is a question, and `*` takes everything off: neither is a reason to change.
    if (old !== undefined && message.contacts.length === 0) {
      old.asked = false;
      return old.mode === 'observe';
    }
    const profile = old ?? this.#create(phone, provider, now, out);
    if (profile === undefined) return choice === 'observe';

    const before = profile.mode;
    const isNews = this.#look(profile, message, mapping, now);
    const decided = profile.evidence.has('contact-external') || profile.evidence.has('outbound');
    if (choice === 'auto') {
      const observe = decided && !profile.evidence.has('no-way-back') && !this.#isProxy(phone);
      profile.mode = observe ? 'observe' : 'assist';
      profile.chosen = observe ? 'evidence' : 'default';
    } else {
      profile.mode = choice;
      profile.chosen = 'configuration';
    }
    profile.written = writtenContacts(message, this.#limits.contactsPerMapping);
    if (profile.mode === 'observe') this.mayObserve = true;
    if (profile.mode !== before || old === undefined) profile.since = now;
    if (profile.mode !== before || (old === undefined && profile.mode === 'observe'))
      out.push({ kind: 'event', event: changed(profile) });
    if (old === undefined || profile.mode !== before || isNews) this.#record(profile, out);
    return profile.mode === 'observe';
  }

  /** What the phone wrote in the Contacts of its last REGISTER to this provider. */
  written(phone: Address, provider: Address): readonly Endpoint[] {
    return this.#find(phone, provider)?.written ?? [];
  }

  /** A 2xx to REGISTER, after its lifetimes were taken. `observed`: the REGISTER had gone out as it was. */
  granted(
    now: TimeMs,
    message: Message,
    mapping: SignallingMapping,
    provider: Address,
    observed: boolean,
    out: Output[],
  ): void {
    const profile = this.#find(mapping.internal.address, provider);
    if (profile === undefined) return;
    const { evidence } = profile;
    let isNews = false;
    let endsAt = now + LINGER_MS;
    for (const { peer, expiresAt } of mapping.registrations.values())
      if (peer.address === provider) endsAt = Math.max(endsAt, expiresAt);
    for (const what of responseEvidence(message, mapping, observed ? profile.written : undefined))
      if (note(evidence, what, true, now)) isNews = true;
    if (profile.asked && message.contacts.length > 0) {
      if (!hasOptionTag(message, 'require', 'outbound')) {
        if (evidence.delete('outbound')) {
          profile.refuted = true;
          evidence.set('outbound-lost', now);
          isNews = true;
        }
      } else if (!profile.refuted) {
        if (evidence.delete('outbound-asked')) isNews = true;
        if (note(evidence, 'outbound', true, now)) isNews = true;
      }
    }
    profile.dueAt = endsAt;
    this.timers.schedule(profile);
    if (!observed) profile.assistedUntil = Math.max(profile.assistedUntil, endsAt);
    if (isNews) this.#record(profile, out);
  }

  /** A subscription or the like was granted to a request that was translated. */
  advertised(phone: Address, provider: Address, until: TimeMs): void {
    const profile = this.#find(phone, provider);
    if (profile !== undefined) profile.assistedUntil = Math.max(profile.assistedUntil, until);
  }

  /** Something that the provider sends of itself was seen at a mapping of the phone. */
  note(now: TimeMs, phone: Address, provider: Address, what: EvidenceId, out: Output[]): void {
    const profile = this.#find(phone, provider);
    if (profile === undefined) return;
    const isNew = !profile.evidence.has(what);
    profile.evidence.set(what, now);
    if (isNew) this.#record(profile, out);
  }

  has(phone: Address, provider: Address, what: EvidenceId): boolean {
    return this.#find(phone, provider)?.evidence.has(what) === true;
  }

  /** Forgets the profiles whose registrations have ended. */
  expire(now: TimeMs, out: Output[]): void {
    for (const profile of this.timers.due(now)) {
      this.#remove(profile);
      out.push({ kind: 'record', table: 'profile', key: profileKey(profile), value: undefined });
    }
  }

  /** From a row; false where nothing of the phone's is registered there any more. */
  restore(row: ProfileRow, mappings: Iterable<SignallingMapping>, now: TimeMs): boolean {
    let endsAt = 0;
    for (const { internal, registrations } of mappings)
      if (internal.address === row.phone)
        for (const { peer, expiresAt } of registrations.values())
          if (peer.address === row.provider) endsAt = Math.max(endsAt, expiresAt);
    if (endsAt <= now || this.#size >= this.#limits.mappings) return false;
    if (this.#find(row.phone, row.provider) !== undefined) return false;
    const { phone, provider, mode, chosen, since, written, refuted } = row;
    const profile: Profile = {
      phone,
      provider,
      mode,
      chosen,
      since,
      written,
      refuted,
      evidence: new SmallMap(row.evidence.map(({ what, at }) => [what, at])),
      assistedUntil: mode === 'assist' ? Math.max(row.assistedUntil, endsAt) : row.assistedUntil,
      asked: false,
      next: undefined,
      dueAt: endsAt,
      place: UNQUEUED,
    };
    this.#insert(profile);
    this.timers.schedule(profile);
    if (mode === 'observe') this.mayObserve = true;
    return true;
  }

  /** What the REGISTER itself shows; whether that is something else than before. */
  #look(profile: Profile, message: Message, mapping: SignallingMapping, now: TimeMs): boolean {
    const { evidence } = profile;
    const wayBack = responseComesBack(message, mapping, evidence.has('rport'));
    const asks = asksForOutbound(message);
    profile.asked = asks;
    let isNews = note(evidence, 'contact-external', contactsAreExternal(message, mapping), now);
    if (note(evidence, 'no-way-back', !wayBack, now)) isNews = true;
    // Another account of the phone, or another firmware: what was confirmed holds for those that ask alone.
    if (!asks && evidence.delete('outbound')) {
      profile.refuted = true;
      isNews = true;
    }
    if (note(evidence, 'outbound-asked', asks && !evidence.has('outbound'), now)) isNews = true;
    return isNews;
  }

  #create(phone: Address, provider: Address, now: TimeMs, out: Output[]): Profile | undefined {
    // One phone's are looked through one by one: no more of them than of peers of one mapping.
    let ofPhone = 0;
    for (let one = this.#byPhone.get(phone); one !== undefined; one = one.next) ofPhone++;
    if (this.#size >= this.#limits.mappings || ofPhone >= this.#limits.peersPerMapping) {
      const value = this.#size;
      out.push({ kind: 'event', event: { kind: 'limit.reached', limit: 'profiles', value, phone } });
      return undefined;
    }
    const profile: Profile = {
      phone,
      provider,
      mode: 'assist',
      chosen: 'default',
      evidence: new SmallMap(),
      since: now,
      assistedUntil: 0,
      written: [],
      asked: false,
      refuted: false,
      next: undefined,
      dueAt: now + LINGER_MS,
      place: UNQUEUED,
    };
    this.#insert(profile);
    this.timers.schedule(profile);
    return profile;
  }

  /** No key is made for it: a phone has a profile or two. */
  #find(phone: Address, provider: Address): Profile | undefined {
    let one = this.#byPhone.get(phone);
    while (one !== undefined && one.provider !== provider) one = one.next;
    return one;
  }

  #insert(profile: Profile): void {
    let last = this.#byPhone.get(profile.phone);
    if (last === undefined) this.#byPhone.set(profile.phone, profile);
    else {
      while (last.next !== undefined) last = last.next;
      last.next = profile;
    }
    this.#size++;
  }

  #remove(profile: Profile): void {
    const first = this.#byPhone.get(profile.phone)!;
    if (first !== profile) {
      let before = first;
      while (before.next !== profile) before = before.next!;
      before.next = profile.next;
    } else if (profile.next === undefined) this.#byPhone.delete(profile.phone);
    else this.#byPhone.set(profile.phone, profile.next);
    this.#size--;
  }

  #record(profile: Profile, out: Output[]): void {
    const { phone, provider, mode, chosen, evidence, since, assistedUntil, written, refuted } = profile;
    const value: ProfileRow = {
      phone,
      provider,
      mode,
      chosen,
      evidence: evidenceList(evidence),
      since,
      assistedUntil,
      written,
      refuted,
    };
    out.push({ kind: 'record', table: 'profile', key: profileKey(profile), value });
  }
}

function evidenceList(evidence: SmallMap<EvidenceId, TimeMs>): Evidence[] {
  return [...evidence].map(([what, at]) => ({ what, source: evidenceTable[what].source, at }));
}

function changed({ phone, provider, mode, chosen, evidence }: Profile): AlgEvent {
  return { kind: 'profile.changed', phone, provider, mode, chosen, evidence: evidenceList(evidence) };
}

/** Notes what was seen just now, or is not so any more; whether that is something else than before. */
function note(
  evidence: SmallMap<EvidenceId, TimeMs>,
  what: EvidenceId,
  holds: boolean,
  now: TimeMs,
): boolean {
  if (!holds) return evidence.delete(what);
  const isNew = !evidence.has(what);
  evidence.set(what, now);
  return isNew;
}

/** The row's key. */
function profileKey({ phone, provider }: Profile): string {
  return `${phone} ${provider}`;
}
