/** The kernel's tables as the data plane uses them: elements of our nftables table, connections, media, and what was dropped. */
import { Conntrack } from './conntrack.ts';
import { ElementStore } from './element-store.ts';
import type { Family } from './family.ts';
import { FloodWatch } from './flood-watch.ts';
import { FlowChanges } from './flow-changes.ts';
import { FlowSweep } from './flow-sweep.ts';
import { KernelMedia } from './kernel-media.ts';
import { NftElements } from './nft-elements.ts';
import { TABLE } from './ruleset.ts';

export interface Kernel {
  readonly elements: NftElements;
  readonly conntrack: Conntrack;
  /** What is put here and into `flows` takes effect with the next `commit`. */
  readonly store: ElementStore;
  readonly flows: FlowChanges;
  readonly sweep: FlowSweep;
  readonly media: KernelMedia;
  readonly floods: FloodWatch;
}

/** Opens the sockets to the kernel. `commit` has all of it take effect. Throws a `SystemError`. */
export function openKernel(
  families: readonly Family[],
  sipPorts: readonly number[],
  tell: (code: string, error: unknown) => void,
  commit: () => void,
): Kernel {
  const elements = new NftElements(TABLE);
  const conntrack = new Conntrack();
  const store = new ElementStore(elements);
  const sweep: FlowSweep = new FlowSweep(
    conntrack,
    (error) => tell('linux.flows', error),
    () => {
      media.finishClosings();
      commit();
    },
  );
  const flows = new FlowChanges(conntrack);
  const media: KernelMedia = new KernelMedia(store, flows, sweep, sipPorts);
  return { elements, conntrack, store, flows, sweep, media, floods: new FloodWatch(elements, families) };
}
