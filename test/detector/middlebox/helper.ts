/**
 * The ALG of a simulated box: one that does its work rightly but for what a fault changes in it. It edits what names the
 * phone's own endpoint in Via, Contact and Request-URI, gives media ports of its own to descriptions, and opens them.
 */
import type { Endpoint } from '../../../src/core/net/address.ts';
import type { Behaviour, Passing } from './box.ts';
import { body, field, isRequest, methodOf } from './edits.ts';

export interface HelperFaults {
  /** Which packets a media port lets in. Default: all. `none`: it was never opened. */
  readonly pinhole?: 'none' | 'signalling-peer';
  readonly withoutRtcp?: boolean;
  /** Media ports stay open after the end of the call. */
  readonly leaks?: boolean;
  /** A new port for each description. */
  readonly moves?: boolean;
  /** Descriptions in the phone's responses are left. */
  readonly requestsOnly?: boolean;
  /** What was edited on the way out is not restored. */
  readonly oneWay?: boolean;
}

export function helper(faults: HelperFaults = {}): Required<Pick<Behaviour, 'message'>> {
  const media = new Media(faults);
  return {
    message(text, passing) {
      const { direction, inside, outside } = passing;
      const own = `${inside.address}:${inside.port}`;
      const seen = `${outside.address}:${outside.port}`;
      if (text.startsWith('BYE ') && faults.leaks !== true) media.close(passing);
      if (direction === 'to-server') {
        const edited = ['Via', 'Contact'].reduce(
          (result, name) => field(result, name, (line) => line.replaceAll(own, seen)),
          text,
        );
        return faults.requestsOnly === true && !isRequest(text) ? edited : media.describe(edited, passing);
      }
      if (faults.oneWay === true) return text;
      if (isRequest(text)) return text.replace(/^[A-Z]+ \S+/, (line) => line.replace(seen, own));
      const restored = field(text, 'Via', (line) => line.replace(`UDP ${seen};`, `UDP ${own};`));
      return methodOf(text) === 'REGISTER'
        ? field(restored, 'Contact', (line) => line.replace(`@${seen}`, `@${own}`))
        : restored;
    },
  };
}

/** The media ports of the phone, and what they have become. */
class Media {
  readonly #faults: HelperFaults;
  readonly #ports = new Map<string, { readonly inside: Endpoint; readonly port: number }>();

  constructor(faults: HelperFaults) {
    this.#faults = faults;
  }

  describe(text: string, passing: Passing): string {
    if (!text.includes('\r\n\r\nv=0\r\n')) return text;
    const { inside, outside } = passing;
    const fresh = new Map<string, number>();
    const portOf = (port: string): number => {
      const known = fresh.get(port);
      if (known !== undefined) return known;
      const given = this.#port({ address: inside.address, port: Number(port) }, passing);
      fresh.set(port, given);
      return given;
    };
    return body(text, (sdp) =>
      sdp
        .split('\r\n')
        .map((line) => {
          const [, kind, port] = /^m=(\w+) (\d+) /.exec(line) ?? [];
          if (port !== undefined && port !== '0')
            return line.replace(`m=${kind} ${port} `, `m=${kind} ${portOf(port)} `);
          const [, rtcp] = /^a=rtcp:(\d+)/.exec(line) ?? [];
          const edited =
            rtcp === undefined
              ? line
              : line.replace(`a=rtcp:${rtcp}`, `a=rtcp:${portOf(String(Number(rtcp) - 1)) + 1}`);
          return /^(?:c=|o=|a=rtcp:)/.test(line)
            ? edited.replace(` ${inside.address}`, ` ${outside.address}`)
            : edited;
        })
        .join('\r\n'),
    );
  }

  close({ nat }: Passing): void {
    for (const { inside } of this.#ports.values())
      for (const offset of [0, 1]) nat.closePinhole({ address: inside.address, port: inside.port + offset });
  }

  #port(inside: Endpoint, { nat, remote }: Passing): number {
    const { pinhole, moves, withoutRtcp } = this.#faults;
    const key = `${inside.address}:${inside.port}`;
    const known = moves === true ? undefined : this.#ports.get(key)?.port;
    const wanted = known ?? nat.freePort();
    const admits = (from: Endpoint): boolean =>
      pinhole !== 'signalling-peer' || from.address === remote.address;
    const port = pinhole === 'none' || moves === true ? wanted : nat.pinhole(inside, admits, wanted);
    if (pinhole !== 'none' && withoutRtcp !== true)
      nat.pinhole({ address: inside.address, port: inside.port + 1 }, admits, port + 1);
    this.#ports.set(key, { inside, port });
    return port;
  }
}
