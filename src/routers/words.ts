/** The words that a recipe may use, each with its meaning: the schema, the texts for people and the reference share them. */

export const algPresences = {
  yes: 'It has a SIP ALG.',
  no: 'It has no SIP ALG.',
  optional: 'Whether it has one depends on the build, or on a package that may be installed.',
  unknown: 'Nobody has shown whether it has an ALG.',
} as const;

export const algDefaults = {
  on: 'On as shipped.',
  off: 'Off as shipped.',
  varies: 'How it is shipped depends on model or firmware.',
  none: 'There is nothing to be on or off.',
  unknown: 'How it is shipped is not known.',
} as const;

export const switchabilities = {
  yes: 'It can be switched off.',
  no: 'There is no switch.',
  absent: 'There is no ALG, so there is nothing to switch off.',
  locked: 'There is a switch, and the line operator may hide or lock it.',
  unknown: 'Whether it can be switched off is not known.',
} as const;

export const verdicts = {
  holds: 'The article is right.',
  outdated: 'It was right once.',
  wrong: 'Done as told, it does not help or does harm.',
  incomplete: 'It is right, and not enough.',
  doubtful: 'There is reason to think otherwise.',
  unproven: 'Nothing was found for it or against it.',
} as const;

export const statuses = {
  'verified-on-wire': 'Tried on the device, with a test on the wire before and after.',
  documented: 'The decisive steps stand in documents or sources of the vendor or project.',
  community: 'The decisive steps come from operators or users, from more than the article.',
  contradicted: 'Sources contradict each other; the record says where.',
  'article-only': 'Only the article says so.',
  unproven: 'Nothing but hearsay; the record says what is not known.',
} as const;

export const grades = {
  vendor: 'a document of the vendor',
  project: 'source code, data or documentation of a project, or its tracker',
  community: 'operators, providers and users',
  article: 'the article that goes round, or a copy of it; it confirms nothing by itself',
  hearsay: 'said in the field; no document was read',
} as const;

export const procedureKinds = {
  web: 'the web page of the device',
  ssh: 'SSH',
  telnet: 'telnet',
  console: 'the command line, by SSH, telnet or serial console',
  api: 'an HTTP interface of the device',
  controller: 'the controller that manages the device',
  desktop: 'a program on a PC',
} as const;

export const fingerprintKinds = {
  'mac-vendor': 'who the first half of the MAC address belongs to (IEEE registry)',
  'http-title': 'the title of the login page',
  'http-server': 'the Server header field',
  'http-realm': 'the realm of WWW-Authenticate',
  'http-path': 'a path that answers only on such a device',
  certificate: 'subject or issuer of the TLS certificate',
  upnp: 'the Server of an SSDP answer, or manufacturer and model of the device description',
  'ssh-banner': 'the version string of SSH',
  'telnet-banner': 'what telnet says before the login',
  'snmp-sysdescr': 'sysDescr.0',
  engine:
    'the kind of engine that edits SIP, as `sipalg check` has seen it on the wire: helper, proxy, text-replacer, …',
} as const;

export const loginKinds = {
  none: 'no login',
  'web-form': 'a login page',
  'http-basic': 'HTTP authentication',
  'user-password': 'user name and password',
  'api-token': 'a token or key',
} as const;

/** What can be done to a text to prove a password without sending it, or to send it as the device wants it. */
export const derivations = {
  sha256: 'SHA-256, as 64 hexadecimal digits',
  md5: 'MD5, as 32 hexadecimal digits',
  base64: 'base64 of the octets of the text (UTF-8)',
} as const;

/** What an answer, or a box on a page, says about the ALG. */
export const meanings = {
  on: 'the ALG is on',
  off: 'the ALG is off',
  absent: 'there is no ALG',
  done: 'the step worked',
  failed: 'the step did not work',
} as const;

export const savings = {
  'by-itself': 'kept without a further step',
  'by-steps': 'kept only after the steps that keep it (`persist`)',
  unknown: 'whether it survives a restart is not known: restart, and check again',
} as const;

export const reboots = {
  no: 'No restart is needed.',
  yes: 'It takes effect after a restart.',
  unknown: 'Whether a restart is needed is not known.',
} as const;

export const riskLevels = {
  low: 'nothing but the ALG changes',
  medium: 'connections may be interrupted, or a feature goes',
  high: 'the network becomes less safe, or the device may become unreachable',
} as const;

export const advices = {
  do: 'worth doing',
  'if-needed': 'only where the wire shows the fault',
  'do-not': 'leave it as it is',
} as const;

/** The keys of such a table, for a picklist. */
export function wordsOf<const Table extends Readonly<Record<string, string>>>(table: Table) {
  return Object.keys(table) as [keyof Table & string, ...(keyof Table & string)[]];
}
