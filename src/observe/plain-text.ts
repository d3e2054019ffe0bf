/**
 * Text that steers nobody: what stands in messages gets into logs, terminals and comments, and a control character there would
 * move a cursor, or begin a line that nobody has written. So would the marks that turn the direction of what follows.
 */
export function plainText(text: string): string {
  return text.replaceAll(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]+/g, ' ');
}

/** The same for JSON, which says it with an escape of its own: what is read from it is what it was. */
export function plainJson(json: string): string {
  return json.replaceAll(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
