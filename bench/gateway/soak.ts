/**
 * Hours in minutes: a thousand registered phones, two hundred calls at a time, and all the while the gateway is killed, flooded,
 * and its external address is changed. No call may be lost that has a right to live, and memory has to be flat afterwards.
 *
 * Who has that right: every call that began while the gateway ran. While it is down no calls are begun (they would have plain
 * NAT, and nothing of it would be the gateway's). SIPp's calls carry no media; one call of the scripted phone does, for the
 * whole time, and is listened to after each disturbance. After a change of address it re-INVITEs, as the far end
 * cannot be told otherwise where its media is now.
 */
import { randomBytes } from 'node:crypto';
import { Agent } from '../../demo/agent.ts';
import type { Call } from '../../demo/call.ts';
import { Provider } from '../../demo/provider.ts';
import { Daemon } from './daemon.ts';
import { sleep } from './machine.ts';
import { BenchNetwork, EXTERNAL, PROVIDER_MEDIA, phoneAddress, SILENT, SPARE } from './network.ts';
import { Load, runLoad } from './sipp.ts';

const PHONES = 1_000;
const CALLS_AT_A_TIME = 200;
const MAX_HOLD_MS = 40_000;
const MINUTE_MS = 60_000;
const OTHER_EXTERNAL = '203.0.113.9';
const FLOOD_MS = 5_000;
/** Packets a second from a host inside that is no phone, and as many from a stranger outside. */
const FLOOD_PER_S = 1_000;
const FLOOD_PORTS = 100;
/** What is reachable may differ by so much between two moments at which the same phones and as many calls are there. */
const FLAT_MB = 2.5;
/**
 * What the process takes besides is garbage, which Node lets grow to half of what is reachable, and pages that wait to be used again: they
 * come and go by this.
 */
const BREATH_MB = 40;
/**
 * INVITE transactions are remembered for five minutes, and the last ten thousand messages for whoever looks, which come in five and
 * a half: so long after its start the gateway knows as much as it ever will.
 */
const SETTLED_MS = 6.2 * 60_000;
/** A process that has just been started grows for some minutes; a shorter soak says nothing of memory. */
export const JUDGED_MINUTES = 20;

export interface SoakRow {
  readonly minute: number;
  readonly residentMb: number;
  /** Of the process that runs then, since its start. */
  readonly cpuS: number;
  /** As the gateway counts them. */
  readonly phones: number;
  readonly calls: number;
  readonly dropped: number;
}

export interface Disturbance {
  readonly what: string;
  readonly minute: number;
  readonly callsUp: number;
  /** Until the gateway answered again, or the flood was over. */
  readonly tookMs: number;
  readonly audio: string;
}

/** What was reachable at one moment of the undisturbed part, when everything had been collected. */
export interface Kept {
  readonly minute: number;
  readonly mb: number;
}

export interface SoakResult {
  readonly minutes: number;
  readonly phones: number;
  readonly calls: number;
  readonly failed: number;
  readonly retransmissions: number;
  readonly reasons: Readonly<Record<string, number>>;
  readonly disturbances: readonly Disturbance[];
  readonly rows: readonly SoakRow[];
  readonly notices: Readonly<Record<string, number>>;
  readonly kept: readonly Kept[];
  readonly grownMb: number;
  readonly held: boolean;
  readonly complaints: readonly string[];
}

