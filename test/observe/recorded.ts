/** The engine's workbench with a recorder, in the order in which the gateway's loop does things: one input after the other. */
import type { Input } from '../../src/core/alg/io.ts';
import type { EngineOptions } from '../../src/core/alg/policy.ts';
import { Recorder, type RecorderLimits } from '../../src/observe/recorder.ts';
import { Workbench } from '../engine/bench.ts';

export class Recorded extends Workbench {
  readonly recorder: Recorder;
  readonly #inputs: Input[] = [];
  #busy = false;

  constructor(options: EngineOptions = {}, limits?: RecorderLimits) {
    super(options);
    this.recorder = new Recorder(limits);
  }

  override feed(input: Input): void {
    this.#inputs.push(input);
    if (this.#busy) return;
    this.#busy = true;
    for (let next = this.#inputs.shift(); next !== undefined; next = this.#inputs.shift()) {
      const outputs = this.engine.handle(this.now, next);
      this.take(outputs);
      this.recorder.take(this.now, next, outputs, this.now);
    }
    this.#busy = false;
  }
}
