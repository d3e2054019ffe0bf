/** What one value alone cannot show: keys that contradict each other. */

import type { PortRange } from '../core/nat/port-pool.ts';
import { formatPrefix } from './prefix.ts';
import type { ConfigValues } from './schema.ts';
import type { Refusal } from './value.ts';

export interface Contradiction extends Refusal {
  /** The value to blame. */
  readonly path: readonly (string | number)[];
}

/** Reserved by the kernel: unspec, default, main, local. */
const kernelRouteTables: readonly number[] = [0, 253, 254, 255];

export function contradictions(values: ConfigValues): Contradiction[] {
  return [
    ...interfaceProblems(values),
    ...observeProblems(values),
    ...portProblems(values),
    ...linuxProblems(values),
    ...observeMemoryProblems(values),
    ...repeated(values.provider.map((provider) => provider.name)).map(
      ([index, name]): Contradiction => ({
        path: ['provider', index, 'name'],
        code: 'config/duplicate',
        what: `there is another provider "${name}"`,
        remedy: 'give each provider a name of its own, or put all addresses into one',
      }),
    ),
    ...repeated(values.phone.map((phone) => formatPrefix(phone.address))).map(
      ([index, address]): Contradiction => ({
        path: ['phone', index, 'address'],
        code: 'config/duplicate',
        what: `${address} has an entry above`,
        remedy: 'keep one [[phone]] for each address',
      }),
    ),
  ];
}

function* interfaceProblems(values: ConfigValues): Generator<Contradiction> {
  for (const side of ['internal', 'external'] as const) {
    for (const [index, name] of repeated(values[side])) {
      yield {
        path: [side, index],
        code: 'config/duplicate',
        what: `${side} names ${name} twice`,
        remedy: 'name it once',
      };
    }
  }
  for (const [index, name] of values.external.entries()) {
    if (!values.internal.includes(name)) continue;
    yield {
      path: ['external', index],
      code: 'config/interface-both-sides',
      what: `${name} is internal and external`,
      remedy: 'phones are on the internal side, the provider is on the external side: leave it on one',
    };
  }
  if (values.listen.length > 0 && values.internal.length + values.external.length > 0) {
    yield {
      path: ['listen'],
      code: 'config/two-modes',
      what: 'listen (explicit mode) stands beside interfaces (transparent mode)',
      remedy: 'take out listen to intercept on the interfaces, or take out internal and external',
    };
  }
}

/** In explicit mode a phone's messages are addressed to us: they cannot go on as they came. */
function* observeProblems(values: ConfigValues): Generator<Contradiction> {
  if (values.listen.length === 0) return;
  for (const table of ['provider', 'phone'] as const) {
    for (const [index, { mode }] of values[table].entries()) {
      if (mode !== 'observe') continue;
      yield {
        path: [table, index, 'mode'],
        code: 'config/observe-explicit',
        what: 'mode = "observe" stands beside listen (explicit mode), where the phones address the gateway itself',
        remedy: 'write mode = "assist" or "auto", or use the transparent mode (internal and external)',
      };
    }
  }
}

function* portProblems(values: ConfigValues): Generator<Contradiction> {
  const media = values.media.ports;
  const external = values.signalling['external-ports'];
  if (external.low <= media.high && media.low <= external.high) {
    yield {
      path: ['media', 'ports'],
      code: 'config/port-range-overlap',
      what: `media ports ${rangeText(media)} overlap the signalling ports ${rangeText(external)}`,
      remedy: 'move one of the two ranges (media ports, signalling external-ports)',
    };
  }
  for (const [index, port] of values.signalling.ports.entries()) {
    if (port < media.low || port > media.high) continue;
    yield {
      path: ['signalling', 'ports', index],
      code: 'config/port-range-overlap',
      what: `SIP port ${port} is inside the media ports ${rangeText(media)}`,
      remedy: 'move the media ports',
    };
  }
  for (const [index, port] of repeated(values.signalling.ports.map(String))) {
    yield {
      path: ['signalling', 'ports', index],
      code: 'config/duplicate',
      what: `port ${port} stands twice`,
      remedy: 'name it once',
    };
  }
  for (const [index, endpoint] of values.listen.entries()) {
    if (endpoint.port < media.low || endpoint.port > media.high) continue;
    yield {
      path: ['listen', index],
      code: 'config/port-range-overlap',
      what: `the listening port ${endpoint.port} is inside the media ports ${rangeText(media)}`,
      remedy: 'listen on another port, or move the media ports',
    };
  }
}

function* linuxProblems(values: ConfigValues): Generator<Contradiction> {
  if (kernelRouteTables.includes(values.linux['route-table'])) {
    yield {
      path: ['linux', 'route-table'],
      code: 'config/not-a-number-in-range',
      what: `routing table ${values.linux['route-table']} belongs to the kernel`,
      remedy: 'choose a number that `ip route show table all` does not show, such as 5060',
    };
  }
  const threads = values.linux['engine-threads'];
  if (threads === 1) return;
  const path = ['linux', 'engine-threads'];
  if (values.listen.length > 0) {
    yield {
      path,
      code: 'config/one-engine',
      what: `engine-threads = ${threads} stands beside listen (explicit mode), which has one engine`,
      remedy: 'take out engine-threads, or use the transparent mode (internal and external)',
    };
  }
  for (const [name, range, each] of [
    ['media ports', values.media.ports, 2],
    ['signalling external-ports', values.signalling['external-ports'], 1],
  ] as const) {
    if (range.high - range.low + 1 >= threads * each) continue;
    yield {
      path,
      code: 'config/one-engine',
      what: `${threads} engines cannot share the ${name} ${rangeText(range)}`,
      remedy: `widen the ${name}, or take fewer threads`,
    };
  }
}

/** Exports and metrics are made of what is kept of the last messages. */
function* observeMemoryProblems(values: ConfigValues): Generator<Contradiction> {
  if (values.observe.messages > 0) return;
  for (const [path, isOn] of [
    [['hep', 'to'], values.hep.to !== undefined],
    [['metrics', 'listen'], values.metrics.listen !== undefined],
  ] as const) {
    if (!isOn) continue;
    yield {
      path,
      code: 'config/nothing-kept',
      what: `${path.join('.')} needs the last messages, of which observe.messages = 0 keeps none`,
      remedy: 'leave observe.messages at its default, or take this out',
    };
  }
}

/** Index and value of everything that stands in the list before. */
function repeated(list: readonly string[]): [number, string][] {
  const seen = new Set<string>();
  return [...list.entries()].filter(([, value]) => seen.size === seen.add(value).size);
}

function rangeText(range: PortRange): string {
  return `${range.low}-${range.high}`;
}
