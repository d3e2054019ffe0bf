/**
 * A FortiGate that is none: the command line of FortiOS as its manuals show it, with the tables that the recipe deals with. The
 * entry of `sip` has another number than most web pages say, and theirs belongs to another protocol.
 */
import type { Procedure } from '../../src/routers/schema.ts';
import { Machine, type Reply, type Trouble } from './simulator.ts';

interface Helper {
  name: string;
  protocol: string;
  port: string;
}

export class FortiGate extends Machine {
  readonly settings = new Map([
    ['default-voip-alg-mode', 'proxy-based'],
    ['sip-expectation', 'enable'],
    ['sip-nat-trace', 'enable'],
  ]);
  readonly helpers = new Map<number, Helper>([
    [1, { name: 'pptp', protocol: '6', port: '1723' }],
    [12, { name: 'sip', protocol: '17', port: '5070' }],
    [13, { name: 'dns-udp', protocol: '17', port: '53' }],
  ]);
  /** Lines of `show firewall policy`. */
  policies: readonly string[] = ['set name "LAN"'];
  #table: 'settings' | 'session-helper' | undefined;
  #edited: number | undefined;
  #draft: Helper | undefined;
  readonly #changed = new Map<string, string>();

  constructor(procedure: Procedure, trouble: Trouble = 'none') {
    super(procedure, 'on', trouble);
  }

  override promptIn(): string {
    const place = this.#edited ?? this.#table;
    return place === undefined ? 'FGT60F # ' : `FGT60F (${place}) # `;
  }

  override hearIn(_session: unknown, line: string): Reply {
    this.heard.push(line);
    return { text: this.#obey(line), next: 'prompt' };
  }

  #obey(line: string): string {
    const [verb, ...rest] = line.split(' ');
    if (line === 'get system settings | grep alg') return this.#show('alg');
    if (line === 'get system settings | grep sip') return this.#show('sip');
    if (line === 'show system session-helper') return this.#showHelpers();
    if (line === 'show firewall policy | grep voip-profile')
      return this.policies.filter((one) => one.includes('voip-profile')).join('\r\n');
    if (line === 'config system settings') return this.#enter('settings');
    if (line === 'config system session-helper') return this.#enter('session-helper');
    if (line.startsWith('diagnose sys session')) return '';
    if (verb === 'set') return this.#set(rest[0]!, rest[1]!);
    if (verb === 'delete' && this.#table === 'session-helper')
      return this.trouble === 'refusal' || !this.helpers.delete(Number(rest[0]))
        ? 'entry not found in datasource\r\n\r\nCommand fail. Return code -3'
        : '';
    if (verb === 'edit' && this.#table === 'session-helper') return this.#edit(Number(rest[0]));
    if (line === 'end') return this.#end();
    return `command parse error before '${verb}'\r\nCommand fail. Return code -61`;
  }

  #show(part: string): string {
    return [...this.settings]
      .filter(([name]) => name.includes(part))
      .map(([name, value]) => `${name.padEnd(20)}: ${value} `)
      .join('\r\n');
  }

  #showHelpers(): string {
    const entries = [...this.helpers].map(
      ([id, { name, protocol, port }]) =>
        `    edit ${id}\r\n        set name ${name}\r\n        set protocol ${protocol}\r\n        set port ${port}\r\n    next`,
    );
    return ['config system session-helper', ...entries, 'end'].join('\r\n');
  }

  #enter(table: 'settings' | 'session-helper'): string {
    this.#table = table;
    return '';
  }

  #edit(id: number): string {
    this.#edited = id;
    const known = this.helpers.get(id);
    this.#draft = known ?? { name: '', protocol: '0', port: '0' };
    return known === undefined ? `new entry '${id}' added` : '';
  }

  #set(name: string, value: string): string {
    if (this.#draft !== undefined) {
      if (!['name', 'protocol', 'port'].includes(name)) return 'command parse error';
      this.#draft = { ...this.#draft, [name]: value };
      return '';
    }
    if (this.#table !== 'settings' || !this.settings.has(name)) return 'command parse error';
    this.#changed.set(name, value);
    return '';
  }

  #end(): string {
    for (const [name, value] of this.#changed) this.settings.set(name, value);
    this.#changed.clear();
    if (this.#edited !== undefined && this.#draft !== undefined) this.helpers.set(this.#edited, this.#draft);
    this.#edited = undefined;
    this.#draft = undefined;
    this.#table = undefined;
    return '';
  }
}
