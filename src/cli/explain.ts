/** `sipalg explain FILE|-`: what the gateway would do to one message, without root and without a network. */
import { readFileSync, writeSync } from 'node:fs';
import { exitCode } from './exit-code.ts';
import { type RawExplainOptions, readExplainOptions } from './explain-options.ts';
import { renderExplanation } from './explanation.ts';
import { UsageError } from './failure.ts';

/** The largest UDP datagram, and more than any SIP message that is still one. */
const MAX_MESSAGE_BYTES = 65_535;

export async function explain(file: string, raw: RawExplainOptions): Promise<number> {
  const options = readExplainOptions(raw);
  const message = readMessage(file);
  const { explainMessage } = await import('../core/alg/explain.ts');
  const explanation = explainMessage(message, options);
  if (raw.raw === true) {
    if (explanation.verdict !== 'drop') writeAll(explanation.bytes);
  } else if (raw.json === true) {
    const { verdict, why, edits, defects } = explanation;
    process.stdout.write(`${JSON.stringify({ verdict, why, edits, defects }, null, 2)}\n`);
  } else {
    process.stdout.write(renderExplanation(message, explanation, wantsColour()));
    if (!Buffer.from(message).includes('\r\n')) {
      process.stderr.write(
        'note: the lines end with LF only; SIP messages have CRLF, perhaps an editor changed the file\n',
      );
    }
  }
  return exitCode.ok;
}

function readMessage(file: string): Uint8Array {
  let bytes: Buffer;
  try {
    bytes = readFileSync(file === '-' ? 0 : file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    throw new UsageError(
      `${file}: ${code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code ?? error})`}`,
      'Give the file with one SIP message in it, or - for standard input.',
    );
  }
  if (bytes.length > MAX_MESSAGE_BYTES) {
    throw new UsageError(
      `${file}: ${bytes.length} bytes are more than one SIP message over UDP can have (${MAX_MESSAGE_BYTES})`,
      'Give a file with one message in it.',
    );
  }
  return new Uint8Array(bytes);
}

/** All of it, whatever standard output is. */
function writeAll(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      // A full pipe in non-blocking mode: wait a little for its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

function wantsColour(): boolean {
  const force = process.env.FORCE_COLOR;
  if (force !== undefined && force !== '0') return true;
  return process.stdout.isTTY === true && (process.env.NO_COLOR ?? '') === '' && process.env.TERM !== 'dumb';
}
