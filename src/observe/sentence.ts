/** Every event as one line for people. */
import type { AddressUse, AlgEvent, ExplainedEdit } from '../core/alg/event.ts';
import { type Endpoint, formatEndpoint } from '../core/net/address.ts';
import type { Flow } from '../core/net/flow.ts';

export function eventSentence(event: AlgEvent): string {
  switch (event.kind) {
    case 'message.translated':
      return `${event.summary}  ${path(event.flow)}  translated: ${editList(event.edits)}${event.left === undefined ? '' : `; left alone: ${event.left}`}`;
    case 'message.passed':
      return `${event.summary}  ${path(event.flow)}  passed untouched: ${event.why}${
        event.defects.length === 0 ? '' : ` (${event.defects.join(', ')})`
      }`;
    case 'message.dropped':
      return `message dropped  ${path(event.flow)}  ${event.why}`;
    case 'mapping.opened':
      return `mapping opened  ${pair(event)}`;
    case 'mapping.failed':
      return `mapping failed  ${pair(event)}: ${event.reason}`;
    case 'mapping.closed':
      return `mapping closed  ${pair(event)}: ${event.why}`;
    case 'registration.granted':
      return `${event.renewed ? 'registered again' : 'registered'}  ${event.aor}  ${pair(event)}  for ${Math.round(event.lifetimeMs / 1000)} s`;
    case 'registration.removed':
      return `registration gone  ${event.aor}  ${formatEndpoint(event.internal)}: ${event.why}`;
    case 'dialog.opened':
      return `call begins  ${event.callId}  from the ${event.initiator} side`;
    case 'dialog.confirmed':
      return `call answered  ${event.callId}`;
    case 'dialog.ended':
      return `call ended  ${event.callId}: ${event.why}`;
    case 'dialog.stranded':
      return `call without media  ${event.callId}: ${event.address}, where the far end sends its audio, is not ours any more; it is heard again if the phone sends a re-INVITE`;
    case 'address.gone':
      return `external address gone  ${event.address}: ${users(event)} wait for it to come back, or for another one`;
    case 'address.back':
      return `external address back  ${event.address}: ${users(event)} go on as before`;
    case 'address.lost':
      return `external address lost  ${event.address}: ${users(event)} end with it; each phone gets a new mapping with its next message`;
    case 'media.opened':
      return `media open  ${event.internal === undefined ? '(phone not known yet)' : formatEndpoint(event.internal)} ⇄ ${formatEndpoint(
        event.external,
      )}  ${event.ports} ${event.ports === 1 ? 'port' : 'ports'}  ${event.callId}`;
    case 'media.closed':
      return `media closed  ${formatEndpoint(event.external)}  ${event.callId}`;
    case 'profile.changed':
      return `${event.mode === 'observe' ? 'observed, not a byte changes' : 'translated'}  ${event.phone} towards ${event.provider}: ${
        event.chosen === 'configuration'
          ? 'the configuration says so'
          : event.evidence.map(({ what, source }) => `${what} (${source})`).join(', ') ||
            'nothing speaks against it'
      }`;
    case 'state.skipped':
      return `${event.rows} ${event.rows === 1 ? 'row' : 'rows'} of the stored state are of another version and left alone: these phones come back as they register again`;
    case 'keepalive.sent':
      return `keepalive  ${formatEndpoint(event.external)} → ${formatEndpoint(event.peer)}  ${event.how}`;
    case 'keepalive.answered':
      return `keepalive answered  ${path(event.flow)}`;
    case 'limit.reached':
      return `limit reached  ${event.limit} = ${event.value}${event.phone === undefined ? '' : ` by ${event.phone}`}: raise it under [limits] if this is ordinary traffic`;
    case 'engine.fault':
      return `fault of the gateway, the original message went out  ${event.flow === undefined ? '' : `${path(event.flow)}  `}${event.text}`;
  }
  // An event that this table does not know yet is still told.
  return JSON.stringify(event);
}

/** Where the message came from and where it was going. */
function path(flow: Flow): string {
  return `${formatEndpoint(flow.remote)} → ${formatEndpoint(flow.local)}`;
}

function users({ mappings, calls }: AddressUse): string {
  return `${mappings} ${mappings === 1 ? 'mapping' : 'mappings'} and ${calls} ${calls === 1 ? 'call' : 'calls'}`;
}

function pair(event: { readonly internal: Endpoint; readonly external: Endpoint }): string {
  return `${formatEndpoint(event.internal)} ⇄ ${formatEndpoint(event.external)}`;
}

function editList(edits: readonly ExplainedEdit[]): string {
  return edits
    .map(
      (edit) =>
        `${edit.rule} ${edit.before.trimEnd() || '(nothing)'} → ${edit.after.trimEnd() || '(nothing)'}`,
    )
    .join(', ');
}
