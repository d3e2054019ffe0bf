/**
 * The control channel's framing: one JSON object a line, over TLS. A line has a bound, and a peer that sends a longer one
 * has lost the channel: nothing is kept for it.
 */

/** Longest line in octets: the largest datagram (65 507 octets) in base64, and what is said about it. */
export const MAX_LINE = 96 * 1024;

export class LineReader {
  #pending: Buffer[] = [];
  #length = 0;

  /** The lines that are whole now, without their ends; undefined where one grows beyond the bound. */
  feed(chunk: Buffer): string[] | undefined {
    const lines: string[] = [];
    let rest = chunk;
    for (let end = rest.indexOf(0x0a); end >= 0; end = rest.indexOf(0x0a)) {
      if (this.#length + end > MAX_LINE) return undefined;
      lines.push(Buffer.concat([...this.#pending, rest.subarray(0, end)]).toString('utf8'));
      this.#pending = [];
      this.#length = 0;
      rest = rest.subarray(end + 1);
    }
    this.#length += rest.length;
    if (this.#length > MAX_LINE) return undefined;
    if (rest.length > 0) this.#pending.push(rest);
    return lines;
  }
}
