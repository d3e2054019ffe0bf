/** `sipalg capture`: what the running gateway handles, as a pcapng file. */
import { closeSync, openSync, writeSync } from 'node:fs';
import { CAPTURE_OCTETS, captureOf } from '../observe/capture/live.ts';
import { exitCode } from './exit-code.ts';
import { EnvironmentError, UsageError } from './failure.ts';
import { type FollowOptions, startFollowing } from './following.ts';
import { writeAll } from './standard-output.ts';

export interface CaptureOptions extends FollowOptions {
  /** MiB. */
  readonly size?: string;
}

const MIB = 1024 * 1024;
const MOST_MIB = 65_536;

export async function capture(file: string, options: CaptureOptions, version: string): Promise<number> {
  const octets = octetsOf(options.size);
  if (file === '-' && process.stdout.isTTY)
    throw new UsageError(
      'a capture is nothing for a terminal',
      'name a file, or pipe it: sipalg capture - | tshark -r -',
    );
  const following = await startFollowing(options, { since: 0 });
  if (following === undefined) return exitCode.usage;
  const write = file === '-' ? toStandardOutput() : toFile(file);
  if (process.stderr.isTTY && options.past !== true)
    process.stderr.write(`capturing to ${file}; Ctrl-C ends it\n`);
  let written = 0;
  let messages = -1;
  try {
    const reveal = options.reveal === true;
    for await (const chunk of captureOf(following.followed, {
      application: `sipalg ${version}`,
      reveal,
      octets,
    })) {
      write.chunk(chunk);
      written += chunk.length;
      messages++;
    }
  } finally {
    write.close();
    following.close();
  }
  const hidden =
    options.reveal === true ? '' : '; users, credentials and bodies are hidden, --reveal shows them';
  process.stderr.write(
    `${messages} ${messages === 1 ? 'message' : 'messages'}, ${written} octets, in ${file === '-' ? 'standard output' : file}${hidden}\n`,
  );
  return exitCode.ok;
}

interface Sink {
  chunk(bytes: Uint8Array): void;
  close(): void;
}

function toStandardOutput(): Sink {
  return { chunk: writeAll, close: () => {} };
}

/** For its owner only: it says who has called whom. */
function toFile(path: string): Sink {
  let fd: number;
  try {
    fd = openSync(path, 'w', 0o600);
  } catch (error) {
    throw new EnvironmentError(
      'cli/not-writable',
      (error as Error).message,
      'name a file in a directory where you may write',
    );
  }
  return {
    chunk(bytes) {
      try {
        for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
      } catch (error) {
        throw new EnvironmentError(
          'cli/not-writable',
          `${path}: ${(error as Error).message}`,
          'make room, or name another file',
        );
      }
    },
    close: () => closeSync(fd),
  };
}

function octetsOf(size: string | undefined): number {
  if (size === undefined) return CAPTURE_OCTETS;
  const mib = Number(size);
  if (!(mib > 0 && mib <= MOST_MIB))
    throw new UsageError(`--size ${size} is not a number of MiB from 1 to ${MOST_MIB}`);
  return Math.round(mib * MIB);
}
