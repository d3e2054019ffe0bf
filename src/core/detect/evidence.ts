/** What shows a fault: the octets of both ends. */
import type { Direction, Place } from './comparison.ts';
import type { Passage } from './passage.ts';

/** Both ends' octets of one message that shows it. */
export interface Evidence {
  readonly what: string;
  readonly direction: Direction;
  readonly transport: string;
  readonly server: string;
  readonly sent: Uint8Array;
  /** Undefined where nothing arrived. */
  readonly received: Uint8Array | undefined;
  /** Where in them; undefined where it is the message as a whole. */
  readonly where: Place | undefined;
}

export function evidenceOf(passage: Passage, where?: Place): Evidence {
  const { what, direction, transport, portKind, server, sent, received } = passage;
  return { what, direction, transport, server: `${portKind} port ${server.port}`, sent, received, where };
}
