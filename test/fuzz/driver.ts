/**
 * Drives one engine as a gateway would, and holds it to what must be true at every step: what leaves is what came or what
 * the edits say, tables stay within their limits, no port is given out twice, what is opened is closed.
 *
 * Answers to `open` come at once, later, as failures, or never; a restart makes a new engine of the rows alone.
 */
import assert from 'node:assert/strict';
import { Engine } from '../../src/core/alg/engine.ts';
import type { AlgEvent } from '../../src/core/alg/event.ts';
import type {
  Input,
  MappingId,
  MediaFlow,
  MediaMapping,
  Output,
  RecordTable,
} from '../../src/core/alg/io.ts';
import type { EngineOptions, Limits } from '../../src/core/alg/policy.ts';
import { type Endpoint, endpointKey, parseEndpoint } from '../../src/core/net/address.ts';
import type { Flow } from '../../src/core/net/flow.ts';
import { EXTERNAL, PROVIDER } from './messages.ts';
import { checkTranslation } from './oracle.ts';
import type { Seen } from './target.ts';

export type Answer = 'opened' | 'failed' | 'later';

interface Row {
  readonly table: RecordTable;
  readonly key: string;
  readonly value: string;
}

export interface Sent {
  readonly flow: Flow;
  readonly bytes: Uint8Array;
}

/** More outputs than this of one input have no reason. */
const MOST_OUTPUTS = 20_000;
/** So many mappings of one input are answered for, and no more: the tables of most tests are far smaller. */
const MOST_ANSWERS = 5_000;

export class Driver {
  readonly options: EngineOptions & { readonly limits: Partial<Limits> };
  readonly #seen: Seen;
  readonly #innerAddress: string | undefined;
  engine: Engine;
  now = 1_000_000;
  answer: Answer = 'opened';
  /** Our address on the way out; undefined while there is none. */
  externalAddress: string | undefined = EXTERNAL;
  /** What was sent, newest last, for whoever makes the responses. */
  readonly sent: Sent[] = [];
  /** Asked for, and not answered yet. */
  readonly pending: MappingId[] = [];
  #rows = new Map<string, Row>();
  #media = new Map<MappingId, MediaMapping>();
  #signalling = new Set<MappingId>();
  /** Media that could not be had: nothing is open, and a close of it is harmless. */
  #failed = new Set<MappingId>();
  /** Answers that are given when all outputs of one input are carried out. */
  #answers: (() => void)[] = [];
  #isAnswering = false;
  /** Of the input that is being handled. */
  #events: AlgEvent[] = [];
  #lastEvent = '';

  constructor(options: EngineOptions & { limits: Partial<Limits> }, seen: Seen, innerAddress?: string) {
    this.options = options;
    this.#seen = seen;
    this.#innerAddress = innerAddress;
    this.engine = new Engine(options);
  }

  get openMedia(): number {
    return this.#media.size;
  }

  phone(bytes: Uint8Array, from: string, to = PROVIDER): Sent[] {
    const inner = this.#innerAddress === undefined ? {} : { innerAddress: this.#innerAddress };
    const flow: Flow = { transport: 'udp', side: 'internal', local: at(to), remote: at(from) };
    const external = this.externalAddress === undefined ? {} : { externalAddress: this.externalAddress };
    return this.#packet({ kind: 'packet', flow, bytes, ...external, ...inner });
  }

  /** The external addresses are these from now on; phones leave by the first. */
  readdress(addresses: readonly string[]): void {
    [this.externalAddress] = addresses;
    this.#feed({ kind: 'external-address-changed', addresses });
  }

