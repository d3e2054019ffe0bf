/**
 * The control protocol: what `sipalg check` and `sipalg reflector` say to each other over TLS, out of band.
 *
 * The reflector is a set of sockets on the Internet that the client moves from afar: it tells every octet that comes in and
 * sends what it is told to, within bounds that keep it from being of use against anybody (`reflector/session.ts`). It
 * judges nothing. Octets cross as base64, which no box on the way reads as SIP. Times are milliseconds of the
 * reflector's monotonic clock.
 *
 * Both ends read the other with these schemas: what does not fit ends the session with an error that says so.
 */
import * as v from 'valibot';
import { recordTypes } from './names.ts';

export const PROTOCOL = 2;

/** Everything that the client may ask for: longest payload in octets. UDP over IPv4 carries no more. */
export const MAX_PAYLOAD = 65_507;

const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(65_535));
const address = v.pipe(v.string(), v.maxLength(64));
const endpoint = v.strictObject({ address, port });
const id = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(2 ** 31));
const octets = v.pipe(v.string(), v.maxLength(Math.ceil(MAX_PAYLOAD / 3) * 4), v.base64());
const text = v.pipe(v.string(), v.maxLength(512));
const time = v.pipe(v.number(), v.finite());

/**
 * What a place is for. `sip` is the port that boxes listen on; `control` is one that no box takes for SIP. STUN is answered on every UDP
 * place; those of `stun` have its own ports. `dns` is port 53, where nothing answers of itself.
 */
export const roles = ['sip', 'other', 'control', 'media', 'stun', 'dns'] as const;
export type Role = (typeof roles)[number];

const place = v.strictObject({
  /** Its number in commands and reports. */
  place: id,
  transport: v.picklist(['udp', 'tcp', 'tls', 'wss']),
  role: v.picklist(roles),
  /** As it is seen from the Internet. */
  address,
  port,
});

/** One socket of the reflector. */
export type Place = v.InferOutput<typeof place>;

const hello = v.strictObject({
  kind: v.literal('hello'),
  protocol: id,
  token: v.pipe(v.string(), v.maxLength(128)),
});

const command = v.variant('kind', [
  v.strictObject({ kind: v.literal('ping'), id }),
  /** Sends one datagram from a UDP place. */
  v.strictObject({ kind: v.literal('send'), id, place: id, to: endpoint, bytes: octets }),
  /** Writes to a connection that the client has made; `end` closes it afterwards. */
  v.strictObject({ kind: v.literal('write'), id, connection: id, bytes: octets, end: v.boolean() }),
  /** Asks for a secret at an endpoint; saying it here proves that the endpoint is the client's. */
  v.strictObject({ kind: v.literal('prove'), id, place: id, to: endpoint }),
  v.strictObject({ kind: v.literal('proof'), id, secret: text }),
  v.strictObject({ kind: v.literal('end') }),
]);

const nameRecords = v.strictObject({
  name: v.pipe(v.string(), v.regex(/^[\w.-]{1,253}$/)),
  type: v.picklist(recordTypes),
  // They stand in reports: nothing that steers a terminal.
  values: v.pipe(v.array(v.pipe(v.string(), v.regex(/^[\x20-\x7e]{1,512}$/))), v.maxLength(16)),
});

const welcome = v.strictObject({
  kind: v.literal('welcome'),
  protocol: id,
  version: text,
  /** What has to stand in every datagram, and in the first octets of every connection, to be told to this session. */
  tag: v.pipe(v.string(), v.regex(/^[g-z]{30}$/)),
  /** The client, as the control channel shows it. */
  you: endpoint,
  places: v.pipe(v.array(place), v.maxLength(128)),
  /** What a domain of the operator's has for SIP, as the reflector's resolver tells it. */
  names: v.pipe(v.array(nameRecords), v.maxLength(16)),
  /** Longest life of the session in milliseconds. */
  lifetimeMs: time,
});

const report = v.variant('kind', [
  v.strictObject({ kind: v.literal('pong'), id, at: time }),
  /** A command is done; for `send`, at which moment. */
  v.strictObject({ kind: v.literal('done'), id, at: time }),
  v.strictObject({ kind: v.literal('failed'), id, code: text, why: text }),
  v.strictObject({ kind: v.literal('datagram'), place: id, from: endpoint, at: time, bytes: octets }),
  /** A STUN request of the client has been answered; from this place, with these octets. */
  v.strictObject({ kind: v.literal('answered'), place: id, to: endpoint, at: time, bytes: octets }),
  v.strictObject({ kind: v.literal('connected'), connection: id, place: id, from: endpoint, at: time }),
  /** As the socket gave it: the boundaries are those of the segments that arrived, or of several at once. */
  v.strictObject({ kind: v.literal('chunk'), connection: id, at: time, bytes: octets }),
  v.strictObject({ kind: v.literal('closed'), connection: id, at: time, how: text }),
  /** A bound was reached; what was beyond it is not told. */
  v.strictObject({ kind: v.literal('limit'), code: text, why: text }),
]);

const refused = v.strictObject({ kind: v.literal('refused'), code: text, why: text });
const answer = v.variant('kind', [welcome, refused]);

export type Hello = v.InferOutput<typeof hello>;
export type Command = v.InferOutput<typeof command>;
export type Welcome = v.InferOutput<typeof welcome>;
export type Answer = v.InferOutput<typeof answer>;
export type Report = v.InferOutput<typeof report>;

function reader<T>(schema: v.GenericSchema<unknown, T>): (line: string) => T | undefined {
  return (line) => {
    try {
      const result = v.safeParse(schema, JSON.parse(line));
      return result.success ? result.output : undefined;
    } catch {
      return undefined;
    }
  };
}

/** Each reads one line of the peer; undefined where it is not what has to stand there. */
export const readHello = reader<Hello>(hello);
export const readCommand = reader<Command>(command);
export const readAnswer = reader<Answer>(answer);
export const readReport = reader<Report>(report);

export function writeLine(message: Hello | Command | Answer | Report): string {
  return `${JSON.stringify(message)}\n`;
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}

export function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}
