/** Why something could not be done at a router. Every one of them says what to do next; programs match on the code. */
export type RouterErrorCode =
  | 'routers/unreachable'
  | 'routers/not-allowed'
  | 'routers/wrong-password'
  | 'routers/no-password'
  | 'routers/host-key-changed'
  | 'routers/host-key-refused'
  | 'routers/no-common-algorithm'
  | 'routers/unknown-prompt'
  | 'routers/surprise'
  | 'routers/refused'
  | 'routers/hung-up'
  | 'routers/by-hand'
  | 'routers/no-value'
  | 'routers/not-applied'
  | 'routers/state-not-readable'
  | 'routers/no-recipe'
  | 'routers/no-gateway';

export class RouterError extends Error {
  readonly code: RouterErrorCode;
  readonly hint: string;

  constructor(code: RouterErrorCode, message: string, hint: string) {
    super(message);
    this.name = 'RouterError';
    this.code = code;
    this.hint = hint;
  }
}

/** What a device said may hold anything; a terminal gets nothing of it that is not printable. */
export function printable(text: string, limit = 400): string {
  const plain = text.replaceAll(
    /[^\x20-\x7e\n]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return plain.length > limit ? `…${plain.slice(-limit)}` : plain;
}
