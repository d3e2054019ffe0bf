/**
 * A provider that believes what messages say: a registrar, and the far end of every call (a B2BUA seen from one side).
 * It calls a subscriber at the Contact as registered, answers to the Via as written, sends audio to where the SDP says.
 */
import { Agent, type AgentOptions, type OpenSocket } from './agent.ts';
import type { Call, CallOptions } from './call.ts';
import { newChallenge, verify } from './digest.ts';
import { Journal } from './journal.ts';
import { first, hostOf, hostPortOf, type Message, methodOf, parameter, uriOf, values } from './message.ts';
import type { Remote, Wire } from './transport.ts';

export interface Binding {
  readonly aor: string;
  readonly contact: string;
  readonly source: Remote;
  readonly expires: number;
}

export interface ProviderOptions extends Omit<AgentOptions, 'user' | 'domain'> {
  /** Who calls from there. Default: gate. */
  readonly user?: string;
  /** Passwords by user; without them nobody has to prove who he is. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** The longest lifetime that it grants, in seconds. */
  readonly maxExpires?: number;
}

export class Provider {
  readonly agent: Agent;
  /** Every contact binding accepted, in order. */
  readonly bindings = new Journal<Binding>((b) => `${b.aor} at ${b.contact} for ${b.expires} s`);
  readonly #options: ProviderOptions;

  private constructor(options: ProviderOptions, agent: Agent) {
    this.#options = options;
    this.agent = agent;
    agent.takes = () => true;
    agent.onOther = (request, remote) => this.#take(request, remote);
  }

  static async open(options: ProviderOptions, open: OpenSocket, wire?: Wire): Promise<Provider> {
    return new Provider(
      options,
      await Agent.open({ user: 'gate', ...options, domain: hostOf(options.address) }, open, wire),
    );
  }

  /** The newest contact binding of a user. */
  contactOf(user: string): string | undefined {
    const binding = this.bindings.entries.findLast((b) => b.aor.startsWith(`sip:${user}@`));
    return binding === undefined || binding.expires === 0 ? undefined : binding.contact;
  }

  /** Calls a user at the Contact that he registered; from another agent where one is given (another address). */
  call(user: string, options: CallOptions = {}, from: Agent = this.agent): Promise<Call> {
    const contact = this.contactOf(user);
    if (contact === undefined) throw new Error(`${user} is not registered`);
    return from.call(contact, { to: hostPortOf(contact), ...options });
  }

  close(): void {
    this.agent.close();
  }

  #take(request: Message, remote: Remote): void {
    const { wire } = this.agent;
    if (methodOf(request) !== 'REGISTER') {
      wire.respond(request, remote, '200 OK');
      return;
    }
    const { passwords, maxExpires = 3600 } = this.#options;
    const aor = uriOf(first(request, 'to'));
    if (passwords !== undefined) {
      const password = passwords[/^sip:([^@]*)/.exec(aor)?.[1] ?? ''];
      const credentials = first(request, 'authorization');
      if (password === undefined || credentials === '' || !verify(credentials, password, 'REGISTER')) {
        wire.respond(request, remote, '401 Unauthorized', [['WWW-Authenticate', newChallenge('lab')]]);
        return;
      }
    }
    const contact = first(request, 'contact');
    const asked = Number(parameter(contact, 'expires') ?? (first(request, 'expires') || maxExpires));
    const expires = Math.min(asked, maxExpires);
    this.bindings.add({ aor, contact: uriOf(contact), source: remote, expires });
    const listed = values(request, 'contact').map(
      (value) => ['Contact', `<${uriOf(value)}>;expires=${expires}`] as const,
    );
    wire.respond(request, remote, '200 OK', expires === 0 ? [] : listed);
  }
}
