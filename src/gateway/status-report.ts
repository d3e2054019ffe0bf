/**
 * What a running gateway tells of itself: the answer of the status socket, and what `sipalg status` prints.
 *
 * Plain data with a version. Fields may be added to a version, and are never given another meaning. User names are
 * hidden in it as they are in the log (`log.reveal`); credentials never stand in it.
 */
import type { Endpoint } from '../core/net/address.ts';

export const STATUS_VERSION = 1;

/** Phones and calls in one answer; how many there are in all is told beside. */
export const STATUS_ROWS = 1_000;

/** Milliseconds since the epoch. */
type TimeMs = number;

/** Of a report, what changes from one second to the next. */
export type Activity = Pick<StatusReport, 'callCount' | 'calls' | 'messages'>;

export interface StatusReport {
  readonly status: typeof STATUS_VERSION;
  /** Version of sipalg. */
  readonly version: string;
  readonly pid: number;
  readonly mode: 'transparent' | 'explicit';
  readonly switch: 'on' | 'off';
  readonly at: TimeMs;
  readonly startedAt: TimeMs;
  /** Since when it has been on, or off. */
  readonly since: TimeMs;
  readonly interception: InterceptionStatus;
  readonly phoneCount: number;
  readonly phones: readonly PhoneStatus[];
  readonly callCount: number;
  readonly calls: readonly CallStatus[];
  readonly limits: readonly LimitStatus[];
  readonly messages: { readonly translated: number; readonly passed: number; readonly dropped: number };
  /** Packets dropped before they cost anything, by reason; only reasons that exist in this mode. */
  readonly dropped: Readonly<Record<string, number>>;
  /** The newest last. */
  readonly notices: readonly NoticeStatus[];
}

export interface InterceptionStatus {
  /** Whether SIP goes through the gateway at this moment. */
  readonly active: boolean;
  /** Interfaces, ports or endpoints, for people. */
  readonly where: string;
  /** Why it is not active, or what to know of it. */
  readonly why?: string;
}

/** One contact binding; a phone that has none has one row without address-of-record. */
export interface PhoneStatus {
  readonly aor?: string;
  readonly transport: 'udp' | 'tcp';
  readonly internal: Endpoint;
  readonly external: Endpoint;
  /** Who granted the contact binding, or whom the phone sent to last. */
  readonly peer?: Endpoint;
  readonly expiresAt?: TimeMs;
  /** How it is treated towards this peer, where it has registered. */
  readonly profile?: ProfileStatus;
  /** When a request last came in for it. */
  readonly lastIncoming?: TimeMs;
}

export interface ProfileStatus {
  /** `observe`: not a byte changes; `assist`: translated. */
  readonly mode: 'observe' | 'assist';
  /** Who chose it: the operator, evidence, or nobody (assist is the default). */
  readonly chosen: 'configuration' | 'evidence' | 'default';
  /** What was seen of who keeps the phone reachable; `source` is the RFC and section where its meaning stands. */
  readonly evidence: readonly { readonly what: string; readonly source: string; readonly at: TimeMs }[];
  readonly since: TimeMs;
}

export interface CallStatus {
  readonly callId: string;
  readonly state: 'early' | 'confirmed' | 'ending';
  /** Who began it: `internal` is the phone. */
  readonly initiator: 'internal' | 'external';
  readonly from: string;
  readonly to: string;
  readonly phone: string;
  readonly peer: Endpoint;
  readonly openedAt?: TimeMs;
  readonly answeredAt?: TimeMs;
  readonly media: readonly MediaStatus[];
}

export interface MediaStatus {
  readonly internal?: Endpoint;
  readonly external: Endpoint;
  readonly ports: number;
  /** Packets on the first port (RTP); absent where nobody counts them. */
  readonly fromPhone?: number;
  readonly toPhone?: number;
}

export interface LimitStatus {
  readonly limit: string;
  readonly used?: number;
  readonly of: number;
  /** How often it was reached since the start. */
  readonly reached: number;
}

export interface NoticeStatus {
  readonly at: TimeMs;
  readonly code: string;
  readonly text: string;
}
