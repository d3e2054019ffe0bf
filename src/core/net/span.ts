/** A span: a half-open range of bytes of one message. */
export interface Span {
  /** First byte, from 0. */
  readonly start: number;
  /** One past the last byte. */
  readonly end: number;
}
