/** What a differ found, and the JSON of it. */

import { formatEndpoint } from '../net/address.ts';
import type { Direction, Finding, KnownMapping, VerdictKind } from './comparison.ts';
import type { EngineGuess } from './engine-fingerprint.ts';
import { faultById } from './faults.ts';
import type { MediaPairing } from './media-pairing.ts';
import { octetText } from './octet-text.ts';
import type { OneSided } from './one-sided.ts';
import { adviceFor, type Observation } from './verdict.ts';

/** Which message a finding is about. */
export interface MessageLabel {
  /** `INVITE`, `200 to REGISTER`. */
  readonly what: string;
  readonly direction: Direction;
  /** Numbers of the packets; undefined where the input was no capture. */
  readonly sentFrame: number | undefined;
  readonly receivedFrame: number | undefined;
}

export interface DiffFinding extends Finding {
  readonly message: MessageLabel;
}

export interface DiffReport {
  readonly kind: 'messages' | 'captures' | 'single';
  readonly verdict: VerdictKind;
  readonly findings: readonly DiffFinding[];
  readonly unpaired: readonly OneSided[];
  readonly unpairedMedia: MediaPairing['lonely'];
  readonly engine: EngineGuess | undefined;
  readonly mappings: readonly KnownMapping[];
  readonly clockSkewMs: number | undefined;
  /** Pairs of messages that were compared. */
  readonly compared: number;
  readonly notes: readonly string[];
  /** The messages themselves, for the text. */
  readonly evidence: readonly {
    readonly message: MessageLabel;
    readonly sent: Uint8Array;
    readonly received: Uint8Array;
  }[];
}

/** Findings and messages that did not pass, as the verdict and the advice take them. */
export function observationsOf({ findings, unpaired }: DiffReport): Observation[] {
  return [
    ...findings,
    ...unpaired.flatMap(({ fault, explanation }): Observation[] =>
      fault === undefined
        ? []
        : [{ fault, severity: faultById(fault).severity, consistent: false, confidence: 'A', explanation }],
    ),
  ];
}

/** Plain data; `shown` hides what is to be hidden in a text. */
export function reportJson(report: DiffReport, shown: (text: string) => string): unknown {
  return {
    verdict: report.verdict,
    confidence: report.kind === 'single' ? 'C' : 'A',
    findings: report.findings.map(
      ({ fault, severity, consistent, where, sent, received, explanation, confidence, message }) => ({
        fault,
        severity,
        where: where.line,
        sent: shown(octetText(sent)),
        received: shown(octetText(received)),
        explanation: shown(explanation),
        title: faultById(fault).title,
        symptom: faultById(fault).symptom,
        consistent,
        confidence,
        spans: { sent: where.sent, received: where.received },
        message: {
          what: message.what,
          direction: message.direction,
          ...(message.sentFrame === undefined
            ? {}
            : { sentFrame: message.sentFrame, receivedFrame: message.receivedFrame }),
        },
      }),
    ),
    unpaired: report.unpaired.map(({ side, seen, what, fault, explanation }) => ({
      side,
      what,
      frame: seen.frame,
      timeMs: seen.timeMs,
      transport: seen.transport,
      source: formatEndpoint(seen.source),
      destination: formatEndpoint(seen.destination),
      fault: fault ?? null,
      explanation,
    })),
    unpairedMedia: report.unpairedMedia.map(({ side, stream }) => ({
      side,
      ssrc: stream.ssrc,
      source: formatEndpoint(stream.source),
      destination: formatEndpoint(stream.destination),
      packets: stream.packets,
    })),
    engine: report.engine ?? null,
    mappings: report.mappings.map(({ inside, outside }) => ({
      inside: formatEndpoint(inside),
      outside: formatEndpoint(outside),
    })),
    clockSkewMs: report.clockSkewMs ?? null,
    compared: report.compared,
    advice: adviceFor(observationsOf(report)).map(({ id, what, why, against }) => ({
      id,
      what,
      why,
      against,
    })),
    notes: report.notes,
  };
}
