/**
 * What bounds a reflector. It stands on the Internet and sends what clients ask for, so each bound keeps it from being of
 * use against anybody else, or from being worn out.
 */
export interface Limits {
  /** Sessions at a time; and from one address (two phones, and a colleague behind the same router). */
  readonly sessions: number;
  readonly sessionsPerAddress: number;
  /** Longest life of a session. The client of a longer observation comes back. */
  readonly sessionMs: number;
  /** A control channel on which nothing is said for so long is closed. The client speaks every ten seconds. */
  readonly silenceMs: number;
  /** Time for the TLS handshake and the hello; and for a connection to say whose it is. */
  readonly introductionMs: number;
  /** New control connections of one address a minute that do not say the token: nobody guesses it. */
  readonly helloPerMinute: number;
  /** Datagrams a second that are sent for one session; a burst may take twice as many at once. */
  readonly sendPerSecond: number;
  /** Octets that are sent for one session in all. */
  readonly sendOctets: number;
  /** Endpoints that have sent nothing, but belong to a proven address, to which one session may send. */
  readonly namedEndpoints: number;
  /** Datagrams a second, and in all, that are told to one session; what is beyond is counted and told as a limit. */
  readonly tellPerSecond: number;
  readonly tellDatagrams: number;
  /** Connections of one session at a time, and of all strangers that have not said whose they are. */
  readonly connections: number;
  readonly strangers: number;
  /** Octets that wait in the control channel for a client that does not read. */
  readonly backlogOctets: number;
}

export const defaultLimits: Limits = {
  sessions: 32,
  sessionsPerAddress: 6,
  sessionMs: 2 * 3_600_000,
  silenceMs: 60_000,
  introductionMs: 5_000,
  helloPerMinute: 60,
  sendPerSecond: 200,
  sendOctets: 16 * 1024 * 1024,
  namedEndpoints: 64,
  tellPerSecond: 400,
  tellDatagrams: 50_000,
  connections: 32,
  strangers: 128,
  backlogOctets: 4 * 1024 * 1024,
};

/** So many a second on average, twice as many at once. */
export class Allowance {
  readonly #perSecond: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, nowMs: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond * 2;
    this.#at = nowMs;
  }

  take(nowMs: number): boolean {
    const earned = (Math.max(0, nowMs - this.#at) / 1000) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond * 2, this.#tokens + earned);
    this.#at = nowMs;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
