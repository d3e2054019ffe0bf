/**
 * Loaded into a gateway and its threads by NODE_OPTIONS, so that one engine can be made to fail or to hang from outside: the engine
 * whose number stands in the file that ENGINE_TROUBLE names does what the file says, as `0 fail` or `1 hang`.
 */
import { readFileSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';

const LOOK_MS = 50;
const file = process.env.ENGINE_TROUBLE;

if (!isMainThread && file !== undefined)
  setInterval(() => {
    let wanted = '';
    try {
      wanted = readFileSync(file, 'latin1');
    } catch {
      // Nothing is wanted yet.
    }
    const { index } = workerData as { readonly index: number };
    if (wanted === `${index} fail`) throw new Error('the engine was made to fail');
    if (wanted === `${index} hang`) for (;;);
  }, LOOK_MS).unref();
