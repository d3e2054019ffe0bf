/**
 * What a message does to its dialog and to the dialog's media, in the order in which it has to be done: found or opened, confirmed
 * or ended, its descriptions translated, its ports opened, settled.
 */
import type { Address, Endpoint } from '../net/address.ts';
import type { TimeMs } from '../net/time.ts';
import type { Edit } from '../sip/edit.ts';
import type { Message } from '../sip/message.ts';
import { advance, dialogOf, type LeaveReason, learn, noteHold, offer, sessionOf, settle } from './calls.ts';
import type { Dialog } from './dialogs.ts';
import type { MappingId } from './io.ts';
import type { SignallingMapping } from './mappings.ts';
import type { RuleId } from './rules.ts';
import { translateInbound, translateOutbound } from './session.ts';
import type { EngineState } from './state.ts';
import type { Packet } from './waiting.ts';

export interface SessionOutcome {
  readonly edits: readonly Edit<RuleId>[];
  readonly leave: LeaveReason | undefined;
  /** Media that is still being opened: the message has to wait for it. */
  readonly waitsFor: readonly MappingId[];
}

const NOTHING: readonly MappingId[] = [];

/** Dialog and media. `waitsFor`: the message names media that is still being opened. */
export function followSession(
  state: EngineState,
  now: TimeMs,
  message: Message,
  direction: 'out' | 'in',
  mapping: SignallingMapping,
  peer: Endpoint,
  packet: Packet,
  observed: boolean,
): SessionOutcome {
  const { descriptions, leave } = sessionOf(message, state.watching);
  const phone = mapping.internal.address;
  const dialog = dialogOf(
    state.dialogs,
    message,
    direction,
    phone,
    mapping.id,
    peer,
    now,
    descriptions.length > 0,
  );
  if (dialog === undefined) {
    if (message.kind === 'request' && (descriptions.length > 0 || message.method === 'INVITE')) {
      const limit = state.dialogs.limitFor(phone);
      if (limit !== undefined)
        state.event({ kind: 'limit.reached', limit, value: state.dialogs.size, phone });
    }
    return { edits: [], leave, waitsFor: NOTHING };
  }
  // What is retransmitted after the end belongs to nothing that lives.
  if (dialog.state === 'ended') return { edits: [], leave, waitsFor: NOTHING };
  if (!mapping.dialogs.has(dialog.key)) {
    mapping.dialogs.add(dialog.key);
    state.event({ kind: 'dialog.opened', callId: dialog.callId, initiator: dialog.initiator });
  }
  if (dialog.mapping !== mapping.id) moveDialog(state, dialog, mapping);
  dialog.observed ??= observed;
  dialog.peer = peer;
  if (direction === 'in' && !dialog.heard) {
    dialog.heard = true;
    state.answering.note(phone, peer.address);
  }
  state.dirtyDialogs.add(dialog);
  const progress = advance(state.dialogs, dialog, message, direction, now);
  if (progress === 'confirmed') state.event({ kind: 'dialog.confirmed', callId: dialog.callId });
  if (progress !== undefined) state.hold(mapping, now);

  const edits: Edit<RuleId>[] = [];
  if (descriptions.length > 0 && !observed) {
    const context = {
      media: state.media,
      dialog,
      policy: state.policy,
      limits: state.limits,
      phone,
      externalAddress: mediaAddress(mapping, direction, packet),
      innerAddress: packet.innerAddress ?? state.innerAddress(phone),
      routed: mapping.routed,
    };
    const named = new Set<MappingId>();
    let gaveUp = false;
    for (const description of descriptions) {
      noteHold(dialog, description, direction);
      if (direction === 'in') learn(dialog, message, description, peer);
      const session =
        direction === 'out'
          ? translateOutbound(description, context, state.out)
          : translateInbound(description, context, state.out);
      for (const id of session.named) named.add(id);
      for (const edit of session.edits) if (state.on[edit.rule]) edits.push(edit);
      gaveUp ||= session.gaveUp;
    }
    if (gaveUp) {
      // Never half a message: where one port cannot be had, all of it stays, and what was opened for it goes.
      for (const id of named)
        if (!dialog.committed.has(id) && !dialog.offered.has(id)) state.media.release(id, dialog, state.out);
      return { edits: [], leave, waitsFor: NOTHING };
    }
    const waitsFor = state.watching
      ? NOTHING
      : [...named].filter((id) => state.media.byId(id)?.state === 'opening');
    if (waitsFor.length > 0) {
      // Whatever becomes of the message, what was opened for it belongs to the dialog and ends with it.
      for (const id of named) dialog.offered.add(id);
      return { edits: [], leave, waitsFor };
    }
    if (direction === 'out' || state.media.relay) offer(dialog, named, state.media, state.out);
  }
  settle(dialog, message, descriptions.length > 0, state.media, state.out);
  for (const id of dialog.offered) refreshSources(state, id);
  for (const id of dialog.committed) refreshSources(state, id);
  return { edits, leave, waitsFor: NOTHING };
}

/** The phone goes on with the dialog from another endpoint of its own. */
function moveDialog(state: EngineState, dialog: Dialog, to: SignallingMapping): void {
  const before = state.mappings.byId(dialog.mapping);
  dialog.mapping = to.id;
  if (before === undefined) return;
  before.dialogs.delete(dialog.key);
  state.mappings.schedule(before);
}

function refreshSources(state: EngineState, id: MappingId): void {
  const record = state.media.byId(id);
  if (record !== undefined) state.media.refreshSources(record, state.out);
}

/** Where there are several uplinks, media follows the route; signalling may stay with another one (uplinks.ts). */
function mediaAddress(mapping: SignallingMapping, direction: 'out' | 'in', packet: Packet): Address {
  const follows = direction === 'out' && packet.otherAddresses !== undefined && !mapping.routed;
  return (follows ? packet.externalAddress : undefined) ?? mapping.external.address;
}
