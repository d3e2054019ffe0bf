/**
 * What the gateway keeps, told apart from what it has not collected yet. Loaded into its process before it starts (`node
 * --import`): on SIGUSR2 everything is collected, and what is reachable then goes into a file. Nothing of it is in the product.
 */
import { writeFileSync } from 'node:fs';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

export interface LiveHeap {
  /** Octets on V8's heap. */
  readonly heapUsed: number;
  /** Octets of buffers beside it. */
  readonly arrayBuffers: number;
}

/** Names the file to be written; only where it is set does this module do anything. */
export const LIVE_HEAP_FILE = 'SIPALG_LIVE_HEAP_FILE';

const file = process.env[LIVE_HEAP_FILE];
if (file !== undefined) {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  process.on('SIGUSR2', () => {
    // What a finalizer lets go is there to be collected the second time.
    collect();
    collect();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    writeFileSync(file, `${JSON.stringify({ heapUsed, arrayBuffers } satisfies LiveHeap)}\n`);
  });
}