export async function measureSoak(minutes: number, told: (text: string) => void): Promise<SoakResult> {
  const network = new BenchNetwork(PHONES + 1, 'nat');
  let daemon: Daemon | undefined;
  let load: Load | undefined;
  let witness: Witness | undefined;
  try {
    daemon = await Daemon.start(network, 'warn', { liveHeap: true });
    const registered = await register(network, PHONES, 0);
    told(`${registered} phones registered`);
    witness = await Witness.start(network);
    const holdMs = Math.min(MAX_HOLD_MS, (minutes * MINUTE_MS) / 8);
    const rate = CALLS_AT_A_TIME / (holdMs / 1000);
    load = await Load.start(network, {
      kind: 'call',
      // Calls come from the first half; the second registers again after a change of address.
      phones: PHONES / 2,
      calls: Math.round((rate * minutes * MINUTE_MS) / 1000),
      rate,
      holdMs,
      translated: false,
      renumbered: true,
    });
    const soak = new Soak(network, daemon, load, witness, minutes, told);
    await soak.run();
    const { failed, retransmissions, reasons, calls } = await load.done();
    await soak.note();
    const grownMb = soak.grownMb();
    const complaints = [
      ...(registered < PHONES ? [`${PHONES - registered} phones did not register`] : []),
      ...(failed > 0 ? [`${failed} calls were lost`] : []),
      ...soak.disturbances.filter((one) => one.audio !== 'heard').map((one) => `${one.what}: ${one.audio}`),
      ...(minutes >= JUDGED_MINUTES ? memoryComplaints(soak.kept, grownMb) : []),
      ...((await witness.end()) ? [] : ['the call with audio could not be ended']),
    ];
    return {
      minutes,
      phones: PHONES,
      calls,
      failed,
      retransmissions,
      reasons,
      disturbances: soak.disturbances,
      rows: soak.rows,
      notices: daemon.notices(),
      kept: soak.kept,
      grownMb,
      held: complaints.length === 0,
      complaints,
    };
  } finally {
    await load?.close();
    witness?.close();
    await daemon?.stop();
    network.close();
  }
}

function memoryComplaints(kept: readonly Kept[], residentMb: number): string[] {
  const [settled, last] = kept.slice(-2);
  const keptMb = settled === undefined || last === undefined ? Number.NaN : last.mb - settled.mb;
  return [
    ...(keptMb <= FLAT_MB
      ? []
      : [`${keptMb.toFixed(1)} MB more were kept at the end than some minutes before`]),
    ...(residentMb <= BREATH_MB
      ? []
      : [`resident memory has grown by ${residentMb.toFixed(1)} MB in the undisturbed part`]),
  ];
}

/** Registers `count` phones from the `first` on; how many were granted it. */
async function register(
  network: BenchNetwork,
  count: number,
  first: number,
  server?: string,
): Promise<number> {
  const result = await runLoad(network, {
    kind: 'register',
    calls: count,
    rate: 200,
    phones: count,
    firstPhone: first,
    translated: false,
    ...(server === undefined ? {} : { server }),
  });
  return result.succeeded;
}

class Soak {
  readonly rows: SoakRow[] = [];
  readonly disturbances: Disturbance[] = [];
  readonly kept: Kept[] = [];
  readonly #network: BenchNetwork;
  readonly #daemon: Daemon;
  readonly #load: Load;
  readonly #witness: Witness;
  readonly #endMs: number;
  readonly #startMs = performance.now();
  readonly #told: (text: string) => void;
  #address = EXTERNAL;
  #undisturbedFrom = 0;
  #startedMs = 0;

  constructor(
    network: BenchNetwork,
    daemon: Daemon,
    load: Load,
    witness: Witness,
    minutes: number,
    told: (text: string) => void,
  ) {
    this.#network = network;
    this.#daemon = daemon;
    this.#load = load;
    this.#witness = witness;
    this.#endMs = minutes * MINUTE_MS;
    this.#told = told;
  }

