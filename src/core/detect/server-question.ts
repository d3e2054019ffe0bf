/** The requests that somebody else's server is asked: each as a phone would write it, and no more of them than it takes. */
import { type Endpoint, formatHost } from '../net/address.ts';
import { octetsOf } from '../sip/octets.ts';

export interface ServerQuestion {
  /** 16 letters or more, none of which a box could take for an address; stands in branch, tag, user part and Call-ID. */
  readonly id: string;
  readonly method: 'OPTIONS' | 'REGISTER';
  readonly transport: 'udp' | 'tcp';
  readonly inside: Endpoint;
  /** As it is written in the Request-URI: a name, or an address. */
  readonly host: string;
  readonly port: number | undefined;
  /** Default 70. */
  readonly maxForwards?: number;
  /** A second Via, as if a proxy inside had sent it: the answer has to bring it back as it was. */
  readonly innerVia?: boolean;
  /** The own address in From as well, where boxes that replace text find it. */
  readonly addressInFrom?: boolean;
  /** REGISTER: seconds. Default 60. */
  readonly expires?: number;
  readonly cseq?: number;
  /** Brings it up to so many octets with a header field that means nothing. */
  readonly size?: number;
}

const PAD = 'X-Padding: ';

export function serverQuestion(question: ServerQuestion): Uint8Array {
  const { id, method, transport, inside, host, port, maxForwards = 70, cseq = 1 } = question;
  const own = `${formatHost(inside.address)}:${inside.port}`;
  const named = host.includes(':') ? `[${host}]` : host;
  const target = port === undefined ? named : `${named}:${port}`;
  const suffix = transport === 'tcp' ? ';transport=tcp' : '';
  const record = `sip:${id}@${named}`;
  const from = question.addressInFrom === true ? `sip:${id}@${own}` : record;
  const lines = [
    `${method} sip:${target}${suffix} SIP/2.0`,
    `Via: SIP/2.0/${transport.toUpperCase()} ${own};branch=z9hG4bK${id};rport`,
    ...(question.innerVia === true
      ? [`Via: SIP/2.0/UDP ${formatHost(inside.address)}:5062;branch=z9hG4bK${id}u`]
      : []),
    `Max-Forwards: ${maxForwards}`,
    `From: <${from}>;tag=${id}`,
    `To: <${method === 'REGISTER' ? record : `sip:${target}`}>`,
    `Call-ID: ${id}@${formatHost(inside.address)}`,
    `CSeq: ${cseq} ${method}`,
    `Contact: <sip:${id}@${own}${suffix}>`,
    ...(method === 'REGISTER' ? [`Expires: ${question.expires ?? 60}`] : ['Accept: application/sdp']),
    'User-Agent: sipalg',
  ];
  const text = (pad: readonly string[]): string =>
    [...lines, ...pad, 'Content-Length: 0', '', ''].join('\r\n');
  const missing = (question.size ?? 0) - text([]).length - PAD.length - 2;
  return octetsOf(missing > 0 ? text([`${PAD}${'x'.repeat(missing)}`]) : text([]));
}
