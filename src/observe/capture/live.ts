/** A capture of what is followed: octets of a pcapng file, as they become available. */
import type { Followed } from '../follow.ts';
import { PcapngWriter } from './pcapng-writer.ts';

export interface CaptureOptions {
  /** Name and version of what writes it. */
  readonly application: string;
  readonly reveal: boolean;
  /** Octets after which it ends. */
  readonly octets?: number;
}

/** Default bound of one capture. */
export const CAPTURE_OCTETS = 256 * 1024 * 1024;

const MADE =
  'Messages as the gateway received and sent them, in packets made for them: a message over TCP is one segment, and connections have neither handshake nor end.';
const MASKED =
  'Users, credentials, keys and bodies are hidden, each hidden octet as an x; addresses, ports and codecs are as they were.';

export async function* captureOf(
  followed: AsyncIterable<Followed>,
  options: CaptureOptions,
): AsyncGenerator<Uint8Array> {
  const { application, reveal, octets = CAPTURE_OCTETS } = options;
  const writer = new PcapngWriter();
  const head = writer.head(application, reveal ? MADE : `${MADE} ${MASKED}`);
  let written = head.length;
  yield head;
  let lost = 0;
  for await (const { exchanges, missed } of followed) {
    lost += missed;
    for (const exchange of exchanges) {
      const remark = lost === 0 ? [] : [`${lost} messages before this one are missing: they came too fast`];
      const packets = writer.packets(exchange, remark);
      if (packets.length === 0) continue;
      lost = 0;
      written += packets.length;
      if (written > octets) return;
      yield packets;
    }
  }
}
