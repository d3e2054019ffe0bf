/**
 * Gathers what the status socket tells: from the engine's snapshot, the data plane, and what went through the log.
 *
 * Made when somebody asks, and kept for a moment, so that asking without end costs next to nothing.
 */
import { enginesOf, type GatewayConfig } from '../config/gateway-config.ts';
import type { AlgEvent } from '../core/alg/event.ts';
import type { MappingId } from '../core/alg/io.ts';
import type { ProfileView } from '../core/alg/profile.ts';
import type { CallsSnapshot, EngineSnapshot, MappingSnapshot } from '../core/alg/snapshot.ts';
import { formatEndpoint } from '../core/net/address.ts';
import type { Log } from '../observe/log.ts';
import { redact } from '../observe/redaction.ts';
import { eventSentence } from '../observe/sentence.ts';
import type { Exports } from './exports.ts';
import type { PlaneStatus } from './plane.ts';
import {
  type Activity,
  type CallStatus,
  type InterceptionStatus,
  type LimitStatus,
  type MediaStatus,
  type NoticeStatus,
  type PhoneStatus,
  type ProfileStatus,
  STATUS_ROWS,
  STATUS_VERSION,
  type StatusReport,
} from './status-report.ts';

const NOTICES = 20;
const NOTICE_LENGTH = 500;
/** An answer is given to everybody who asks within this time. */
const FRESH_MS = 250;
const LIMIT_NEWS_MS = 10_000;

/** What runs while the switch is on. */
export interface RunningStatus extends RunningCalls {
  readonly snapshot: EngineSnapshot;
  readonly profiles: readonly ProfileView[];
}

/** Of it, what is about calls. */
export interface RunningCalls {
  readonly snapshot: CallsSnapshot;
  readonly plane: PlaneStatus;
}

/** Counts and keeps what an operator may ask for later. */
export class StatusBoard {
  readonly #version: string;
  readonly #startedAt: number;
  readonly #notices: NoticeStatus[] = [];
  readonly #reached = new Map<string, number>();
  /** Limits are a fixed few, so neither table needs a bound. */
  readonly #told = new Map<string, number>();
  #messages = { translated: 0, passed: 0, dropped: 0 };
  #since: number;
  #last: { readonly atMs: number; readonly text: string } | undefined;

  constructor(version: string, now = Date.now()) {
    this.#version = version;
    this.#startedAt = now;
    this.#since = now;
  }

  switched(now = Date.now()): void {
    this.#since = now;
    this.#last = undefined;
  }

