/** What `sipalg explain` is given: one message, several in one text, or a capture. */
import { closeSync, openSync, readSync } from 'node:fs';
import type { CallPacket } from '../core/alg/explain-call.ts';
import { isSignalling } from '../core/alg/explain-call.ts';
import { CAPTURE_HEAD_BYTES, CaptureReader, isCapture } from '../observe/capture/reader.ts';
import { type Piece, splitMessages } from './explain-text.ts';
import { UsageError } from './failure.ts';

export type ExplainInput =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'text'; readonly pieces: readonly Piece[] }
  | {
      readonly kind: 'capture';
      readonly packets: readonly CallPacket[];
      readonly frames: number;
      /** What was not read, for people. */
      readonly notes: readonly string[];
    };

/** The largest UDP datagram, and more than any SIP message that is still one. */
const MAX_MESSAGE_BYTES = 65_535;
const MAX_TEXT_BYTES = 16 * 1_048_576;
const MAX_CAPTURED_MESSAGES = 20_000;
const MAX_CAPTURED_BYTES = 64 * 1_048_576;
const CHUNK_BYTES = 262_144;

export interface InputOptions {
  /** The input is one datagram, whatever it looks like. */
  readonly datagram: boolean;
  /** Ports whose traffic is taken for SIP. */
  readonly ports: ReadonlySet<number>;
}

/** Throws a UsageError for what cannot be read, and for what no gateway would ever see. */
export function readInput(file: string, options: InputOptions): ExplainInput {
  const chunks = chunksOf(file);
  let head: Uint8Array = new Uint8Array(0);
  // Not a for loop: leaving it would end the generator.
  while (head.length < CAPTURE_HEAD_BYTES) {
    const { done, value } = chunks.next();
    if (done === true) break;
    head = joined([head, value]);
  }
  return !options.datagram && isCapture(head)
    ? readCaptured(file, head, chunks, options.ports)
    : readText(file, head, chunks, options.datagram);
}

function readText(
  file: string,
  head: Uint8Array,
  rest: Iterable<Uint8Array>,
  isDatagram: boolean,
): ExplainInput {
  const parts = [head];
  let length = head.length;
  for (const chunk of rest) {
    parts.push(chunk);
    length += chunk.length;
    if (length > MAX_TEXT_BYTES)
      throw new UsageError(
        `${file}: more than ${MAX_TEXT_BYTES} bytes, and not a capture`,
        'Give a file with SIP messages in it, or a pcap or pcapng file.',
      );
  }
  const bytes = joined(parts);
  const pieces = isDatagram ? [] : splitMessages(bytes);
  const messages = pieces.filter(({ kind }) => kind === 'message');
  if (messages.length < 2) {
    if (bytes.length > MAX_MESSAGE_BYTES)
      throw new UsageError(
        `${file}: ${bytes.length} bytes are more than one SIP message over UDP can have (${MAX_MESSAGE_BYTES})`,
        'Give a file with one message in it, several with a Content-Length each, or a pcap or pcapng file.',
      );
    return { kind: 'message', bytes };
  }
  for (const [index, one] of messages.entries())
    if (one.bytes.length > MAX_MESSAGE_BYTES)
      throw new UsageError(
        `${file}: message ${index + 1} at byte ${one.offset} has ${one.bytes.length} bytes, more than one SIP message over UDP can have (${MAX_MESSAGE_BYTES})`,
        'Each message but the last needs a Content-Length that says where it ends.',
      );
  return { kind: 'text', pieces };
}

function readCaptured(
  file: string,
  head: Uint8Array,
  rest: Iterable<Uint8Array>,
  ports: ReadonlySet<number>,
): ExplainInput {
  const reader = new CaptureReader({ tcp: true });
  const packets: CallPacket[] = [];
  let bytesKept = 0;
  let isFull = false;
  const take = (chunk: Uint8Array): void => {
    for (const { timeMs, transport, source, destination, bytes } of reader.feed(chunk)) {
      if (!isSignalling(source, destination, bytes, ports)) continue;
      bytesKept += bytes.length;
      isFull = packets.length >= MAX_CAPTURED_MESSAGES || bytesKept > MAX_CAPTURED_BYTES;
      if (isFull) return;
      packets.push({ bytes, seen: { timeMs, transport, source, destination } });
    }
  };
  take(head);
  for (const chunk of rest) {
    if (isFull || reader.problem !== undefined) break;
    take(chunk);
  }
  if (!isFull) reader.end();
  const notes = notesOf(reader);
  if (isFull) notes.push(`it has more than ${packets.length} SIP messages: only the first ones are read`);
  if (packets.length === 0)
    throw new UsageError(
      `${file}: no SIP message in ${reader.frames} ${reader.frames === 1 ? 'packet' : 'packets'}${notes.map((note) => `; ${note}`).join('')}`,
      'Another port than 5060: name it with --config FILE ([signalling] ports) or in a --mapping.',
    );
  return { kind: 'capture', packets, frames: reader.frames, notes };
}

function notesOf(reader: CaptureReader): string[] {
  const { cut, fragment, malformed } = reader.skipped;
  const notes: string[] = [];
  if (reader.problem !== undefined) notes.push(`${reader.problem.text} (at byte ${reader.problem.offset})`);
  if (reader.unknownLinkTypes.size > 0)
    notes.push(`link type ${[...reader.unknownLinkTypes].join(', ')} is not known`);
  if (cut > 0) notes.push(`${count(cut, 'packet')} cut off by the snap length of the capture (tcpdump -s 0)`);
  if (fragment > 0) notes.push(`${count(fragment, 'fragment')} without the rest of the datagram`);
  if (malformed > 0) notes.push(`${count(malformed, 'packet')} whose lengths contradict each other`);
  if (reader.gaps > 0)
    notes.push(
      `${count(reader.gaps, 'gap')} in TCP streams, where the capture lacks segments: what lay there is not read`,
    );
  return notes;
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

/** The file piece by piece; `-` is standard input. */
function* chunksOf(file: string): Generator<Uint8Array> {
  let descriptor: number | undefined;
  try {
    descriptor = file === '-' ? 0 : openSync(file, 'r');
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const length = readSome(descriptor, chunk);
      if (length === 0) return;
      yield chunk.subarray(0, length);
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined || error instanceof UsageError) throw error;
    throw new UsageError(
      `${file}: ${code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`}`,
      'Give the file with one SIP message in it, or - for standard input.',
    );
  } finally {
    if (descriptor !== undefined && descriptor !== 0) closeSync(descriptor);
  }
}

function readSome(descriptor: number, into: Uint8Array): number {
  for (;;) {
    try {
      return readSync(descriptor, into);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      // Standard input in non-blocking mode: wait a little for its writer.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}
