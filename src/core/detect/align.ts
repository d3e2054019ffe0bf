/**
 * Two lists laid side by side: which element became which, what was put in, what was taken out. The order is kept; who
 * was moved is for the caller to find out.
 */

export type Aligned = readonly [sent: number | undefined, received: number | undefined];

/** Beyond so many cells the rest is paired by position: a bound on work, reached by no message that people send. */
const MAX_CELLS = 10_000;

/**
 * `similarity` is 0 (nothing to do with each other) to 1 (the same). Elements that are less than half alike are not paired.
 */
export function align(
  sent: number,
  received: number,
  similarity: (sent: number, received: number) => number,
): Aligned[] {
  let head = 0;
  while (head < sent && head < received && similarity(head, head) === 1) head++;
  let tail = 0;
  while (
    tail < sent - head &&
    tail < received - head &&
    similarity(sent - 1 - tail, received - 1 - tail) === 1
  )
    tail++;
  const result: Aligned[] = [];
  for (let i = 0; i < head; i++) result.push([i, i]);
  result.push(...middle(head, sent - tail, received - tail, similarity));
  for (let i = tail; i > 0; i--) result.push([sent - i, received - i]);
  return result;
}

function middle(
  from: number,
  sentEnd: number,
  receivedEnd: number,
  similarity: (sent: number, received: number) => number,
): Aligned[] {
  const rows = sentEnd - from;
  const columns = receivedEnd - from;
  if ((rows + 1) * (columns + 1) > MAX_CELLS) return byPosition(from, sentEnd, receivedEnd);
  // Best total likeness of the suffixes; what is paired must be at least half alike.
  const width = columns + 1;
  const best = new Float64Array((rows + 1) * width);
  const likeness = new Float64Array(rows * columns);
  for (let i = rows - 1; i >= 0; i--)
    for (let j = columns - 1; j >= 0; j--) {
      const alike = similarity(from + i, from + j);
      likeness[i * columns + j] = alike;
      const paired = alike >= 0.5 ? alike + best[(i + 1) * width + j + 1]! : 0;
      best[i * width + j] = Math.max(paired, best[(i + 1) * width + j]!, best[i * width + j + 1]!);
    }
  const result: Aligned[] = [];
  let i = 0;
  let j = 0;
  while (i < rows || j < columns) {
    if (i < rows && j < columns) {
      const alike = likeness[i * columns + j]!;
      const here = best[i * width + j]!;
      if (alike >= 0.5 && here === alike + best[(i + 1) * width + j + 1]!) {
        result.push([from + i++, from + j++]);
        continue;
      }
      if (here === best[(i + 1) * width + j]!) result.push([from + i++, undefined]);
      else result.push([undefined, from + j++]);
    } else if (i < rows) result.push([from + i++, undefined]);
    else result.push([undefined, from + j++]);
  }
  return result;
}

function byPosition(from: number, sentEnd: number, receivedEnd: number): Aligned[] {
  const result: Aligned[] = [];
  for (let i = from; i < Math.max(sentEnd, receivedEnd); i++)
    result.push([i < sentEnd ? i : undefined, i < receivedEnd ? i : undefined]);
  return result;
}

/** Of the beginning and of the end of a long text so much is looked at. */
const MAX_LOOK = 128;

/**
 * How alike two texts are: shared beginning and end over the longer one, 0 to 1. Linear, and enough for values of which
 * a piece was replaced.
 */
export function likeness(a: string, b: string): number {
  if (a === b) return 1;
  const longer = Math.max(a.length, b.length);
  const shorter = Math.min(a.length, b.length);
  const most = Math.min(shorter, MAX_LOOK);
  let head = 0;
  while (head < most && a.charCodeAt(head) === b.charCodeAt(head)) head++;
  let tail = 0;
  while (
    tail < Math.min(shorter - head, MAX_LOOK) &&
    a.charCodeAt(a.length - 1 - tail) === b.charCodeAt(b.length - 1 - tail)
  )
    tail++;
  return Math.min((head + tail) / Math.min(longer, 2 * MAX_LOOK), 0.999);
}

/** The smallest pair of ranges outside of which two texts are equal. */
export function changedRange(
  a: Uint8Array,
  aStart: number,
  aEnd: number,
  b: Uint8Array,
  bStart: number,
  bEnd: number,
): { readonly aStart: number; readonly aEnd: number; readonly bStart: number; readonly bEnd: number } {
  let i = aStart;
  let j = bStart;
  while (i < aEnd && j < bEnd && a[i] === b[j]) {
    i++;
    j++;
  }
  let k = aEnd;
  let l = bEnd;
  while (k > i && l > j && a[k - 1] === b[l - 1]) {
    k--;
    l--;
  }
  return { aStart: i, aEnd: k, bStart: j, bEnd: l };
}
