/** Whether media passes, from tables as the kernel lists them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ConntrackEntry } from '../../src/linux/conntrack.ts';
import { IPS_OFFLOAD } from '../../src/linux/conntrack.ts';
import { MediaActivity, type WatchedMedia } from '../../src/linux/media-activity.ts';

const PHONE = '192.168.1.50';
const OUTSIDE = '203.0.113.1';
const PEER = { address: '198.51.100.6', port: 9000 };

const media: WatchedMedia = {
  id: 7,
  internal: { address: PHONE, port: 4000 },
  external: { address: OUTSIDE, port: 30_000 },
  ports: 2,
};

/** A flow from the phone's port, or to the external one. */
function flow(
  from: 'phone' | 'peer',
  timeoutS: number,
  more: { id?: number; status?: number; port?: number } = {},
): ConntrackEntry {
  const { id = 1, status = 0, port = 0 } = more;
  const original =
    from === 'phone'
      ? { source: { address: PHONE, port: 4000 + port }, destination: PEER }
      : { source: PEER, destination: { address: OUTSIDE, port: 30_000 + port } };
  return { original, reply: { source: PEER, destination: PEER }, status, timeoutS, id };
}

/** Looks every three seconds at what stands in each row; what is told at each look. */
function looks(...rows: readonly (readonly ConntrackEntry[])[]): (string | undefined)[] {
  const activity = new MediaActivity();
  return rows.map((entries, i) => activity.look([media], entries, i * 3_000).get(media.id));
}

test('a flow whose end moves on flows, one whose end stays is idle, and each is told once', () => {
  assert.deepEqual(
    looks([flow('phone', 120)], [flow('phone', 120)], [flow('phone', 117)], [flow('phone', 114)]),
    ['flowing', undefined, 'idle', undefined],
  );
});

test('what the kernel rounds is no packet', () => {
  assert.deepEqual(
    looks([flow('peer', 120)], [flow('peer', 118)], [flow('peer', 114)], [flow('peer', 112)]),
    ['flowing', 'idle', undefined, undefined],
  );
});

test('one side is enough, RTCP is enough, a new flow is enough, an offloaded one too', () => {
  assert.deepEqual(looks([], [flow('peer', 30)], [flow('peer', 27)]), ['idle', 'flowing', 'idle']);
  assert.deepEqual(looks([], [flow('phone', 30, { port: 1 })]), ['idle', 'flowing']);
  assert.deepEqual(looks([flow('peer', 30)], [flow('peer', 30, { id: 2 })]), ['flowing', undefined]);
  const offloaded = flow('peer', 86_400, { status: IPS_OFFLOAD });
  assert.deepEqual(looks([offloaded], [{ ...offloaded, timeoutS: 86_397 }]), ['flowing', undefined]);
});

test("another port's flows, and another phone's, say nothing", () => {
  const other = flow('phone', 30, { port: 2 });
  assert.deepEqual(looks([other], [{ ...other, timeoutS: 30 }]), ['idle', undefined]);
});

test('one flow of a hairpin is the flow of both mappings', () => {
  const activity = new MediaActivity();
  const second: WatchedMedia = {
    id: 8,
    internal: { address: '192.168.1.51', port: 6000 },
    external: { address: OUTSIDE, port: 30_002 },
    ports: 2,
  };
  const hairpin: ConntrackEntry = {
    original: { source: media.internal, destination: second.external },
    reply: { source: second.internal, destination: media.external },
    status: 0,
    timeoutS: 30,
    id: 3,
  };
  assert.deepEqual(
    activity.look([media, second], [hairpin], 0),
    new Map([
      [7, 'flowing'],
      [8, 'flowing'],
    ]),
  );
});

test('a mapping that is gone is forgotten, and told anew when its number comes back', () => {
  const activity = new MediaActivity();
  activity.look([media], [], 0);
  activity.look([], [], 3_000);
  assert.equal(activity.look([media], [], 6_000).get(7), 'idle');
});
