/**
 * Problems: what is wrong with a configuration, as data. All of them are reported at once, each with its place and the
 * way to mend it. People match on the text, programs on the code.
 */

export const problemCodes = {
  'config/not-readable': 'The configuration file cannot be read.',
  'config/syntax':
    'The file is not TOML. Only the first such place is reported, because nothing after it can be trusted.',
  'config/too-long': 'The file, or one statement in it, is longer than what is read.',
  'config/unknown-key': 'No such key exists: a slip of the pen, or a key of another version.',
  'config/missing-key': 'A key that has no default is missing.',
  'config/wrong-type': 'The value has another type than the key takes.',
  'config/not-one-of': 'The key takes one of a few words, and this is none of them.',
  'config/not-a-number-in-range': 'The number is too small or too large for what it stands for.',
  'config/not-an-interface': 'The text cannot be the name of a network interface.',
  'config/not-an-address': 'The text is not an IPv4 or IPv6 address.',
  'config/not-a-prefix': 'The text is neither an address nor a network in CIDR notation.',
  'config/not-an-endpoint': 'The text is not an address with a port.',
  'config/not-a-port-range': 'The text is not a range of ports, LOW-HIGH.',
  'config/port-range-odd':
    'RTP and RTCP take an even port and the odd one after it, so a media range holds whole pairs.',
  'config/one-engine': 'Several engine threads are asked for where there can only be one, or fewer.',
  'config/port-range-overlap': 'Two uses of ports get in the way of each other.',
  'config/tls-port':
    'SIP over TLS is encrypted from end to end of the connection: nothing can intercept it usefully.',
  'config/not-a-host-name': 'The text cannot be the name of a host.',
  'config/not-editable':
    'The file is written in a way that a program cannot change without the risk of changing something else.',
  'config/not-writable': 'The configuration file cannot be written by the user that runs the gateway.',
  'config/not-a-collector': 'The text is not a transport, a host and a port.',
  'config/nothing-kept':
    'What is shown or exported is taken from the memory of messages, which is switched off.',
  'config/not-a-chain': 'The text does not name a chain of nftables.',
  'config/not-absolute': 'A path must not depend on the directory from which the gateway is started.',
  'config/duplicate': 'The same thing is said twice.',
  'config/interface-both-sides': 'One interface cannot be internal and external.',
  'config/two-modes': 'The transparent mode (interfaces) and the explicit mode (listen) exclude each other.',
  'config/observe-explicit': 'Messages that are addressed to the gateway itself cannot go on as they came.',
  'config/no-mode': 'Nothing says where the phones and the provider are.',
} as const satisfies Record<`config/${string}`, string>;

export type ProblemCode = keyof typeof problemCodes;

export interface Problem {
  readonly code: ProblemCode;
  /** The file as the operator named it, or `command line`. */
  readonly file: string;
  /** From 1; absent where the problem has no one place (a missing file, the command line). */
  readonly line?: number;
  readonly column?: number;
  /** What is wrong, with the key and the value in it. */
  readonly what: string;
  /** How to mend it: an instruction. */
  readonly remedy: string;
}

/** `gw.toml:7: config/port-range-odd: … — …` */
export function formatProblem(problem: Problem): string {
  const place = problem.line === undefined ? problem.file : `${problem.file}:${problem.line}`;
  return `${place}: ${problem.code}: ${problem.what} — ${problem.remedy}`;
}
