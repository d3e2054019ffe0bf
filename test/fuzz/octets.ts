/** Octets for the targets, and how an input stands in a file: one line of printable ASCII. */

/** latin-1 text as octets of its own buffer. */
export function toOctets(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'latin1'));
}

export function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** `\r`, `\n`, `\t`, `\\` and `\xNN`; everything else as it is. */
export function escapeInput(text: string): string {
  return text.replace(/[^\x20-\x5b\x5d-\x7e]/g, (c) => {
    const named = { '\r': '\\r', '\n': '\\n', '\t': '\\t', '\\': '\\\\' }[c];
    return named ?? `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

export function unescapeInput(line: string): string {
  return line.replace(/\\(?:x([0-9a-f]{2})|(.))/g, (_, hex: string | undefined, c: string) =>
    hex === undefined
      ? ({ r: '\r', n: '\n', t: '\t' }[c] ?? c)
      : String.fromCharCode(Number.parseInt(hex, 16)),
  );
}
