/**
 * Which kind of box makes such edits. What it edits and what it leaves alone is its fingerprint: a helper knows fields, a
 * replacer knows digits, a proxy writes everything anew.
 */
import type { Finding } from './comparison.ts';
import type { FaultId } from './faults.ts';
import type { Layout } from './layout.ts';

export type EngineKind =
  /** Knows the fields: topmost Via, Contact, From, To, Request-URI, SDP, Content-Length. */
  | 'helper'
  /** Replaces an address as text, wherever its digits stand. */
  | 'text-replacer'
  /** Takes messages in and writes them anew: Via of its own, Max-Forwards, other order. */
  | 'proxy'
  | 'sdp-only'
  | 'contact-only'
  | 'via-only'
  | 'drop-only'
  | 'unknown';

export interface EngineGuess {
  readonly kind: EngineKind;
  /** One sentence each. */
  readonly evidence: readonly string[];
}

const VIA: readonly FaultId[] = ['ADDR-VIA', 'ADDR-REVERSE', 'HDR-RECEIVED-FAKE', 'HDR-RPORT-STRIP'];
const CONTACT: readonly FaultId[] = ['ADDR-CONTACT', 'ADDR-CONTACT-200', 'ADDR-CONTACT-STALE'];
const OTHER_FIELDS: readonly FaultId[] = ['ADDR-RURI', 'ADDR-FROMTO', 'ADDR-ROUTE', 'ADDR-REFER'];
const SDP: readonly FaultId[] = ['SDP-C', 'SDP-M', 'SDP-PART', 'SDP-SECOND-M', 'SDP-HOLD'];
const TEXT: readonly FaultId[] = ['ADDR-GLOBAL', 'ADDR-CALLID'];
const PROXY: readonly FaultId[] = ['PROXY-B2B', 'HDR-MAXFWD'];

/** Of one message or of many: the more there are, the surer it is. Undefined where there are no findings. */
export function guessEngine(
  findings: readonly Pick<Finding, 'fault' | 'where'>[],
  sent?: Layout,
): EngineGuess | undefined {
  if (findings.length === 0) return undefined;
  const seen = (faults: readonly FaultId[]): string[] => [
    ...new Set(findings.filter(({ fault }) => faults.includes(fault)).map(({ where }) => where.line)),
  ];
  const has = (fault: FaultId): boolean => findings.some((one) => one.fault === fault);
  if (has('PROXY-B2B') || (has('HDR-MAXFWD') && has('HDR-ADD')))
    return {
      kind: 'proxy',
      evidence: [
        ...(has('HDR-ADD') ? ['It puts in header fields of its own.'] : []),
        ...(has('HDR-MAXFWD') ? ['It counts Max-Forwards down.'] : []),
        ...(has('SYN-ORDER') || has('SYN-CASE')
          ? ['It writes the header anew, in its own order and spelling.']
          : []),
      ],
    };
  const text = seen(TEXT);
  const body = findings.some(({ fault }) => fault === 'BODY-MSG' || fault === 'BODY-BLF');
  if (text.length > 0 || body) {
    return {
      kind: 'text-replacer',
      evidence: [
        ...(text.length > 0 ? [`It replaces addresses where they name no place: ${text.join(', ')}.`] : []),
        ...(body ? ['It edits bodies that are not SDP.'] : []),
      ],
    };
  }
  const via = seen(VIA);
  const contact = seen(CONTACT);
  const others = seen(OTHER_FIELDS);
  const sdp = seen(SDP);
  const proxy = seen(PROXY);
  const edited = [...via, ...contact, ...others, ...sdp];
  const left =
    sent === undefined || sent.fields.some(({ name }) => name === 'contact') ? '' : ' (there was no Contact)';
  if (edited.length > 0 && proxy.length === 0) {
    if (via.length + contact.length + others.length === 0)
      return { kind: 'sdp-only', evidence: [`It edits only ${sdp.join(', ')}.`] };
    if (via.length + others.length + sdp.length === 0)
      return { kind: 'contact-only', evidence: ['It edits the Contact and nothing else.'] };
    if (contact.length + others.length + sdp.length === 0)
      return { kind: 'via-only', evidence: [`It edits the Via and nothing else${left}.`] };
    return {
      kind: 'helper',
      evidence: [`It edits fields that name a place, and those only: ${edited.join(', ')}.`],
    };
  }
  return {
    kind: 'unknown',
    evidence: [
      `What it edits is no known fingerprint: ${[...new Set(findings.map(({ fault }) => fault))].join(', ')}.`,
    ],
  };
}
