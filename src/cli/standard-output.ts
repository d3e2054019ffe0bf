/** Standard output of a command that prints and ends. */
import { writeSync } from 'node:fs';
import { exitCode } from './exit-code.ts';

/** Writes all of it, whatever standard output is. A reader that has seen enough (`| head`) ends the program. */
export function writeAll(content: Uint8Array | string): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EPIPE') process.exit(exitCode.ok);
      if (code !== 'EAGAIN') throw error;
      // A full pipe in non-blocking mode: wait a little for its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** What is written otherwise: a reader that has gone is nothing to crash about. */
export function endWithReader(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit(exitCode.ok);
  });
}
