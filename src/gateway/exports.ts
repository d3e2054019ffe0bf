/**
 * What leaves the gateway for others to look at: metrics for Prometheus, messages for Homer. Neither is loaded before it is wanted,
 * and neither costs a message anything but a count.
 */
import type { Server } from 'node:http';
import type { GatewayConfig } from '../config/gateway-config.ts';
import type { AlgEvent } from '../core/alg/event.ts';
import { type Endpoint, formatEndpoint } from '../core/net/address.ts';
import type { HepExport } from '../observe/hep-export.ts';
import type { Log } from '../observe/log.ts';
import type { Metrics } from '../observe/metrics.ts';
import type { Recorder } from '../observe/recorder.ts';
import { LevelReader } from './levels.ts';
import type { RunningStatus } from './status.ts';

export interface ExportSources {
  readonly version: string;
  readonly recorder: Recorder;
  config(): GatewayConfig;
  running(): RunningStatus | undefined;
}

/** Of Prometheus' requests: it asks every few seconds, on one connection. */
const CONNECTIONS = 16;
const REQUEST_MS = 5_000;

export class Exports {
  readonly #sources: ExportSources;
  readonly #notice: Log['notice'];
  readonly #reader = new LevelReader();
  #metrics: Metrics | undefined;
  #loading: Promise<Metrics> | undefined;
  #server: Server | undefined;
  #listens: Endpoint | undefined;
  #hep: HepExport | undefined;
  #hepConfig: GatewayConfig['hep'];

  constructor(sources: ExportSources, notice: Log['notice']) {
    this.#sources = sources;
    this.#notice = notice;
  }

  /** Undefined until somebody wants metrics. */
  get metrics(): Metrics | undefined {
    return this.#metrics;
  }

  /** Called for every event; cheap while nobody wants metrics. */
  event(event: AlgEvent): void {
    this.#metrics?.event(event);
  }

  /** What Prometheus reads. Counts begin when it is first asked for, or with the gateway where `metrics.listen` is set. */
  async metricsText(): Promise<string> {
    return (await this.#loaded()).text();
  }

  /** Begins, ends or changes what the configuration asks for. */
  async follow(): Promise<void> {
    const config = this.#sources.config();
    try {
      await this.#followHep(config.hep);
      await this.#followMetrics(config.metrics.listen);
    } catch (error) {
      this.#notice('exports.failed', `nothing is exported: ${(error as Error).message}`, 'error');
    }
  }

  close(): void {
    this.#hep?.close();
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#metrics?.close();
  }

  async #followHep(wanted: GatewayConfig['hep']): Promise<void> {
    if (JSON.stringify(wanted) === JSON.stringify(this.#hepConfig)) return;
    this.#hepConfig = wanted;
    this.#hep?.close();
    this.#hep = undefined;
    if (wanted === undefined) return;
    const { HepExport: Export } = await import('../observe/hep-export.ts');
    this.#hep = new Export(this.#sources.recorder, {
      ...wanted,
      notice: (code, text) => this.#notice(code, text),
    });
  }

  async #followMetrics(wanted: Endpoint | undefined): Promise<void> {
    if (JSON.stringify(wanted) === JSON.stringify(this.#listens)) return;
    this.#listens = wanted;
    this.#server?.close();
    this.#server?.closeAllConnections();
    this.#server = undefined;
    if (wanted === undefined) return;
    const metrics = await this.#loaded();
    // To load it takes as long as to restore a thousand phones.
    const { createServer } = await import('node:http');
    const server = createServer(
      { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS },
      (request, response) => {
        const path = request.url?.split('?')[0];
        if (request.method !== 'GET' || path !== '/metrics') {
          response.writeHead(path === '/metrics' ? 405 : 404, { 'content-type': 'text/plain' });
          response.end('GET /metrics is all that there is\n');
          return;
        }
        metrics.text().then(
          (text) => response.writeHead(200, { 'content-type': metrics.contentType }).end(text),
          (error: Error) =>
            response.writeHead(500, { 'content-type': 'text/plain' }).end(`${error.message}\n`),
        );
      },
    );
    server.maxConnections = CONNECTIONS;
    this.#server = server;
    await new Promise<void>((resolve) => {
      server.once('error', (error) => {
        // A gateway without metrics is a gateway still.
        this.#notice('metrics.not-listening', `no metrics at ${formatEndpoint(wanted)}: ${error.message}`);
        this.#server = undefined;
        resolve();
      });
      server.listen(wanted.port, wanted.address, () => resolve());
    });
    server.unref();
  }

  #loaded(): Promise<Metrics> {
    this.#loading ??= import('../observe/metrics.ts').then(({ Metrics: Made }) => {
      const { version, recorder, config, running } = this.#sources;
      this.#metrics = new Made({
        version,
        recorder,
        levels: () => this.#reader.read(config(), running(), this.#hep?.counts),
      });
      return this.#metrics;
    });
    return this.#loading;
  }
}
