/** What `sipalg diff` is given: one message as raw octets, or a capture. Read piece by piece, within bounds. */
import { closeSync, openSync, readSync } from 'node:fs';
import { looksLikeSip } from '../core/detect/layout.ts';
import { MediaStreams, readMedia } from '../core/detect/media-pairing.ts';
import type { Seen } from '../core/detect/pairing.ts';
import type { CapturedDatagram } from '../observe/capture/datagram.ts';
import { CAPTURE_HEAD_BYTES, CaptureReader, isCapture } from '../observe/capture/reader.ts';

/** What cannot be read, or is none of the two; `hint` says what to do. */
export class DiffInputError extends Error {
  readonly code = 'detector/diff-input';
  readonly hint: string;

  constructor(message: string, hint: string) {
    super(message);
    this.name = 'DiffInputError';
    this.hint = hint;
  }
}

export interface MessageInput {
  readonly kind: 'message';
  readonly file: string;
  readonly bytes: Uint8Array;
}

export interface CaptureInput {
  readonly kind: 'capture';
  readonly file: string;
  readonly messages: readonly Seen[];
  readonly media: MediaStreams;
  readonly packets: number;
  /** What was not read, for people. */
  readonly notes: readonly string[];
}

/** The largest UDP datagram, and more than any SIP message that is still one. */
export const MAX_MESSAGE_BYTES = 65_535;
export const MAX_CAPTURED_MESSAGES = 50_000;
const MAX_CAPTURED_BYTES = 128 * 1_048_576;
const CHUNK_BYTES = 262_144;
const SIP_PORT = 5060;

/** Throws DiffInputError. `ports`: traffic that is taken for SIP whatever it looks like, beside 5060. */
export function readDiffInput(file: string, ports: ReadonlySet<number>): MessageInput | CaptureInput {
  const chunks = chunksOf(file);
  let head: Uint8Array = new Uint8Array(0);
  // Not a for loop: leaving it would end the generator.
  while (head.length < CAPTURE_HEAD_BYTES) {
    const { done, value } = chunks.next();
    if (done === true) break;
    head = new Uint8Array(Buffer.concat([head, value]));
  }
  if (head.length === 0)
    throw new DiffInputError(
      `${file}: the file is empty`,
      'Give a file with one SIP message in it, or a pcap or pcapng file.',
    );
  return isCapture(head) ? readCaptured(file, head, chunks, ports) : readMessage(file, head, chunks);
}

function readMessage(file: string, head: Uint8Array, rest: Iterable<Uint8Array>): MessageInput {
  const parts: Uint8Array[] = [];
  let length = 0;
  for (const chunk of chain(head, rest)) {
    parts.push(chunk);
    length += chunk.length;
    if (length > MAX_MESSAGE_BYTES)
      throw new DiffInputError(
        `${file}: it is no capture, and too long for one SIP message (more than ${MAX_MESSAGE_BYTES} octets)`,
        'Give a file with exactly one SIP message in it, or a pcap or pcapng file.',
      );
  }
  return { kind: 'message', file, bytes: new Uint8Array(Buffer.concat(parts)) };
}

function* chain(head: Uint8Array, rest: Iterable<Uint8Array>): Generator<Uint8Array> {
  yield head;
  yield* rest;
}

function readCaptured(
  file: string,
  head: Uint8Array,
  rest: Iterable<Uint8Array>,
  ports: ReadonlySet<number>,
): CaptureInput {
  const reader = new CaptureReader({ tcp: true });
  const messages: Seen[] = [];
  const media = new MediaStreams();
  let bytesKept = 0;
  let isFull = false;
  const take = (chunk: Uint8Array): void => {
    for (const datagram of reader.feed(chunk)) {
      if (isSignalling(datagram, ports)) {
        bytesKept += datagram.bytes.length;
        isFull ||= messages.length >= MAX_CAPTURED_MESSAGES || bytesKept > MAX_CAPTURED_BYTES;
        if (!isFull) messages.push(datagram);
      } else if (datagram.transport === 'udp') {
        const packet = readMedia(datagram.source, datagram.destination, datagram.timeMs, datagram.bytes);
        if (packet !== undefined) media.add(packet);
      }
    }
  };
  take(head);
  for (const chunk of rest) {
    if (isFull || reader.problem !== undefined) break;
    take(chunk);
  }
  if (!isFull) reader.end();
  const notes = notesOf(file, reader);
  if (isFull) notes.push(`${file}: more than ${messages.length} SIP messages; only the first ones are read`);
  if (messages.length === 0 && reader.problem !== undefined)
    throw new DiffInputError(
      `${file}: ${reader.problem.text} (at byte ${reader.problem.offset}), and no SIP message stands before`,
      'Capture again, and end tcpdump with Ctrl-C so that it writes the file to its end.',
    );
  return { kind: 'capture', file, messages, media, packets: reader.frames, notes };
}

/** By how it begins; on the ports of SIP whatever is no keepalive, STUN or media, because a box may have damaged it. */
function isSignalling(
  { source, destination, bytes, transport }: CapturedDatagram,
  ports: ReadonlySet<number>,
): boolean {
  if (transport === 'tcp' || looksLikeSip(bytes)) return true;
  const isPort = (port: number): boolean => port === SIP_PORT || ports.has(port);
  if (!isPort(source.port) && !isPort(destination.port)) return false;
  return bytes.length > 8 && bytes[0]! >= 0x20 && bytes[0]! < 0x7f && bytes.includes(0x0a);
}

function notesOf(file: string, reader: CaptureReader): string[] {
  const { cut, fragment, malformed } = reader.skipped;
  const notes: string[] = [];
  if (reader.problem !== undefined) notes.push(`${reader.problem.text} (at byte ${reader.problem.offset})`);
  if (reader.unknownLinkTypes.size > 0)
    notes.push(`link type ${[...reader.unknownLinkTypes].join(', ')} is not known`);
  if (cut > 0) notes.push(`${count(cut, 'packet')} cut off by the snap length of the capture (tcpdump -s 0)`);
  if (fragment > 0) notes.push(`${count(fragment, 'fragment')} without the rest of the datagram`);
  if (malformed > 0) notes.push(`${count(malformed, 'packet')} whose lengths contradict each other`);
  if (reader.gaps > 0) notes.push(`TCP segments are missing at ${count(reader.gaps, 'place')}`);
  return notes.map((note) => `${file}: ${note}`);
}

function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`;
}

function* chunksOf(file: string): Generator<Uint8Array> {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    for (;;) {
      const chunk = new Uint8Array(CHUNK_BYTES);
      const length = readSync(descriptor, chunk);
      if (length === 0) return;
      yield chunk.subarray(0, length);
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined || error instanceof DiffInputError) throw error;
    const why: Readonly<Record<string, string>> = {
      ENOENT: 'there is no such file',
      EISDIR: 'it is a directory',
      EACCES: 'it may not be read',
    };
    throw new DiffInputError(
      `${file}: ${why[code] ?? `it cannot be read (${code})`}`,
      'Give a file with one SIP message in it, or a pcap or pcapng file.',
    );
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
