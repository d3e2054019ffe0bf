/**
 * A connection that has not said whose it is. On a SIP port it has to name a session in its first octets. On the control
 * port a hello may come, SIP over TLS, or a WebSocket. A hello may also come over TLS on any other port: what a firewall lets
 * through cannot be known beforehand. Until it is known, nothing but a WebSocket's handshake is written.
 */
import type { Socket as TcpSocket } from 'node:net';
import { type Endpoint, parseAddress } from '../../core/net/address.ts';
import { FrameReader, frameOf, upgradeAnswer } from '../control/websocket.ts';
import { isHttp } from './page.ts';
import { onlySessionOf, type Session, type Stream, sessionNamed } from './session.ts';

/** What the control port is to clients that speak SIP on it. */
export interface ControlPlaces {
  tls: number;
  wss: number;
}

export interface Introduction {
  /** Time to say it. */
  readonly withinMs: number;
  readonly sessions: Iterable<Session>;
  /** It begins TLS on a port that is not TLS's; these are its first octets. Undefined where it is TLS already. */
  readonly onTls: ((head: Buffer) => void) | undefined;
  /** It is a control channel: these are its first octets. */
  onHello(head: Buffer): void;
  /** It speaks HTTP, and wants no WebSocket: these are its first octets. */
  onHttp(head: Buffer): void;
  /** It has said nothing that we know in time. */
  onNobody(): void;
  /** It is a stranger no longer, whatever has become of it. */
  onEnd(): void;
}

export function introduce(
  socket: TcpSocket,
  from: Endpoint,
  at: number | ControlPlaces,
  { withinMs, sessions, onTls, onHello, onHttp, onNobody, onEnd }: Introduction,
): void {
  const timer = setTimeout(() => {
    onNobody();
    socket.destroy();
  }, withinMs);
  const chunks: Buffer[] = [];
  let place = typeof at === 'number' ? at : undefined;
  let frames: FrameReader | undefined;
  const read = (data: Buffer): void => {
    chunks.push(...(frames === undefined ? [data] : (frames.feed(data) ?? [])));
    const head = Buffer.concat(chunks);
    const isLong = head.length >= MOST_BEFORE_NAME;
    // A handshake of TLS begins so (RFC 8446 §5.1); no message of SIP does.
    if (onTls !== undefined && head[0] === 0x16) {
      introduced();
      onTls(head);
      return;
    }
    // A hello is JSON; SIP and HTTP begin with a method. It holds a token, which nobody should read on the way.
    if (onTls === undefined && head[0] === 0x7b && frames === undefined) {
      if (!head.includes(0x0a) && !isLong) return;
      introduced();
      onHello(head);
      return;
    }
    if (typeof at !== 'number' && place === undefined) {
      if (!/^(?:GET |POST)/.test(head.toString('latin1', 0, 4))) place = at.tls;
      else if (head.includes('\r\n\r\n')) {
        const answer = upgradeAnswer(head.toString('latin1'));
        if (answer === undefined) {
          introduced();
          if (isHttp(head.toString('latin1'))) onHttp(head);
          else socket.destroy();
          return;
        }
        socket.write(answer);
        frames = new FrameReader();
        chunks.length = 0;
        place = at.wss;
        return;
      } else {
        if (isLong) socket.destroy();
        return;
      }
    }
    if (place === undefined) return;
    const session =
      sessionNamed(sessions, head) ?? (isLong ? onlySessionOf(sessions, from.address) : undefined);
    if (session !== undefined) {
      introduced();
      joinStream(session, socket, place, from, chunks, frames);
    } else if (isLong) socket.destroy();
  };
  const introduced = (): void => {
    clearTimeout(timer);
    socket.removeListener('data', read);
    socket.removeListener('close', introduced);
    onEnd();
  };
  socket.on('data', read);
  socket.once('close', introduced);
}

function joinStream(
  session: Session,
  socket: TcpSocket,
  place: number,
  from: Endpoint,
  chunks: readonly Buffer[],
  frames: FrameReader | undefined,
): void {
  const wrap = (bytes: Uint8Array): Uint8Array => (frames === undefined ? bytes : frameOf(bytes));
  const stream: Stream = {
    write: (bytes, end) => {
      // A client that has much written and reads nothing would fill our memory.
      if (socket.writableLength > MOST_UNREAD) socket.destroy();
      else if (end) socket.end(wrap(bytes));
      else socket.write(wrap(bytes));
    },
    destroy: () => void socket.destroy(),
  };
  const connection = session.connected(place, from, stream);
  if (connection === undefined) {
    socket.destroy();
    return;
  }
  for (const chunk of chunks) session.chunk(connection, chunk);
  let how = 'closed';
  socket.on('data', (data: Buffer) => {
    for (const chunk of frames === undefined ? [data] : (frames.feed(data) ?? []))
      session.chunk(connection, chunk);
  });
  socket.once('error', (error: NodeJS.ErrnoException) => {
    how = error.code ?? error.message;
  });
  socket.once('close', () => session.closed(connection, how));
}

export function remoteOf(socket: TcpSocket): Endpoint | undefined {
  const address = parseAddress(socket.remoteAddress ?? '');
  return address === undefined || socket.remotePort === undefined
    ? undefined
    : { address, port: socket.remotePort };
}

/** Octets within which a connection has to name its session: a message whose tag stands behind a long first line. */
const MOST_BEFORE_NAME = 4_096;
/** Octets that may wait to be read in one connection. */
const MOST_UNREAD = 256 * 1024;
