/** Files that softphones play and record: 16-bit mono at 8000 samples a second. */
export const RATE = 8000;
const TONE_SECONDS = 60;
export const HEADER_BYTES = 44;

/** A minute of a tone. */
export function toneFile(hertz: number): Buffer {
  const samples = RATE * TONE_SECONDS;
  const file = Buffer.alloc(44 + samples * 2);
  file.write('RIFF', 0, 'latin1');
  file.writeUInt32LE(36 + samples * 2, 4);
  file.write('WAVEfmt ', 8, 'latin1');
  file.writeUInt32LE(16, 16);
  file.writeUInt16LE(1, 20);
  file.writeUInt16LE(1, 22);
  file.writeUInt32LE(RATE, 24);
  file.writeUInt32LE(RATE * 2, 28);
  file.writeUInt16LE(2, 32);
  file.writeUInt16LE(16, 34);
  file.write('data', 36, 'latin1');
  file.writeUInt32LE(samples * 2, 40);
  for (let i = 0; i < samples; i++) {
    file.writeInt16LE(Math.round(12_000 * Math.sin((2 * Math.PI * hertz * i) / RATE)), 44 + i * 2);
  }
  return file;
}

/** The samples of a 16-bit mono file that may still be being written (its header is not final). */
export function wavSamples(file: Buffer): Int16Array {
  const data = file.indexOf('data', 12, 'latin1');
  if (data < 0) return new Int16Array(0);
  return samplesOf(file.subarray(data + 8));
}

export function samplesOf(bytes: Buffer): Int16Array {
  const samples = new Int16Array(Math.floor(bytes.length / 2));
  for (let i = 0; i < samples.length; i++) samples[i] = bytes.readInt16LE(i * 2);
  return samples;
}
