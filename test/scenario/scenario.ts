/**
 * The format of a scenario: one file, one case, one sentence. README.md beside this file describes it for people.
 *
 * Text is latin-1 in here: one octet, one character. What is written in a file is UTF-8 and becomes its octets.
 */

import type { Transport } from '../../src/core/net/flow.ts';

/** The connection of whoever has one only. */
const FIRST = '1';

export interface Source {
  readonly rfc: number;
  readonly section: string;
}

export interface Scenario {
  readonly path: string;
  readonly title: string;
  readonly sources: readonly Source[];
  readonly gateway: ReadonlyMap<string, string>;
  /** What messages go by, where their step does not say otherwise. */
  readonly transport: Transport;
  readonly places: ReadonlyMap<string, Place>;
  readonly steps: readonly Step[];
}

/** Somebody who sends and receives: a phone is inside, everybody else is outside. */
export interface Place {
  readonly side: 'internal' | 'external';
  readonly endpoint: string;
}

export type Step = Send | Pass | Readdress | Closed;

export interface Send {
  readonly kind: 'send';
  readonly line: number;
  readonly from: string;
  readonly to: string;
  readonly transport: Transport;
  /** TCP: the connection's name. */
  readonly connection: string;
  /** Undefined: what this sender sent last, once more. */
  readonly content: string | undefined;
  /** What comes of it is not looked at: the step only prepares the next ones. */
  readonly quiet: boolean;
  readonly checks: readonly Check[];
}

export interface Pass {
  readonly kind: 'pass';
  readonly line: number;
  readonly ms: number;
  readonly checks: readonly Check[];
}

export interface Readdress {
  readonly kind: 'readdress';
  readonly line: number;
  /** All external addresses from here on; phones leave by the first of them. */
  readonly addresses: readonly string[];
  readonly checks: readonly Check[];
}

/** A connection ends, on both sides of the gateway. */
export interface Closed {
  readonly kind: 'closed';
  readonly line: number;
  readonly connection: string;
  readonly checks: readonly Check[];
}

export type Check = (Arrives | Edits | Event | Media) & {
  /** 1 is the first line of the file. */
  readonly line: number;
  /** One past the last line. */
  readonly end: number;
  /** Why the gateway does not do this yet. */
  readonly gap: string | undefined;
};

export interface Arrives {
  readonly kind: 'arrives';
  readonly at: string;
  readonly from: string | undefined;
  /** TCP: the name of the connection on which it arrives; `any`: one that the data plane has to find, or make. */
  readonly on: string | undefined;
  readonly form: 'unchanged' | 'again' | 'whole' | 'difference';
  /** `whole`: the octets. */
  readonly content: string;
  /** `difference`: lines with their line ends, taken out and put in. */
  readonly changes: readonly { readonly before: readonly string[]; readonly after: readonly string[] }[];
}

export interface Edits {
  readonly kind: 'edits';
  readonly rules: readonly string[];
}

export interface Event {
  readonly kind: 'event';
  readonly name: string;
  readonly fields: ReadonlyMap<string, string>;
  readonly expected: boolean;
}

export interface Media {
  readonly kind: 'media';
  readonly what: 'open' | 'closed' | 'none';
  readonly inside: string;
  readonly at: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** Everybody that a scenario knows without saying so: RFC 1918 inside, RFC 5737 outside. */
const KNOWN: readonly (readonly [string, Place])[] = [
  ['A', { side: 'internal', endpoint: '192.168.1.50:5060' }],
  ['B', { side: 'internal', endpoint: '192.168.1.51:5060' }],
  ['provider', { side: 'external', endpoint: '198.51.100.5:5060' }],
  ['stranger', { side: 'external', endpoint: '192.0.2.66:5060' }],
];

const OPTIONS: ReadonlySet<string> = new Set([
  'external',
  'inner',
  'media',
  'origin',
  'received',
  'ice',
  'signalling-ports',
  'media-ports',
  'provider',
  'proxy',
  'map',
  'map-media',
  'own',
  'upstream-nat',
]);

export class ScenarioError extends Error {
  override readonly name = 'ScenarioError';
}

export function parseScenario(path: string, text: string): Scenario {
  return new Parser(path, text).parse();
}

/** The header's end and the body's length of a message, for `{auto}`. */
export function bodyLength(message: string): number {
  const end = message.indexOf('\r\n\r\n');
  return end < 0 ? 0 : message.length - end - 4;
}

class Parser {
  readonly #path: string;
  readonly #lines: readonly string[];
  #at = 0;
  #title = '';
  readonly #sources: Source[] = [];
  readonly #gateway = new Map<string, string>();
  #transport: Transport = 'udp';
  readonly #places = new Map(KNOWN);
  readonly #steps: (Step & { checks: Check[] })[] = [];
  #gap: string | undefined;

