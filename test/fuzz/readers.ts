/** What reads hostile inputs, each as one piece of work: the readers, and the whole engine with its default limits. */

import { parseConfig } from '../../src/config/load.ts';
import { Engine } from '../../src/core/alg/engine.ts';
import type { Input, Output } from '../../src/core/alg/io.ts';
import type { EngineOptions } from '../../src/core/alg/policy.ts';
import { compareMessages } from '../../src/core/detect/compare.ts';
import { parseAddress, parseEndpoint } from '../../src/core/net/address.ts';
import type { Flow } from '../../src/core/net/flow.ts';
import { scanDescription } from '../../src/core/sdp/description.ts';
import { Framer } from '../../src/core/sip/framing.ts';
import { scanMessage } from '../../src/core/sip/message.ts';
import { readAddressee, requestTransaction } from '../../src/gateway/explicit/next-hop.ts';
import { ipPacket } from '../../src/observe/capture/packet.ts';
import { readCapture } from '../../src/observe/capture/reader.ts';
import { datagram, fragments, pcapFile, pcapngBlock, pcapngFile } from '../capture/files.ts';
import { configurations, type Family, inbound, outbound } from './hostile.ts';
import { EXTERNAL, message, PHONE, PROVIDER } from './messages.ts';
import { toOctets, toText } from './octets.ts';

export interface Reader {
  readonly name: string;
  readonly families: readonly Family[];
  /** Everything that stands before the work that is counted; returns that work. */
  readonly prepare: (bytes: Uint8Array) => () => void;
  /** More steps than this for one octet are too many, however linear. */
  readonly mostPerOctet: number;
  /** Where the code stands. */
  readonly folders?: readonly string[];
}

const INNER = '192.168.1.1';
const modes: Readonly<Record<string, EngineOptions>> = {
  kernel: { media: 'kernel' },
  relay: { media: 'relay' },
  explicit: { media: 'relay', own: [{ address: INNER, port: 5060 }] },
  'kernel, everything translated': {
    media: 'kernel',
    policy: { origin: 'translate', received: 'expose', ice: 'translate-all' },
  },
};

/** Addresses alone: what a host, a `c=` and a `received` may hold. */
const addresses: readonly Family[] = [':', '1:', '1.', '1', '::1', 'f', '.', '[', '1:2:3:4:5:6:7:8:'].map(
  (unit) => ({
    name: `addresses of ${unit}`,
    make: (size) => unit.repeat(Math.floor(size / unit.length)),
  }),
);

/** For streams in segments: a start line, a header and a body that do not end. */
const streams = outbound.filter(({ name }) =>
  /^(?:a long Request-URI|a header that does not end|many short fields|attributes)$/.test(name),
);

const large = (size: number) => datagram(0, new Uint8Array(size - 100));
const times = (bytes: readonly Uint8Array[]) => bytes.map((one, i) => ({ timeMs: i, bytes: one }));
export const captures: readonly Family[] = [
  {
    name: 'packets',
    make: (size) =>
      toText(
        pcapFile(
          101,
          times(
            new Array(Math.floor(size / 60)).fill(ipPacket(datagram(0, new Uint8Array(16)))) as Uint8Array[],
          ),
        ),
      ),
  },
  {
    name: 'empty packets',
    make: (size) =>
      toText(pcapFile(101, times(new Array(Math.floor(size / 16)).fill(new Uint8Array(0)) as Uint8Array[]))),
  },
  { name: 'fragments', make: (size) => toText(pcapFile(101, times(fragments(large(size / 2), 40)))) },
  {
    name: 'fragments, last first',
    make: (size) => toText(pcapFile(101, times(fragments(large(size / 2), 40).reverse()))),
  },
  {
    name: 'first fragments',
    make: (size) =>
      toText(
        pcapFile(
          101,
          times(
            Array.from(
              { length: Math.floor(size / 60) },
              (_, i) => fragments(datagram(0, new Uint8Array(40)), 16, i)[0]!,
            ),
          ),
        ),
      ),
  },
  {
    name: 'blocks that nobody reads',
    make: (size) => toText(pcapngFile([])) + toText(pcapngBlock(5, new Uint8Array(0))).repeat(size / 12),
  },
  {
    name: 'interfaces',
    make: (size) => toText(pcapngFile([])) + toText(pcapngBlock(1, new Uint8Array(8))).repeat(size / 20),
  },
  {
    name: 'options of an interface',
    make: (size) =>
      toText(pcapngFile([])) +
      toText(
        pcapngBlock(
          1,
          new Uint8Array([
            0,
            1,
            0,
            0,
            0,
            0,
            0,
            0,
            ...new Uint8Array(size).map((_, i) => (i % 4 === 0 ? 2 : 0)),
          ]),
        ),
      ),
  },
  { name: 'sections', make: (size) => toText(pcapngFile([])).repeat(size / 48) },
];

