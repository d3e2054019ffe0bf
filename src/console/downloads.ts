/** What is no JSON: captures as they are made, and metrics. */
import type { GatewayView } from '../gateway/view.ts';
import { captureOf } from '../observe/capture/live.ts';
import { type Followed, follow } from '../observe/follow.ts';
import { Refused } from './api.ts';

export interface CaptureQuestion {
  readonly call: string | undefined;
  /** How long to go on after what is remembered; undefined: not at all. */
  readonly seconds: string | undefined;
  readonly reveal: boolean;
}

/** At the same time. */
const MOST_CAPTURES = 4;
const LONGEST_S = 3_600;
/** Of one. */
const MOST_OCTETS = 64 * 1024 * 1024;

export class Downloads {
  readonly #gateway: GatewayView;
  readonly #application: string;
  readonly #open = new Set<AbortController>();

  constructor(gateway: GatewayView, version: string) {
    this.#gateway = gateway;
    this.#application = `sipalg ${version}`;
  }

  async metrics(): Promise<Response> {
    return new Response(await this.#gateway.metricsText(), {
      headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
    });
  }

  /** A pcapng file; `gone` is told when nobody reads any more. */
  capture({ call, seconds, reveal }: CaptureQuestion, gone: AbortSignal): Response {
    const lasting = seconds === undefined ? 0 : Number(seconds);
    if (!(lasting >= 0 && lasting <= LONGEST_S))
      throw new Refused(
        400,
        'console/not-understood',
        `seconds is no number from 0 to ${LONGEST_S}`,
        'leave it out to get what is remembered',
      );
    if (this.#open.size >= MOST_CAPTURES)
      throw new Refused(
        503,
        'console/too-many-captures',
        `${MOST_CAPTURES} captures are being made already`,
        'wait for one of them to end',
      );
    const end = new AbortController();
    this.#open.add(end);
    const signal = AbortSignal.any([
      end.signal,
      gone,
      ...(lasting > 0 ? [AbortSignal.timeout(lasting * 1_000)] : []),
    ]);
    let followed: AsyncGenerator<Followed>;
    const over = (): void => {
      this.#open.delete(end);
    };
    try {
      const ends = lasting === 0;
      followed = follow(this.#gateway.recorder, { callId: call, since: 0, ends, reveal, signal });
    } catch (error) {
      over();
      throw error;
    }
    const chunks = captureOf(followed, { application: this.#application, reveal, octets: MOST_OCTETS });
    const body = new ReadableStream<Uint8Array>({
      async pull(controller) {
        try {
          const { value, done } = await chunks.next();
          if (done !== true) return controller.enqueue(value);
          over();
          controller.close();
        } catch (error) {
          over();
          controller.error(error);
        }
      },
      async cancel() {
        end.abort();
        over();
        await chunks.return(undefined);
      },
    });
    signal.addEventListener('abort', over);
    return new Response(body, {
      headers: {
        'content-type': 'application/x-pcapng',
        'content-disposition': 'attachment; filename="sipalg.pcapng"',
        'cache-control': 'no-store',
      },
    });
  }

  close(): void {
    for (const end of this.#open) end.abort();
  }
}
