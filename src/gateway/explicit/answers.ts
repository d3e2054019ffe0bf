/**
 * Which commands to open something have been answered: what a stream brings next must not overtake a message of it that
 * waits in the engine for such an answer.
 */
import type { PlaneHandler } from '../../core/alg/io.ts';

export class Answers {
  /** The handler, through which every answer has to go. */
  readonly handler: PlaneHandler;
  #unanswered = 0;
  #waiting: (() => void)[] = [];

  constructor(handler: PlaneHandler) {
    this.handler = {
      ...handler,
      opened: (id) => this.#answered(() => handler.opened(id)),
      failed: (id, reason) => this.#answered(() => handler.failed(id, reason)),
    };
  }

  /** A command to open something has come. */
  asked(): void {
    this.#unanswered++;
  }

  /** Undefined where nothing is open; otherwise fulfilled when all has been answered, and the engine has heard of it. */
  settled(): Promise<void> | undefined {
    return this.#unanswered === 0 ? undefined : new Promise((resolve) => this.#waiting.push(resolve));
  }

  #answered(tell: () => void): void {
    // The engine may ask for another one in its turn.
    tell();
    this.#unanswered--;
    if (this.#unanswered > 0) return;
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}
