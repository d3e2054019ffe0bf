/** Drives an engine without a network: every endpoint that it wants is opened at once, and time is what the caller says. */
import { type Address, type Endpoint, endpointKey } from '../net/address.ts';
import { type ConnectionId, over, type Transport } from '../net/flow.ts';
import type { TimeMs } from '../net/time.ts';
import { Engine } from './engine.ts';
import { PROVIDER } from './explain-flow.ts';
import type { Input, MappingId, Output } from './io.ts';
import type { EngineOptions } from './policy.ts';
import type { ProfileView } from './profile.ts';

export class ExplainDriver {
  readonly #engine: Engine;
  readonly #pairs = new Map<
    MappingId,
    { readonly transport: Transport; readonly internal: Endpoint; readonly external: Endpoint }
  >();
  readonly #externalOf = new Map<string, Endpoint>();
  readonly #internalOf = new Map<string, Endpoint>();
  #now: TimeMs = 0;

  constructor(options: EngineOptions) {
    this.#engine = new Engine(options);
  }

  /** The external endpoint that a phone's endpoint has now. */
  externalOf(transport: Transport, internal: Endpoint): Endpoint | undefined {
    return this.#externalOf.get(keyOf(transport, internal));
  }

  internalOf(transport: Transport, external: Endpoint): Endpoint | undefined {
    return this.#internalOf.get(keyOf(transport, external));
  }

  profiles(): readonly ProfileView[] {
    return this.#engine.profiles();
  }

  /** Lets time pass; it never goes back. What became due is done when it was due. */
  advance(now: TimeMs): Output[] {
    const outputs: Output[] = [];
    for (;;) {
      const due = this.#engine.nextTimeoutMs;
      if (due === undefined || due > now) break;
      this.#now = Math.max(this.#now, due);
      this.#take(this.#engine.handle(this.#now, { kind: 'timeout' }), outputs);
      const next = this.#engine.nextTimeoutMs;
      if (next !== undefined && next <= this.#now) break;
    }
    this.#now = Math.max(this.#now, now);
    return outputs;
  }

  feed(input: Input): Output[] {
    const outputs: Output[] = [];
    this.#take(this.#engine.handle(this.#now, input), outputs);
    return outputs;
  }

  /** Opens the mapping of a phone that has sent nothing yet, by an empty message of its own. */
  open(
    transport: Transport,
    internal: Endpoint,
    externalAddress: Address,
    peer: Endpoint = PROVIDER,
    connection?: ConnectionId,
  ): void {
    this.feed({
      kind: 'packet',
      flow: over({ transport, side: 'internal', local: peer, remote: internal }, connection),
      bytes: new Uint8Array(0),
      externalAddress,
    });
  }

  #take(outputs: readonly Output[], into: Output[]): void {
    for (const output of outputs) {
      into.push(output);
      if (output.kind === 'signalling') {
        const { command } = output;
        if (command.action === 'open') {
          this.#pairs.set(command.id, command);
          const { transport, internal, external } = command;
          this.#externalOf.set(keyOf(transport, internal), external);
          this.#internalOf.set(keyOf(transport, external), internal);
        } else if (command.action === 'close') this.#forget(command.id);
      }
      if ((output.kind === 'signalling' || output.kind === 'media') && output.command.action === 'open')
        this.#take(this.#engine.handle(this.#now, { kind: 'opened', id: output.command.id }), into);
    }
  }

  #forget(id: MappingId): void {
    const pair = this.#pairs.get(id);
    if (pair === undefined) return;
    this.#pairs.delete(id);
    this.#externalOf.delete(keyOf(pair.transport, pair.internal));
    this.#internalOf.delete(keyOf(pair.transport, pair.external));
  }
}

function keyOf(transport: Transport, endpoint: Endpoint): string {
  return `${transport} ${endpointKey(endpoint)}`;
}
