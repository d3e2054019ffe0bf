/**
 * A TUN device: what the kernel routes to it is read here as whole IP packets, and what is written goes on as if it had come
 * in there (Linux, Documentation/networking/tuntap.rst).
 *
 * Facts: the device is made in the namespace of who calls TUNSETIFF, and lives as long as the descriptor. With IFF_NO_PI a
 * read is one packet and nothing else. Without offloads asked for (TUNSETOFFLOAD), checksums are complete in what is read.
 */
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import koffi from 'koffi';
import type { Namespace } from '../../../demo/namespace.ts';
import { type Watch, watch } from '../../../src/linux/readiness.ts';

const TUNSETIFF = 0x4004_54ca;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFREQ_SIZE = 40;
const NAME_SIZE = 16;
/** O_RDWR | O_NONBLOCK. */
const OPEN_FLAGS = 0o2 | 0o4000;
const LARGEST = 65_535;
/** Packets in one go before others get their turn. */
const BUDGET = 64;

const ioctl = koffi.load(null).func('int ioctl(int fd, unsigned long request, uint8_t *argument)');

export class Tun {
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #buffer = Buffer.alloc(LARGEST);

  constructor(space: Namespace, name: string, onPacket: (packet: Buffer) => void) {
    this.#fd = space.enter(() => {
      const fd = openSync('/dev/net/tun', OPEN_FLAGS);
      const request = Buffer.alloc(IFREQ_SIZE);
      request.write(name, 0, 'latin1');
      request.writeUInt16LE(IFF_TUN | IFF_NO_PI, NAME_SIZE);
      if (ioctl(fd, TUNSETIFF, request) !== 0) {
        closeSync(fd);
        throw new Error(`no TUN device can be made: errno ${koffi.errno()}`);
      }
      return fd;
    });
    this.#watch = watch(this.#fd, () => {
      for (let i = 0; i < BUDGET; i++) {
        const packet = this.#read();
        if (packet === undefined) return;
        onPacket(packet);
      }
    });
  }

  write(packet: Buffer): void {
    try {
      writeSync(this.#fd, packet);
    } catch {
      // The device is down, or its queue is full: a router drops as well.
    }
  }

  close(): void {
    this.#watch.close();
    closeSync(this.#fd);
  }

  #read(): Buffer | undefined {
    try {
      const length = readSync(this.#fd, this.#buffer);
      return Buffer.from(this.#buffer.subarray(0, length));
    } catch {
      return undefined;
    }
  }
}