  provider(bytes: Uint8Array, to: Endpoint, from = PROVIDER): Sent[] {
    return this.#packet({
      kind: 'packet',
      flow: { transport: 'udp', side: 'external', local: to, remote: at(from) },
      bytes,
    });
  }

  /** The data plane has seen something of one of its media mappings. */
  mediaFlow(choice: number, flow: MediaFlow): void {
    const ids = [...this.#media.keys()];
    const id = ids[choice % Math.max(1, ids.length)];
    if (id !== undefined) this.#feed({ kind: 'media', id, flow });
  }

  /** Answers what has waited longest. */
  answerPending(ok: boolean): void {
    const id = this.pending.shift();
    if (id !== undefined) this.#reply(id, ok);
  }

  pass(ms: number): void {
    const end = this.now + ms;
    let turns = 0;
    for (;;) {
      const next = this.engine.nextTimeoutMs;
      if (next === undefined || next > end) break;
      assert.ok(++turns < 100_000, 'timeouts that never come to an end');
      this.now = Math.max(next, this.now);
      this.#feed({ kind: 'timeout' });
    }
    this.now = end;
  }

  /** Another process takes over: what was not written down is gone, what is open has to be opened anew. */
  restart(): void {
    this.pending.length = 0;
    this.#answers.length = 0;
    this.#media.clear();
    this.#signalling.clear();
    this.#failed.clear();
    this.engine = new Engine(this.options);
    const addresses = this.externalAddress === undefined ? [] : [this.externalAddress];
    this.#take(this.engine.handle(this.now, { kind: 'external-address-changed', addresses }));
    const rows = [...this.#rows.values()].map(({ table, key, value }) => ({
      table,
      key,
      value: JSON.parse(value),
    }));
    this.#take(this.engine.restore(this.now, rows));
    this.check();
  }

  check(): void {
    const { mappings, dialogs, media } = this.engine.snapshot();
    const { limits } = this.options;
    assert.ok(mappings.length <= (limits.mappings ?? 4096), `${mappings.length} mappings`);
    assert.ok(dialogs.length <= (limits.dialogs ?? 8192), `${dialogs.length} dialogs`);
    assert.ok(media.length <= (limits.media ?? 4096), `${media.length} media mappings`);
    const profiles = this.engine.profiles();
    assert.ok(profiles.length <= (limits.mappings ?? 4096), `${profiles.length} profiles`);
    const ports = new Set<string>();
    const claim = (one: Endpoint): void => {
      assert.ok(one.port >= 1 && one.port <= 65_535, `port ${one.port} was given out`);
      assert.ok(!ports.has(endpointKey(one)), `${endpointKey(one)} was given out twice`);
      ports.add(endpointKey(one));
    };
    for (const { external } of mappings) claim(external);
    for (const { external, inner, ports: count } of this.#media.values())
      for (let k = 0; k < count; k++) {
        claim({ address: external.address, port: external.port + k });
        if (inner !== undefined) claim({ address: inner.address, port: inner.port + k });
      }
    for (const { contacts, peers } of mappings) {
      assert.ok(contacts.length <= (limits.contactsPerMapping ?? 32), `${contacts.length} contacts`);
      assert.ok(peers.length <= (limits.peersPerMapping ?? 64), `${peers.length} peers`);
    }
  }

  /** Days go by: every table is empty, everything that was opened is closed, and every row but remembered ports is gone. */
  drain(): void {
    this.pass(3 * 86_400_000);
    const { mappings, dialogs, media } = this.engine.snapshot();
    assert.deepEqual(
      [mappings.length, dialogs.length, media.length, this.engine.profiles().length],
      [0, 0, 0, 0],
      'mappings, dialogs, media left over',
    );
    assert.deepEqual([...this.#media.keys()], [], 'media that nobody closed');
    assert.deepEqual([...this.#signalling], [], 'mappings that nobody closed');
    assert.deepEqual(
      [...this.#rows.values()].filter((row) => row.table !== 'port'),
      [],
      'rows of what is no more',
    );
  }

  #packet(input: Extract<Input, { kind: 'packet' }>): Sent[] {
    const before = this.sent.length;
    this.#feed(input);
    const sent = this.sent.slice(before);
    if (this.sent.length > 64) this.sent.splice(0, 32);
    return sent;
  }

  #feed(input: Input): void {
    const outputs = this.engine.handle(this.now, input);
    assert.ok(outputs.length < MOST_OUTPUTS, `${outputs.length} outputs of one input`);
    this.#take(outputs, input.kind === 'packet' ? input.bytes : undefined);
    const next = this.engine.nextTimeoutMs;
    assert.ok(next === undefined || next > this.now, 'what was due was not done');
  }

  #take(outputs: readonly Output[], came?: Uint8Array): void {
    this.#events = outputs.flatMap((output) => (output.kind === 'event' ? [output.event] : []));
    for (const event of this.#events) this.#hear(event);
    this.#compare(outputs, came);
    for (const output of outputs) {
      if (output.kind === 'send') {
        for (const { port } of [output.flow.local, output.flow.remote])
          assert.ok(port >= 1 && port <= 65_535);
        this.sent.push(output);
      } else if (output.kind === 'record') {
        const key = `${output.table} ${output.key}`;
        if (output.value === undefined) this.#rows.delete(key);
        else
          this.#rows.set(key, { table: output.table, key: output.key, value: JSON.stringify(output.value) });
      }
    }
    for (const output of outputs)
      if (output.kind === 'media' || output.kind === 'signalling') this.#carryOut(output);
    this.#giveAnswers();
  }

  /** One after the other, as a gateway takes its inputs from a queue. */
  #giveAnswers(): void {
    if (this.#isAnswering) return;
    this.#isAnswering = true;
    let turns = 0;
    try {
      for (let answer = this.#answers.shift(); answer !== undefined; answer = this.#answers.shift()) {
        assert.ok(++turns < MOST_ANSWERS, 'one input opens and closes without end');
        answer();
      }
    } finally {
      this.#isAnswering = false;
      this.#answers.length = 0;
    }
  }

  #reply(id: MappingId, ok: boolean): void {
    if (!ok && this.#media.delete(id)) this.#failed.add(id);
    else if (!ok) this.#signalling.delete(id);
    this.#feed(ok ? { kind: 'opened', id } : { kind: 'failed', id, reason: 'in use' });
  }

  /** What was sent because of a packet at once: the packet, or the packet with its edits. */
  #compare(outputs: readonly Output[], came: Uint8Array | undefined): void {
    if (came === undefined) return;
    const sends = outputs.filter((output) => output.kind === 'send');
    assert.ok(sends.length <= 1, 'one datagram became several');
    const [sent] = sends;
    if (sent === undefined) return;
    const translations = this.#events.filter((event) => event.kind === 'message.translated');
    if (translations.length === 0)
      return assert.equal(sent.bytes, came, 'untouched means the very same buffer');
    // A hairpin goes out of one phone and into another: two translations, of which the last is compared with nothing here.
    const [first] = translations;
    if (translations.length === 1 && first !== undefined) {
      const wasPassed = this.#events.some((event) => event.kind === 'message.passed');
      if (!wasPassed || sent.bytes !== came) checkTranslation(came, sent.bytes, first.edits);
    }
  }

  #hear(event: AlgEvent): void {
    assert.notEqual(event.kind, 'engine.fault', event.kind === 'engine.fault' ? event.text : '');
    const about =
      event.kind === 'message.translated'
        ? [...new Set(event.edits.map((edit) => edit.rule))].sort().join(' ')
        : event.kind === 'message.passed'
          ? `${event.why.slice(0, 20)} ${event.defects[0]?.split(' ')[0] ?? ''}`
          : 'why' in event
            ? event.why
            : event.kind === 'limit.reached'
              ? event.limit
              : '';
    this.#seen(`${event.kind} ${about}`);
    if (event.kind !== this.#lastEvent) this.#seen(`${this.#lastEvent} > ${event.kind}`);
    this.#lastEvent = event.kind;
  }

  #carryOut(output: Extract<Output, { kind: 'media' | 'signalling' }>): void {
    const { command } = output;
    const { id } = command;
    if (output.kind === 'media') {
      const isOpen = this.#media.has(id);
      if (output.command.action === 'open') {
        assert.ok(!isOpen, 'one id was opened twice');
        this.#media.set(id, output.command);
      } else {
        assert.ok(isOpen || this.#failed.has(id), `${output.command.action} of what is not open`);
        if (output.command.action === 'close') this.#media.delete(id);
        else if (isOpen) this.#media.set(id, output.command);
      }
    } else if (output.command.action === 'open') this.#signalling.add(id);
    else {
      assert.ok(this.#signalling.has(id), `${command.action} of what is not open`);
      if (output.command.action === 'close') this.#signalling.delete(id);
      else {
        const { lifetimeMs } = output.command;
        assert.ok(lifetimeMs > 0 && Number.isFinite(lifetimeMs), `held for ${lifetimeMs} ms`);
      }
    }
    if (command.action === 'close') {
      const waiting = this.pending.indexOf(id);
      if (waiting >= 0) this.pending.splice(waiting, 1);
    }
    if (command.action !== 'open') return;
    if (this.answer === 'later') this.pending.push(id);
    else this.#answers.push(() => this.#reply(id, this.answer === 'opened'));
  }
}

function at(text: string): Endpoint {
  const found = parseEndpoint(text);
  if (found === undefined) throw new Error(`not an endpoint: ${text}`);
  return found;
}
