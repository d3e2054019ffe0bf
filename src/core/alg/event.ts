/** Everything that the engine tells: one union. Log, metrics, capture and the console are its subscribers. */
import type { Address, Endpoint } from '../net/address.ts';
import type { Flow } from '../net/flow.ts';
import type { Evidence } from './evidence.ts';
import type { RuleId } from './rules.ts';

/** One change as people and logs see it. Offsets are bytes of the message as received. */
export interface ExplainedEdit {
  readonly offset: number;
  readonly length: number;
  readonly before: string;
  readonly after: string;
  readonly rule: RuleId;
  /** RFC and section. */
  readonly source: string;
}

export interface AddressUse {
  readonly address: Address;
  /** Signalling mappings with this external address. */
  readonly mappings: number;
  /** Calls whose media is reached there. */
  readonly calls: number;
}

export type AlgEvent =
  | {
      readonly kind: 'message.translated';
      readonly flow: Flow;
      readonly summary: string;
      readonly callId: string;
      readonly edits: readonly ExplainedEdit[];
      /** Why a part of it was left alone nevertheless, and what that costs. */
      readonly left?: string;
    }
  | {
      readonly kind: 'message.passed';
      readonly flow: Flow;
      readonly summary: string;
      readonly why: string;
      readonly defects: readonly string[];
    }
  | { readonly kind: 'message.dropped'; readonly flow: Flow; readonly why: string }
  | { readonly kind: 'mapping.opened'; readonly internal: Endpoint; readonly external: Endpoint }
  | {
      readonly kind: 'mapping.failed';
      readonly internal: Endpoint;
      readonly external: Endpoint;
      readonly reason: string;
    }
  | {
      readonly kind: 'mapping.closed';
      readonly internal: Endpoint;
      readonly external: Endpoint;
      readonly why: string;
    }
  | {
      readonly kind: 'registration.granted';
      readonly aor: string;
      readonly internal: Endpoint;
      readonly external: Endpoint;
      readonly lifetimeMs: number;
      /** The same registrar had granted it before: only its end has moved. */
      readonly renewed: boolean;
    }
  | {
      readonly kind: 'registration.removed';
      readonly aor: string;
      readonly internal: Endpoint;
      readonly why: 'unregistered' | 'expired' | 'rejected';
    }
  | { readonly kind: 'dialog.opened'; readonly callId: string; readonly initiator: 'internal' | 'external' }
  | { readonly kind: 'dialog.confirmed'; readonly callId: string }
  | { readonly kind: 'dialog.ended'; readonly callId: string; readonly why: string }
  /** Its media was reached at an address that we no longer have: it is heard again when the phone sends a re-INVITE. */
  | { readonly kind: 'dialog.stranded'; readonly callId: string; readonly address: Address }
  /** An external address is not there any more: what has it waits. */
  | ({ readonly kind: 'address.gone' } & AddressUse)
  | ({ readonly kind: 'address.back' } & AddressUse)
  /** It has not come back in time: what has it ends. */
  | ({ readonly kind: 'address.lost' } & AddressUse)
  | {
      readonly kind: 'media.opened';
      readonly callId: string;
      readonly internal: Endpoint | undefined;
      readonly external: Endpoint;
      readonly ports: number;
    }
  | { readonly kind: 'media.closed'; readonly callId: string; readonly external: Endpoint }
  /** A provider and phone are observed from now on, or translated. */
  | {
      readonly kind: 'profile.changed';
      readonly phone: Address;
      readonly provider: Address;
      readonly mode: 'observe' | 'assist';
      readonly chosen: 'configuration' | 'evidence' | 'default';
      readonly evidence: readonly Evidence[];
    }
  /** Rows of a former run, of another version, that this one does not understand: they stay where they are. */
  | { readonly kind: 'state.skipped'; readonly rows: number }
  /** Sent for a phone, to keep a NAT upstream of us open. */
  | {
      readonly kind: 'keepalive.sent';
      readonly external: Endpoint;
      readonly peer: Endpoint;
      /** CRLF, or a ping by CRLF twice on a stream (RFC 5626 §3.5.1), or a STUN Binding request (§3.5.2). */
      readonly how: 'crlf' | 'ping' | 'stun';
    }
  /** It was for us, and has gone no further. */
  | { readonly kind: 'keepalive.answered'; readonly flow: Flow }
  | {
      readonly kind: 'limit.reached';
      readonly limit: string;
      readonly value: number;
      /** Whose message or connection has met it, where that is known. */
      readonly phone?: Address;
    }
  /** A bug of ours, or a result that did not stand the second look: the original bytes went out. */
  | { readonly kind: 'engine.fault'; readonly flow: Flow | undefined; readonly text: string };