  /** The first six tenths are disturbed; the rest shows what is left of it. */
  async run(): Promise<void> {
    const steps: readonly [at: number, what: string, work: () => Promise<void>][] = [
      [0.12, 'killed (-9) and started again', () => this.#killed()],
      [0.22, 'flooded from inside and outside', () => this.#flooded()],
      [0.32, 'another external address', () => this.#moved(OTHER_EXTERNAL)],
      [0.42, 'killed (-9) in a flood, and started again', () => this.#killedInFlood()],
      [0.52, 'the first external address again', () => this.#moved(EXTERNAL)],
      [0.6, 'killed (-9) and started again', () => this.#killed()],
    ];
    for (const [at, what, work] of steps) {
      await this.#until(at * this.#endMs);
      const callsUp = this.#load.up();
      const minute = this.#minute();
      const before = performance.now();
      await work();
      const tookMs = performance.now() - before;
      const audio = await this.#witness.listen();
      this.disturbances.push({ what, minute, callsUp, tookMs, audio });
      this.#told(`${what}: ${Math.round(tookMs)} ms, ${callsUp} calls up, audio ${audio}`);
    }
    // What is remembered of ended calls, and of the flood, goes in its time.
    await this.#until(this.#minute() * MINUTE_MS + 0.1 * this.#endMs);
    this.#undisturbedFrom = this.rows.length;
    await this.#weigh();
    await this.#until(Math.min(this.#startedMs + SETTLED_MS, 0.9 * this.#endMs));
    await this.#weigh();
    await this.#until(this.#endMs);
    await this.#weigh();
  }

  async #weigh(): Promise<void> {
    const one = { minute: this.#minute(), mb: await this.#daemon.liveMb() };
    this.kept.push(one);
    this.#told(`minute ${one.minute.toFixed(1)}: ${one.mb} MB are reachable`);
  }

  async note(): Promise<void> {
    const status = await this.#daemon.status();
    const row: SoakRow = {
      minute: this.#minute(),
      residentMb: this.#daemon.memory().residentMb,
      cpuS: this.#daemon.cpuS(),
      phones: status?.phoneCount ?? Number.NaN,
      calls: status?.callCount ?? Number.NaN,
      dropped: status?.messages.dropped ?? Number.NaN,
    };
    this.rows.push(row);
    this.#told(
      `minute ${row.minute.toFixed(1)}: ${row.residentMb} MB, ${row.phones} phones, ${row.calls} calls (SIPp: ${this.#load.up()})`,
    );
  }

  /**
   * Of the process that ran to the end, in the undisturbed part: the least of its last third against the least of its first.
   * Node gives memory back in leaps, so that two single readings compare nothing.
   */
  grownMb(): number {
    const rows = this.rows.slice(this.#undisturbedFrom).map((row) => row.residentMb);
    const third = Math.max(1, Math.floor(rows.length / 3));
    return Math.min(...rows.slice(-third)) - Math.min(...rows.slice(0, third));
  }

  #minute(): number {
    return (performance.now() - this.#startMs) / MINUTE_MS;
  }

  /** Waits until so much has passed since the beginning, with a row a minute, or twenty in all of a short run. */
  async #until(ms: number): Promise<void> {
    const everyMs = Math.min(MINUTE_MS, this.#endMs / 20);
    for (;;) {
      const now = performance.now() - this.#startMs;
      if (now >= ms) return;
      await sleep(Math.min(everyMs, ms - now));
      await this.note();
    }
  }

  async #killed(): Promise<void> {
    await this.#load.togglePause();
    await sleep(500);
    await this.#daemon.kill();
    await this.#daemon.startAgain();
    this.#startedMs = performance.now() - this.#startMs;
    await this.#load.togglePause();
  }

  async #killedInFlood(): Promise<void> {
    await Promise.all([this.#flooded(), sleep(FLOOD_MS / 3).then(() => this.#killed())]);
  }

  /** The address is replaced as a DHCP client does it; then half of the phones register anew. */
  async #moved(to: string): Promise<void> {
    this.#network.router.run(
      'ip',
      ['-batch', '-'],
      [
        `addr del ${this.#address}/24 dev eth0`,
        `addr add ${to}/24 dev eth0`,
        'route replace default via 203.0.113.254',
        '',
      ].join('\n'),
    );
    this.#address = to;
    await register(this.#network, PHONES / 2, PHONES / 2, SPARE);
    await this.#witness.offerAgain();
  }

  async #flooded(): Promise<void> {
    const inside = await Promise.all(
      Array.from({ length: FLOOD_PORTS }, () => this.#network.phones.socket('192.168.0.2', 0)),
    );
    const outside = await this.#network.provider.socket(SILENT, 0);
    const end = performance.now() + FLOOD_MS;
    const perTick = FLOOD_PER_S / 100;
    for (let sent = 0; performance.now() < end; ) {
      for (let k = 0; k < perTick; k++, sent++) {
        const socket = inside[sent % inside.length]!;
        const { address, port } = socket.address();
        const packet = sent % 5 === 0 ? randomBytes(400) : options(address, port);
        socket.send(packet, 5060, SILENT);
        outside.send(packet, sent % 2 === 0 ? 5060 : 20_000 + (sent % 12_000), this.#address);
      }
      await sleep(10);
    }
    for (const socket of [...inside, outside]) socket.close();
  }
}

/** A request as a scanner sends it; each one another call. */
function options(address: string, port: number): Buffer {
  const id = randomBytes(8).toString('hex');
  return Buffer.from(
    [
      'OPTIONS sip:100@198.51.100.9 SIP/2.0',
      `Via: SIP/2.0/UDP ${address}:${port};branch=z9hG4bK${id};rport`,
      'Max-Forwards: 70',
      `From: <sip:100@198.51.100.9>;tag=${id}`,
      'To: <sip:100@198.51.100.9>',
      `Call-ID: ${id}`,
      'CSeq: 1 OPTIONS',
      `Contact: <sip:100@${address}:${port}>`,
      'Content-Length: 0',
      '',
      '',
    ].join('\r\n'),
  );
}

/** One call with audio both ways, from the beginning to the end. */
class Witness {
  readonly #agents: { close(): void }[];
  readonly #inside: Call;
  readonly #outside: Call;

  private constructor(agents: { close(): void }[], inside: Call, outside: Call) {
    this.#agents = agents;
    this.#inside = inside;
    this.#outside = outside;
  }

  static async start(network: BenchNetwork): Promise<Witness> {
    const provider = await Provider.open({ address: PROVIDER_MEDIA, hertz: 1000 }, (address, port) =>
      network.provider.socket(address, port),
    );
    const phone = await Agent.open(
      {
        user: 'witness',
        domain: PROVIDER_MEDIA,
        address: phoneAddress(PHONES),
        outbound: { address: PROVIDER_MEDIA, port: 5060 },
        hertz: 440,
        rport: true,
      },
      (address, port) => network.phones.socket(address, port),
    );
    await phone.register(3600);
    const inside = await phone.call(`sip:far@${PROVIDER_MEDIA}`);
    const outside = await provider.agent.incoming();
    outside.answer();
    await inside.reached('confirmed');
    const witness = new Witness([phone, provider], inside, outside);
    const heard = await witness.listen();
    if (heard !== 'heard') throw new Error(`the call with audio: ${heard}`);
    return witness;
  }

  async listen(): Promise<string> {
    try {
      await Promise.all([this.#inside.media.hear(1000, 5_000), this.#outside.media.hear(440, 5_000)]);
      return 'heard';
    } catch (error) {
      return (error as Error).message.split('\n')[0]!;
    } finally {
      for (const { media } of [this.#inside, this.#outside]) media.received.clear();
    }
  }

  async offerAgain(): Promise<void> {
    const sdp = await this.#inside.offerAgain('sendrecv', 8_000);
    if (sdp !== undefined) this.#inside.media.start(sdp, 440);
  }

  async end(): Promise<boolean> {
    return this.#inside.hangup(5_000).then(
      () => true,
      () => false,
    );
  }

  close(): void {
    for (const agent of this.#agents) agent.close();
  }
}