  constructor(path: string, text: string) {
    this.#path = path;
    this.#lines = text.split('\n');
  }

  parse(): Scenario {
    while (this.#at < this.#lines.length) {
      const line = this.#lines[this.#at]!;
      if (line.trim() === '' || line.startsWith('#')) this.#at++;
      else this.#directive(line.trim());
    }
    if (this.#gap !== undefined) throw this.#error('a gap has to stand before a check');
    if (this.#title === '' || this.#sources.length === 0)
      throw this.#error('title and source have to be there');
    if (this.#steps.length === 0) throw this.#error('there is no step');
    return {
      path: this.#path,
      title: this.#title,
      sources: this.#sources,
      gateway: this.#gateway,
      transport: this.#transport,
      places: this.#places,
      steps: this.#steps,
    };
  }

  #directive(line: string): void {
    const [word = ''] = line.split(/\s/, 1);
    const rest = line.slice(word.length).trim();
    const number = this.#at + 1;
    if (/^\S+ -> \S+/.test(line)) return this.#send(line);
    this.#at++;
    switch (word) {
      case 'title':
        this.#title = rest;
        return;
      case 'source':
        for (const one of rest.split(',')) this.#source(one.trim());
        return;
      case 'gateway':
        for (const [key, value] of pairs(rest)) {
          if (!OPTIONS.has(key) && !/^(?:rule|limit|mode)\.[\w.-]+$/.test(key))
            throw this.#error(`the gateway has no option ${key}`);
          this.#gateway.set(key, value);
        }
        return;
      case 'phone':
      case 'peer': {
        const [name = '', endpoint = ''] = rest.split(/\s+/);
        if (!/:\d+$/.test(endpoint)) throw this.#error('a place is a name and an endpoint');
        this.#places.set(name, { side: word === 'phone' ? 'internal' : 'external', endpoint });
        return;
      }
      case 'transport':
        this.#transport = this.#transportNamed(rest);
        return;
      case 'close':
        if (rest === '') throw this.#error('close CONNECTION');
        this.#steps.push({ kind: 'closed', line: number, connection: rest, checks: [] });
        return;
      case 'gap':
        if (rest === '') throw this.#error('a gap has a reason');
        this.#gap = rest;
        return;
      case 'after': {
        const match = /^(\d+)(ms|s)$/.exec(rest);
        if (match === null) throw this.#error('after 5s, or after 500ms');
        const ms = Number(match[1]) * (match[2] === 's' ? 1000 : 1);
        this.#steps.push({ kind: 'pass', line: number, ms, checks: [] });
        return;
      }
      case 'external': {
        const addresses = rest === 'none' ? [] : rest.split(/[\s,]+/);
        this.#steps.push({ kind: 'readdress', line: number, addresses, checks: [] });
        return;
      }
      case '=>':
        return this.#arrives(rest, number);
      case 'edits':
        return this.#check({ kind: 'edits', rules: rest === 'none' ? [] : rest.split(/[\s,]+/) }, number);
      case 'event':
      case 'no':
        return this.#event(rest, word === 'event', number);
      case 'media':
        return this.#media(rest, number);
    }
    this.#at--;
    throw this.#error(`not understood: ${line}`);
  }

  #transportNamed(text: string): Transport {
    if (text !== 'udp' && text !== 'tcp') throw this.#error('a transport is udp or tcp');
    return text;
  }

  #source(text: string): void {
    const match = /^RFC (\d+) §([\dA-Z]+(?:\.\d+)*)$/.exec(text);
    if (match === null) throw this.#error(`a source looks like RFC 3261 §18.1.2, not ${text}`);
    this.#sources.push({ rfc: Number(match[1]), section: match[2]! });
  }

