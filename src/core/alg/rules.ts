/**
 * The policy as a table: every reason for which a byte may change. An edit names its rule, and a rule names its source.
 * What has no rule here is never touched.
 */

export interface Rule {
  readonly id: string;
  /** RFC and section that makes this field an address to be reached (or a length to be kept true). */
  readonly source: string;
  /** One sentence for people: what is changed. */
  readonly summary: string;
  /** What a user sees when the rule is off and the other side believes what messages say. */
  readonly without: string;
  readonly direction: 'out' | 'in' | 'both';
  readonly default: boolean;
}

export const rules = [
  {
    id: 'via.sent-by',
    source: 'RFC 3261 §18.1.1',
    summary:
      'The topmost Via of a request names the external endpoint, so that the response comes back to it.',
    without: 'A provider that answers to the Via sends its responses to a private address: nothing works.',
    direction: 'out',
    default: true,
  },
  {
    id: 'via.sent-by.restore',
    source: 'RFC 3261 §18.1.2',
    summary: 'The topmost Via of a response gets back exactly what the phone wrote.',
    without: 'The phone does not recognise its own Via and discards the response.',
    direction: 'in',
    default: true,
  },
  {
    id: 'via.received.restore',
    source: 'RFC 3581 §4',
    summary: 'received and rport name the phone as it sees itself: both of them, or neither.',
    without: 'Some phones see an address that is not theirs, and register again and again.',
    direction: 'in',
    default: true,
  },
  {
    id: 'contact.host-port',
    source: 'RFC 3261 §8.1.1.8',
    summary: "A Contact that names the phone names the mapping's external endpoint.",
    without: 'Requests to the phone (incoming calls, ACK, BYE) go to a private address.',
    direction: 'out',
    default: true,
  },
  {
    id: 'contact.restore',
    source: 'RFC 3261 §10.3',
    summary: "In a response to REGISTER, the phone's own contact bindings get back what the phone wrote.",
    without: 'The phone does not find its contact binding in the list and thinks that it is not registered.',
    direction: 'in',
    default: true,
  },
  {
    id: 'request-uri.host-port',
    source: 'RFC 3261 §12.2.1.1',
    summary:
      'A Request-URI that names the external endpoint gets the host and port of the Contact that the phone gave.',
    without: 'The phone is asked for an address that is not its own, and answers 404.',
    direction: 'in',
    default: true,
  },
  {
    id: 'refer-to.host-port',
    source: 'RFC 3515 §2.1',
    summary:
      'A Refer-To that names a live mapping names the endpoint at which it can be reached from the other side.',
    without: 'A transfer to a phone behind this gateway calls a private address.',
    direction: 'both',
    default: true,
  },
  {
    id: 'record-route.host-port',
    source: 'RFC 3261 §16.6',
    summary: 'A Record-Route entry of a proxy inside that is declared names its external endpoint.',
    without: 'Requests inside a dialog (ACK, BYE, re-INVITE) are sent to a private address, past the proxy.',
    direction: 'out',
    default: true,
  },
  {
    id: 'record-route.restore',
    source: 'RFC 3261 §16.4',
    summary:
      'The same entry gets back what the proxy wrote, as Route of a request and Record-Route of a response.',
    without: 'The proxy does not recognise itself in the Route, and sends the request out again.',
    direction: 'in',
    default: true,
  },
  {
    id: 'via.own',
    source: 'RFC 3261 §16.6',
    summary:
      "Explicit mode: a request to the phone carries the gateway's Via on top, and its response loses it again.",
    without: 'The phone answers to the provider directly, past the gateway, and the incoming call dies.',
    direction: 'both',
    default: true,
  },
  {
    id: 'route.own',
    source: 'RFC 3261 §16.4',
    summary: 'Explicit mode: the Route that names the gateway itself is taken off.',
    without: 'The next proxy sends the request back to the gateway.',
    direction: 'out',
    default: true,
  },
  {
    id: 'sdp.connection',
    source: 'RFC 8866 §5.7',
    summary: 'Connection data that names the phone names the address at which its media can be reached.',
    without: 'The other side sends its audio to a private address: the caller hears nothing.',
    direction: 'both',
    default: true,
  },
  {
    id: 'sdp.media-port',
    source: 'RFC 8866 §5.14',
    summary: 'The port of a media description is the port at which the media can be reached.',
    without: 'Audio arrives at a port that leads to nobody, or to another phone.',
    direction: 'both',
    default: true,
  },
  {
    id: 'sdp.rtcp',
    source: 'RFC 3605 §2.1',
    summary: 'a=rtcp names the port (and the address, where it is given) at which RTCP can be reached.',
    without: 'Quality reports are lost; some providers end the call.',
    direction: 'both',
    default: true,
  },
  {
    id: 'sdp.candidate',
    source: 'RFC 8839 §5.1',
    summary:
      'With ice = translate-all, every ICE candidate of the phone names where it can be reached from outside.',
    without: 'Nothing: ICE finds a way by itself, so a description with ICE is left whole unless asked for.',
    direction: 'out',
    default: false,
  },
  {
    id: 'sdp.origin',
    source: 'RFC 8866 §5.2',
    summary: 'The address in o= is translated too. It only has to be unique, so it is kept unless asked for.',
    without: 'Nothing: the origin is an identifier, and nobody sends anything to it.',
    direction: 'both',
    default: false,
  },
  {
    id: 'content-length',
    source: 'RFC 3261 §20.14',
    summary: 'Content-Length changes by exactly as many bytes as the body did.',
    without: 'The end of the SDP is cut off, or a TCP stream loses its framing.',
    direction: 'both',
    default: true,
  },
] as const satisfies readonly Rule[];

export type RuleId = (typeof rules)[number]['id'];

const byId = Object.fromEntries(rules.map((rule) => [rule.id, rule])) as Readonly<Record<RuleId, Rule>>;

export function ruleById(id: RuleId): Rule {
  return byId[id];
}
