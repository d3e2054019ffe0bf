/**
 * A process inside one network namespace of the lab, driven over the IPC channel: a host with UDP sockets, and on the
 * router also the data plane itself. It only does what it is told and tells what it sees.
 */
import { createSocket, type Socket } from 'node:dgram';
import type { MediaCommand, SignallingCommand } from '../../src/core/alg/io.ts';
import type { Endpoint } from '../../src/core/net/address.ts';
import type { Flow } from '../../src/core/net/flow.ts';
import { Conntrack, type ConntrackFilter } from '../../src/linux/conntrack.ts';
import { endpointElement, NftElements, renew, sourceElement } from '../../src/linux/nft-elements.ts';
import { createLinuxPlane, type LinuxPlane, type LinuxPlaneOptions } from '../../src/linux/plane.ts';
import { type PreflightOptions, preflight } from '../../src/linux/preflight.ts';
import { TABLE } from '../../src/linux/ruleset.ts';
import { removeEverything } from '../../src/linux/switch.ts';

export type Request =
  | { readonly op: 'bind'; readonly local: Endpoint }
  | { readonly op: 'close'; readonly local: Endpoint }
  | { readonly op: 'send'; readonly local: Endpoint; readonly remote: Endpoint; readonly text: string }
  | { readonly op: 'start'; readonly options: LinuxPlaneOptions }
  | { readonly op: 'stop' }
  | { readonly op: 'stats' }
  | { readonly op: 'off' }
  | { readonly op: 'plane-send'; readonly flow: Flow; readonly text: string }
  | { readonly op: 'signalling'; readonly command: SignallingCommand }
  | { readonly op: 'media'; readonly command: MediaCommand }
  | { readonly op: 'renew'; readonly set: string; readonly elements: readonly ElementText[] }
  | { readonly op: 'conntrack'; readonly filter: ConntrackFilter; readonly remove: boolean }
  | { readonly op: 'hold'; readonly local: Endpoint; readonly peer: Endpoint; readonly lifetimeMs: number }
  | { readonly op: 'preflight'; readonly options: PreflightOptions };

/** An element of `media_in`, before it is bytes. */
export interface ElementText {
  readonly source: string;
  readonly external: Endpoint;
  readonly internal: Endpoint;
  readonly timeoutMs: number;
}

export type AgentEvent =
  | {
      readonly event: 'datagram';
      readonly local: Endpoint;
      readonly remote: Endpoint;
      readonly text: string;
    }
  | {
      readonly event: 'packet';
      readonly flow: Flow;
      readonly text: string;
      readonly externalAddress?: string;
    }
  | { readonly event: 'opened'; readonly id: number }
  | { readonly event: 'failed'; readonly id: number; readonly reason: string }
  | { readonly event: 'addresses'; readonly addresses: readonly string[] }
  | { readonly event: 'notice'; readonly code: string; readonly text: string };

const sockets = new Map<string, Socket>();
let plane: LinuxPlane | undefined;

function tell(event: AgentEvent): void {
  process.send?.(event);
}

function running(): LinuxPlane {
  if (plane === undefined) throw new Error('no plane');
  return plane;
}

function key(e: Endpoint): string {
  return `${e.address}:${e.port}`;
}

/** The plane carries out at the end of a turn of the loop what it was asked for; who asks afterwards wants it done. */
function turnEnded(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function carryOut(request: Request): Promise<unknown> {
  switch (request.op) {
    case 'bind': {
      const socket = createSocket('udp4');
      socket.on('message', (bytes, info) =>
        tell({
          event: 'datagram',
          local: request.local,
          remote: { address: info.address, port: info.port },
          text: bytes.toString('latin1'),
        }),
      );
      await new Promise<void>((resolve, reject) => {
        socket.once('error', reject);
        socket.bind(request.local.port, request.local.address, resolve);
      });
      sockets.set(key(request.local), socket);
      return undefined;
    }
    case 'close':
      sockets.get(key(request.local))?.close();
      sockets.delete(key(request.local));
      return undefined;
    case 'send': {
      const socket = sockets.get(key(request.local));
      if (socket === undefined) throw new Error(`${key(request.local)} is not bound`);
      const { promise, resolve } = Promise.withResolvers<string>();
      socket.send(Buffer.from(request.text, 'latin1'), request.remote.port, request.remote.address, (error) =>
        resolve(error === null ? '' : error.message),
      );
      return await promise;
    }
    case 'start':
      plane = createLinuxPlane(request.options, {
        packet: (flow, bytes, externalAddress) =>
          tell({
            event: 'packet',
            flow,
            text: Buffer.from(bytes).toString('latin1'),
            ...(externalAddress === undefined ? {} : { externalAddress }),
          }),
        opened: (id) => tell({ event: 'opened', id }),
        failed: (id, reason) => tell({ event: 'failed', id, reason }),
        externalAddresses: (addresses) => tell({ event: 'addresses', addresses }),
        closed: () => {},
        admits: () => true,
        limit: () => {},
        notice: (code, text) => tell({ event: 'notice', code, text }),
      });
      plane.start();
      return undefined;
    case 'stop':
      await running().stop();
      plane = undefined;
      return undefined;
    case 'off':
      return removeEverything();
    case 'stats':
      return running().stats();
    case 'plane-send':
      running().send(request.flow, Buffer.from(request.text, 'latin1'));
      return turnEnded();
    case 'signalling':
      running().signalling(request.command);
      return turnEnded();
    case 'media':
      running().media(request.command);
      return turnEnded();
    case 'renew': {
      const kernel = new NftElements(TABLE);
      try {
        kernel.apply(
          renew(
            request.set,
            request.elements.map(({ source, external, internal, timeoutMs }) => ({
              key: sourceElement(source, external),
              value: endpointElement(internal),
              timeoutMs,
            })),
          ),
        );
      } finally {
        kernel.close();
      }
      return undefined;
    }
    case 'conntrack': {
      const conntrack = new Conntrack();
      try {
        if (request.remove) conntrack.removeMatching(request.filter);
        return conntrack.list(request.filter);
      } finally {
        conntrack.close();
      }
    }
    case 'hold': {
      const conntrack = new Conntrack();
      try {
        conntrack.hold(request.local, request.peer, request.lifetimeMs);
      } finally {
        conntrack.close();
      }
      return undefined;
    }
    case 'preflight':
      return preflight(request.options);
  }
}

process.on('message', (message: { id: number; request: Request }) => {
  carryOut(message.request).then(
    (result) => process.send?.({ reply: message.id, result }),
    (error: unknown) => process.send?.({ reply: message.id, error: String(error) }),
  );
});
process.on('disconnect', () => process.exit(0));
process.send?.({ ready: true });