  #send(line: string): void {
    const [from = '', , to = '', ...options] = line.split(/\s+/);
    const number = ++this.#at;
    let transport = this.#transport;
    let connection = FIRST;
    for (const option of options) {
      if (option === 'udp' || option === 'tcp') transport = option;
      else if (option.startsWith('on=')) connection = option.slice(3);
      else if (option !== 'again' && option !== 'quiet')
        throw this.#error(`a message has no option ${option}`);
    }
    const content = options.includes('again') ? undefined : this.#content();
    this.#steps.push({
      kind: 'send',
      line: number,
      from,
      to,
      transport,
      connection,
      content: content?.replace('{auto}', String(bodyLength(content))),
      quiet: options.includes('quiet'),
      checks: [],
    });
  }

  #arrives(rest: string, number: number): void {
    if (rest === 'nothing') return;
    const match = /^(\S+)(?: from (\S+))?(?: on (\S+))?(?: (unchanged|again))?$/.exec(rest);
    if (match === null) throw this.#error('=> WHERE [from WHERE] [on CONNECTION] [unchanged|again]');
    const changes: { before: string[]; after: string[] }[] = [];
    for (let line = this.#lines[this.#at]; line !== undefined; line = this.#lines[++this.#at]) {
      const isNew = line.startsWith('+');
      if (!isNew && !line.startsWith('-')) break;
      const open = changes.at(-1);
      const last = open === undefined || (!isNew && open.after.length > 0) ? { before: [], after: [] } : open;
      if (last !== open) changes.push(last);
      (isNew ? last.after : last.before).push(this.#line(line));
    }
    const content = this.#content();
    const [, at = '', from, on, word] = match;
    const form =
      word === 'unchanged' || word === 'again' ? word : changes.length > 0 ? 'difference' : 'whole';
    if (form === 'whole' && content === '')
      throw this.#error('unchanged, a difference, or the whole message');
    this.#check({ kind: 'arrives', at, from, on, form, content, changes }, number);
  }

  #event(rest: string, expected: boolean, number: number): void {
    const text = expected ? rest : rest.replace(/^event\s+/, '');
    const [name = ''] = text.split(/\s/, 1);
    this.#check({ kind: 'event', name, fields: pairs(text.slice(name.length)), expected }, number);
  }

  #media(rest: string, number: number): void {
    const match = /^(?:(none)|(closed) at (\S+)|(open) (\S+) at (\S+)(.*))$/.exec(rest);
    if (match === null) throw this.#error('media none, media closed at E, or media open E at E');
    const [, none, closed, closedAt = '', , inside = '', openAt = '', fields = ''] = match;
    const what = none !== undefined ? 'none' : closed !== undefined ? 'closed' : 'open';
    this.#check({ kind: 'media', what, inside, at: closedAt + openAt, fields: pairs(fields) }, number);
  }

  #check(check: Arrives | Edits | Event | Media, line: number): void {
    const step = this.#steps.at(-1);
    if (step === undefined) throw this.#error('a check stands after a step');
    step.checks.push({ ...check, line, end: this.#at + 1, gap: this.#gap });
    this.#gap = undefined;
  }

  #content(): string {
    let content = '';
    for (let line = this.#lines[this.#at]; line?.startsWith('|'); line = this.#lines[++this.#at])
      content += this.#line(line);
    return content;
  }

  /** `| text` ends in CRLF, `|lf text` in LF, `|. text` in nothing; `|x 0d 0a` is octets. */
  #line(line: string): string {
    const match = /^[|+-](\.|lf|x|)(?: (.*))?$/.exec(line);
    if (match === null) throw this.#error('a line of a message begins with "| "');
    const [, kind = '', text = ''] = match;
    if (kind === 'x') {
      if (!/^[0-9a-f]{2}(?: [0-9a-f]{2})*$/.test(text)) throw this.#error('octets are pairs of hex digits');
      return text.replace(/([0-9a-f]{2}) ?/g, (_, octet: string) =>
        String.fromCharCode(Number.parseInt(octet, 16)),
      );
    }
    const octets = Buffer.from(text, 'utf8').toString('latin1');
    return octets + (kind === '' ? '\r\n' : kind === 'lf' ? '\n' : '');
  }

  #error(text: string): ScenarioError {
    return new ScenarioError(`${this.#path}:${Math.min(this.#at, this.#lines.length)}: ${text}`);
  }
}

/** `key=value`, or `key="a value"`, any number of them. */
function pairs(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const [, key, quoted, bare] of text.matchAll(/([\w.-]+)=(?:"([^"]*)"|(\S*))/g))
    found.set(key!, quoted ?? bare ?? '');
  return found;
}
