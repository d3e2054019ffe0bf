/** Where findings are written down while two messages are compared, with the octets that they are about. */
import type { Span } from '../net/span.ts';
import { textOf } from '../sip/octets.ts';
import type { Confidence, Finding } from './comparison.ts';
import { type FaultId, faultById } from './faults.ts';
import { printable } from './octet-text.ts';

/** The same stretch in both messages; one of the two is empty where something was put in or taken out. */
export interface Stretch {
  readonly sent: Span;
  readonly received: Span;
}

export interface Note extends Stretch {
  readonly fault: FaultId;
  readonly line: string;
  readonly explanation: string;
  /** Default false. */
  readonly consistent?: boolean;
}

/** More findings than this are not listed one by one: nobody reads them, and a hostile message could make any number. */
export const MAX_FINDINGS = 200;

export class Ledger {
  readonly findings: Finding[] = [];
  /** Octets that differ and need no name: Content-Length that follows the body, what the receiver itself has added. */
  readonly explained: Stretch[] = [];
  readonly sent: Uint8Array;
  readonly received: Uint8Array;
  readonly #confidence: Confidence;

  constructor(sent: Uint8Array, received: Uint8Array, confidence: Confidence) {
    this.sent = sent;
    this.received = received;
    this.#confidence = confidence;
  }

  add(note: Note): void {
    const { fault, line, sent, received, explanation, consistent = false } = note;
    if (this.findings.length >= MAX_FINDINGS && fault !== 'X-UNKNOWN') return;
    this.findings.push({
      fault,
      severity: consistent ? 1 : faultById(fault).severity,
      consistent,
      where: { line: printable(line), sent, received },
      sent: this.sent.subarray(sent.start, sent.end),
      received: this.received.subarray(received.start, received.end),
      explanation: printable(explanation),
      confidence: this.#confidence,
    });
  }

  sentText(span: Span): string {
    return textOf(this.sent, span.start, span.end);
  }

  receivedText(span: Span): string {
    return textOf(this.received, span.start, span.end);
  }

  /** Whether the two ranges hold the same octets. */
  same(sent: Span, received: Span): boolean {
    if (sent.end - sent.start !== received.end - received.start) return false;
    for (let i = sent.start, j = received.start; i < sent.end; i++, j++)
      if (this.sent[i] !== this.received[j]) return false;
    return true;
  }
}

export function emptyAt(offset: number): Span {
  return { start: offset, end: offset };
}