  notice(code: string, text: string, now = Date.now()): void {
    this.#notices.push({ at: now, code, text: text.slice(0, NOTICE_LENGTH) });
    if (this.#notices.length > NOTICES) this.#notices.shift();
  }

  /** Cheap: it is called for every message. */
  event(event: AlgEvent): void {
    switch (event.kind) {
      case 'message.translated':
        this.#messages.translated++;
        return;
      case 'message.passed':
        this.#messages.passed++;
        return;
      case 'message.dropped':
        this.#messages.dropped++;
        return;
      case 'limit.reached': {
        const before = this.#reached.get(event.limit) ?? 0;
        this.#reached.set(event.limit, before + 1);
        if (before === 0) this.notice(event.kind, eventSentence(event));
        return;
      }
      case 'mapping.failed':
      case 'engine.fault':
        this.notice(event.kind, eventSentence(event));
        return;
    }
  }

  /** Messages that were counted elsewhere. */
  count({ translated, passed, dropped }: StatusReport['messages']): void {
    this.#messages.translated += translated;
    this.#messages.passed += passed;
    this.#messages.dropped += dropped;
  }

  /** A limit that is met with every message is told once in a while; how often it was met, status says. */
  isNews(limit: string, nowMs = performance.now()): boolean {
    const told = this.#told.get(limit);
    if (told !== undefined && nowMs - told < LIMIT_NEWS_MS) return false;
    this.#told.set(limit, nowMs);
    return true;
  }

  /** The answer as one line of JSON. */
  answer(config: GatewayConfig, running: () => RunningStatus | undefined): string {
    const now = performance.now();
    if (this.#last !== undefined && now - this.#last.atMs < FRESH_MS) return this.#last.text;
    const report = this.report(config, running());
    const text = `${JSON.stringify(config.log.reveal ? report : redact(report))}\n`;
    this.#last = { atMs: now, text };
    return text;
  }

  /** Of a report, what is asked for every other second. */
  activity(running: RunningCalls | undefined): Activity {
    return {
      callCount: (running?.snapshot.dialogs ?? []).filter((one) => one.state !== 'ended').length,
      calls: running === undefined ? [] : calls(running),
      messages: { ...this.#messages },
    };
  }

  report(config: GatewayConfig, running: RunningStatus | undefined, now = Date.now()): StatusReport {
    const snapshot = running?.snapshot;
    const profiles = new Map(
      (running?.profiles ?? []).map((one) => [`${one.phone} ${one.provider}`, profileStatus(one)]),
    );
    const phones = (snapshot?.mappings ?? []).flatMap((mapping) => phoneRows(mapping, profiles));
    return {
      status: STATUS_VERSION,
      version: this.#version,
      pid: process.pid,
      mode: config.mode,
      switch: running === undefined ? 'off' : 'on',
      at: now,
      startedAt: this.#startedAt,
      since: this.#since,
      interception: interception(config, running),
      phoneCount: phones.length,
      phones: phones.slice(0, STATUS_ROWS),
      ...this.activity(running),
      limits: limits(config, running, this.#reached),
      dropped: running?.plane.dropped ?? {},
      notices: [...this.#notices],
    };
  }
}

function interception(config: GatewayConfig, running: RunningStatus | undefined): InterceptionStatus {
  const where =
    config.mode === 'explicit'
      ? `phones name ${config.listen.map(formatEndpoint).join(', ')} as outbound proxy`
      : `${config.internal.join(', ')} → ${config.external.join(', ')}, port ${config.signalling.ports.join(', ')}`;
  if (running === undefined) return { active: false, where, why: 'switched off' };
  const { resting } = running.plane;
  return { active: resting === undefined, where, ...(resting === undefined ? {} : { why: resting }) };
}

function profileStatus({ mode, chosen, evidence, since }: ProfileView): ProfileStatus {
  return { mode, chosen, evidence, since };
}

function phoneRows(mapping: MappingSnapshot, profiles: ReadonlyMap<string, ProfileStatus>): PhoneStatus[] {
  const { transport, internal, external, lastIncoming, lastPeer } = mapping;
  const common = {
    transport,
    internal,
    external,
    ...(lastIncoming === undefined ? {} : { lastIncoming }),
  };
  if (mapping.registrations.length === 0)
    return [{ ...common, ...(lastPeer === undefined ? {} : { peer: lastPeer }) }];
  return mapping.registrations.map(([, { aor, peer, expiresAt }]) => {
    const profile = profiles.get(`${internal.address} ${peer.address}`);
    return { aor, ...common, peer, expiresAt, ...(profile === undefined ? {} : { profile }) };
  });
}

function calls({ snapshot, plane }: RunningCalls): CallStatus[] {
  const byId = new Map(snapshot.media.map((media) => [media.id, media]));
  const traffic = plane.traffic();
  const media = (id: MappingId): MediaStatus[] => {
    const one = byId.get(id);
    if (one === undefined) return [];
    const { internal, external, ports } = one;
    return [{ ...(internal === undefined ? {} : { internal }), external, ports, ...traffic.get(id) }];
  };
  const rows: CallStatus[] = [];
  for (const dialog of snapshot.dialogs) {
    if (dialog.state === 'ended') continue;
    if (rows.length >= STATUS_ROWS) break;
    const { callId, state, initiator, from, to, phone, peer, openedAt, answeredAt } = dialog;
    rows.push({
      callId,
      state,
      initiator,
      from,
      to,
      phone,
      peer,
      ...(openedAt === undefined ? {} : { openedAt }),
      ...(answeredAt === undefined ? {} : { answeredAt }),
      media: dialog.media.flatMap(media),
    });
  }
  return rows;
}

function limits(
  config: GatewayConfig,
  running: RunningStatus | undefined,
  reached: ReadonlyMap<string, number>,
): LimitStatus[] {
  const snapshot = running?.snapshot;
  const row = (limit: string, used: number | undefined, of: number): LimitStatus => ({
    limit,
    ...(used === undefined ? {} : { used }),
    of,
    reached: reached.get(limit) ?? 0,
  });
  const engines = enginesOf(config);
  const rows = [
    row('mappings', snapshot?.mappings.length, config.limits.mappings * engines),
    row('dialogs', snapshot?.dialogs.length, config.limits.dialogs * engines),
    row('media', snapshot?.media.length, config.limits.media * engines),
    row('transactions', snapshot?.transactions, config.limits.transactions * engines),
    row('connections', running?.plane.connections, config.limits.connections * engines),
  ];
  // Bounds of one message, mapping or description have no fill; they are told once they have been reached.
  for (const [limit, count] of reached)
    if (!rows.some((one) => one.limit === limit)) rows.push({ limit, of: 0, reached: count });
  return rows;
}

/** The log, with the board as a listener. */
export function boardedLog(log: Log, board: StatusBoard, exports: Pick<Exports, 'event'>): Log {
  return {
    ...log,
    event(event) {
      board.event(event);
      exports.event(event);
      if (event.kind !== 'limit.reached' || board.isNews(event.limit)) log.event(event);
    },
    notice(code, text, level) {
      board.notice(code, text);
      log.notice(code, text, level);
    },
  };
}
