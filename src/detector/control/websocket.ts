/**
 * As much of WebSocket (RFC 6455) as SIP over it needs (RFC 7118): the opening handshake, and one whole message a frame.
 * Frames from the client are masked, those from the server are not (§5.3).
 */
import { createHash } from 'node:crypto';

/** Longest message in octets. */
const MOST = 65_536;
const TEXT = 1;
const BINARY = 2;
/** §1.3. */
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

export function acceptKey(key: string): string {
  return createHash('sha1')
    .update(key + GUID)
    .digest('base64');
}

/** What the client asks with; `key` is 16 random octets in base64. */
export function upgradeRequest(host: string, key: string): string {
  return [
    'GET / HTTP/1.1',
    `Host: ${host}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Key: ${key}`,
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Protocol: sip',
    '',
    '',
  ].join('\r\n');
}

/** What the server answers to the header of a request; undefined where it asks for something else. */
export function upgradeAnswer(header: string): string | undefined {
  const key = /\r\nsec-websocket-key:[ \t]*([A-Za-z0-9+/=]{24})[ \t]*\r\n/i.exec(header)?.[1];
  if (key === undefined || !/^GET \S+ HTTP\/1\.1\r\n/.test(header)) return undefined;
  return [
    'HTTP/1.1 101 Switching Protocols',
    'Upgrade: websocket',
    'Connection: Upgrade',
    `Sec-WebSocket-Accept: ${acceptKey(key)}`,
    'Sec-WebSocket-Protocol: sip',
    '',
    '',
  ].join('\r\n');
}

/** One text frame; with `mask` (4 random octets), as a client sends it. */
export function frameOf(payload: Uint8Array, mask?: Uint8Array): Buffer {
  const { length } = payload;
  const masked = mask === undefined ? 0 : 0x80;
  const head =
    length < 126
      ? Buffer.from([0x80 | TEXT, masked | length])
      : Buffer.from([0x80 | TEXT, masked | 126, length >> 8, length & 0xff]);
  if (mask === undefined) return Buffer.concat([head, payload]);
  return Buffer.concat([head, mask, payload.map((octet, i) => octet ^ mask[i % 4]!)]);
}

/** Takes frames out of a stream; control frames are passed over. */
export class FrameReader {
  #pending = Buffer.alloc(0);

  /** The payloads that are whole now; undefined where the stream is no WebSocket that we speak. */
  feed(chunk: Uint8Array): Buffer[] | undefined {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const found: Buffer[] = [];
    for (;;) {
      const bytes = this.#pending;
      if (bytes.length < 2) return found;
      const isMasked = (bytes[1]! & 0x80) !== 0;
      let length = bytes[1]! & 0x7f;
      let at = 2;
      if (length === 127) return undefined;
      if (length === 126) {
        if (bytes.length < 4) return found;
        length = bytes.readUInt16BE(2);
        at = 4;
      }
      if (length > MOST) return undefined;
      const mask = isMasked ? bytes.subarray(at, at + 4) : undefined;
      if (isMasked) at += 4;
      if (bytes.length < at + length) return found;
      const payload = Buffer.from(bytes.subarray(at, at + length));
      if (mask !== undefined) for (let i = 0; i < length; i++) payload[i] = payload[i]! ^ mask[i % 4]!;
      this.#pending = Buffer.from(bytes.subarray(at + length));
      const opcode = bytes[0]! & 0x0f;
      // Fragments (§5.4) are not sent by us, and not understood.
      if ((opcode === TEXT || opcode === BINARY) && (bytes[0]! & 0x80) === 0) return undefined;
      if (opcode === TEXT || opcode === BINARY) found.push(payload);
      else if (opcode < 8) return undefined;
    }
  }
}
