/** What metrics show of a running gateway at one moment, from its status. */
import { enginesOf, type GatewayConfig } from '../config/gateway-config.ts';
import type { MappingId } from '../core/alg/io.ts';
import type { Levels } from '../observe/metrics.ts';
import type { MediaTraffic } from './plane.ts';
import type { RunningStatus } from './status.ts';

/** RTP comes every 20 ms; a direction without any packet this long after the answer is silent. */
const SILENT_AFTER_MS = 3_000;

export class LevelReader {
  /** Of streams that are counted at present, what was seen last. */
  #seen: ReadonlyMap<MappingId, MediaTraffic> = new Map();
  #fromPhone = 0;
  #toPhone = 0;

  read(
    config: GatewayConfig,
    running: RunningStatus | undefined,
    exported: Levels['exported'],
    now = Date.now(),
  ): Levels {
    const snapshot = running?.snapshot;
    const traffic = running?.plane.traffic() ?? new Map<MappingId, MediaTraffic>();
    this.#count(traffic);
    const calls = { early: 0, confirmed: 0, ending: 0 };
    const streams = { 'both-ways': 0, 'one-way': 0, silent: 0, unknown: 0 };
    for (const { state, answeredAt, media } of snapshot?.dialogs ?? []) {
      if (state === 'ended') continue;
      calls[state]++;
      if (state !== 'confirmed' || answeredAt === undefined || now - answeredAt < SILENT_AFTER_MS) continue;
      for (const id of media) streams[judged(traffic.get(id))]++;
    }
    const { limits } = config;
    const engines = enginesOf(config);
    const table = (name: string, used: number | undefined, limit: number): Levels['tables'][number] => ({
      table: name,
      used: used ?? 0,
      limit,
    });
    const { low, high } = config.media.ports;
    return {
      isOn: running !== undefined,
      isActive: running !== undefined && running.plane.resting === undefined,
      registrations: (snapshot?.mappings ?? []).reduce((sum, one) => sum + one.registrations.length, 0),
      calls,
      streams,
      tables: [
        table('mappings', snapshot?.mappings.length, limits.mappings * engines),
        table('dialogs', snapshot?.dialogs.length, limits.dialogs * engines),
        table('media', snapshot?.media.length, limits.media * engines),
        table('transactions', snapshot?.transactions, limits.transactions * engines),
        table('connections', running?.plane.connections, limits.connections * engines),
      ],
      mediaPorts: {
        used: (snapshot?.media ?? []).reduce((sum, { ports }) => sum + ports, 0),
        limit: high - low + 1,
      },
      mediaPackets: { fromPhone: this.#fromPhone, toPhone: this.#toPhone },
      dropped: running?.plane.dropped ?? {},
      heartbeats: running?.plane.heartbeats,
      exported,
    };
  }

  #count(traffic: ReadonlyMap<MappingId, MediaTraffic>): void {
    for (const [id, { fromPhone, toPhone }] of traffic) {
      const before = this.#seen.get(id);
      // Counted anew where a stream was replaced.
      this.#fromPhone += Math.max(0, fromPhone - (before?.fromPhone ?? 0));
      this.#toPhone += Math.max(0, toPhone - (before?.toPhone ?? 0));
    }
    this.#seen = new Map(traffic);
  }
}

function judged(traffic: MediaTraffic | undefined): keyof Levels['streams'] {
  if (traffic === undefined) return 'unknown';
  if (traffic.fromPhone > 0 && traffic.toPhone > 0) return 'both-ways';
  return traffic.fromPhone > 0 || traffic.toPhone > 0 ? 'one-way' : 'silent';
}