export const readers: readonly Reader[] = [
  reader('message', [...outbound, ...inbound], (bytes) => scanMessage(bytes), 40),
  reader('next hop', outbound, (bytes) => [readAddressee(bytes), requestTransaction(bytes)], 150),
  reader(
    'description',
    outbound,
    (bytes) =>
      scanDescription(bytes, { start: Math.max(0, toText(bytes).indexOf('v=0')), end: bytes.length }),
    40,
  ),
  reader('framer, whole', outbound, (bytes) => new Framer().feed(bytes), 40),
  reader('framer, in segments of 100 octets', streams, (bytes) => inSegments(bytes, 100), 40),
  reader('framer, octet by octet', streams, (bytes) => inSegments(bytes, 1), 100),
  reader('address', addresses, (bytes) => [parseAddress(toText(bytes)), parseEndpoint(toText(bytes))], 40),
  {
    name: 'comparison',
    families: outbound,
    prepare: (bytes) => {
      const received = toOctets(toText(bytes).replaceAll(PHONE, EXTERNAL).replace(/;/g, ''));
      return () => compareMessages(bytes, received, { direction: 'to-server' });
    },
    mostPerOctet: 1_000,
  },
  reader('capture', captures, (bytes) => readCapture(bytes), 100),
  {
    ...reader('configuration', configurations, (bytes) => parseConfig(toText(bytes), 'x'), 2_000),
    folders: ['/src/', '/smol-toml/'],
  },
  ...Object.entries(modes).flatMap(([name, options]): Reader[] => [
    {
      name: `engine, ${name}, from the phone`,
      families: outbound,
      prepare: (bytes) => {
        const engine = new Engine(options);
        return () => drive(engine, fromPhone(bytes));
      },
      mostPerOctet: 300,
    },
    {
      name: `engine, ${name}, from the provider`,
      families: inbound,
      prepare: (bytes) => {
        const engine = new Engine(options);
        drive(engine, fromPhone(toOctets(hello)));
        return () => drive(engine, fromProvider(bytes));
      },
      mostPerOctet: 300,
    },
  ]),
];

function reader(
  name: string,
  families: readonly Family[],
  read: (bytes: Uint8Array) => unknown,
  mostPerOctet: number,
): Reader {
  return { name, families, prepare: (bytes) => () => read(bytes), mostPerOctet };
}

function inSegments(bytes: Uint8Array, size: number): void {
  const framer = new Framer();
  for (let at = 0; at < bytes.length; at += size) framer.feed(bytes.subarray(at, at + size));
}

const hello = message([
  'REGISTER sip:x SIP/2.0',
  `Via: SIP/2.0/UDP ${PHONE}:5060;branch=z9hG4bKa;rport`,
  'From: <sip:a@x>;tag=a1',
  'To: <sip:b@x>',
  'Call-ID: 1',
  'CSeq: 1 REGISTER',
  `Contact: <sip:a@${PHONE}:5060>`,
]);

function fromPhone(bytes: Uint8Array): Input {
  const flow: Flow = {
    transport: 'udp',
    side: 'internal',
    local: parseEndpoint(PROVIDER)!,
    remote: { address: PHONE, port: 5060 },
  };
  return { kind: 'packet', flow, bytes, externalAddress: EXTERNAL, innerAddress: INNER };
}

function fromProvider(bytes: Uint8Array): Input {
  const flow: Flow = {
    transport: 'udp',
    side: 'external',
    local: { address: EXTERNAL, port: 5060 },
    remote: parseEndpoint(PROVIDER)!,
  };
  return { kind: 'packet', flow, bytes };
}

/** As the gateway does it: every `open` is answered, one after the other. */
function drive(engine: Engine, first: Input): void {
  const inputs: Input[] = [first];
  for (let i = 0; i < inputs.length; i++)
    for (const output of engine.handle(1_000_000, inputs[i]!)) {
      const id = opened(output);
      if (id !== undefined) inputs.push({ kind: 'opened', id });
    }
}

function opened(output: Output): number | undefined {
  if (output.kind !== 'signalling' && output.kind !== 'media') return undefined;
  return output.command.action === 'open' ? output.command.id : undefined;
}
