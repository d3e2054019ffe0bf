/** Why a check cannot be made at all. What it finds is never an error. */
export type CheckErrorCode =
  | 'detector/unreachable'
  | 'detector/not-a-reflector'
  | 'detector/wrong-key'
  | 'detector/refused'
  | 'detector/lost';

export class CheckError extends Error {
  readonly code: CheckErrorCode;
  readonly hint: string;

  constructor(code: CheckErrorCode, message: string, hint: string) {
    super(message);
    this.name = 'CheckError';
    this.code = code;
    this.hint = hint;
  }
}
