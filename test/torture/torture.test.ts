/**
 * The torture messages of RFC 4475 and RFC 5118, run through the engine both ways. They are not part of this project: they
 * are read from the folder that SIPALG_CORPUS names, or from ../shared/corpus beside the checkout. Without them the
 * project's own messages of every class stand in, as scenarios.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { ExplainedEdit } from '../../src/core/alg/event.ts';
import type { EngineOptions } from '../../src/core/alg/policy.ts';
import type { Endpoint } from '../../src/core/net/address.ts';
import { textOf } from '../../src/core/sip/octets.ts';
import { Workbench } from '../engine/bench.ts';
import { readScenario, scenarioPaths } from '../scenario/files.ts';
import { type Inside, type Row, table } from './table.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const corpus = process.env.SIPALG_CORPUS ?? join(root, '../shared/corpus');
const EXTERNAL = { 4: '203.0.113.99', 6: '2001:db8:ffff::99' };
const PROVIDER = { 4: '198.51.100.99', 6: '2001:db8:aaaa::99' };
const PHONE = '10.99.0.99';

/** What the line of an edit has to begin with: judged on the octets, without the scanner. */
const LINES: Readonly<Record<string, RegExp>> = {
  'via.sent-by': /^(?:via|v)[ \t]*:/i,
  'via.sent-by.restore': /^(?:via|v)[ \t]*:/i,
  'contact.host-port': /^(?:contact|m)[ \t]*:/i,
  'request-uri.host-port': /^[A-Z]+ sip:/,
  'content-length': /^(?:content-length|l)[ \t]*:/i,
  'sdp.connection': /^c=IN IP[46] /,
  'sdp.media-port': /^m=[a-z]+ /,
  'sdp.origin': /^o=/,
};

for (const rfc of [4475, 5118] as const) {
  const folder = join(corpus, `rfc${rfc}`);
  const rows = table.filter((row) => row.rfc === rfc);
  if (!existsSync(folder)) {
    test(`RFC ${rfc}: NOT RUN, its messages are not there`, (t) => {
      t.diagnostic(
        `RFC ${rfc} is not run: no ${folder}. SIPALG_CORPUS names the folder that has rfc${rfc}/*.dat.`,
      );
    });
    continue;
  }
  for (const row of rows) {
    const title = `RFC ${rfc}${row.section === '' ? '' : ` §${row.section}`} ${row.file}: ${row.why}`;
    test(title, () => checkRow(row, new Uint8Array(readFileSync(join(folder, `${row.file}.dat`)))));
  }
  test(`RFC ${rfc}: every message of the corpus is in the table`, () => {
    const there = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.dat'))
      .map((file) => file.replaceAll('\\', '/').slice(0, -4));
    assert.deepEqual(rows.map((row) => row.file).sort(), there.sort());
  });
}

test('every class of torture message has one of the project’s own, as a scenario', () => {
  const cited = new Set<string>();
  for (const path of scenarioPaths())
    for (const { rfc, section } of readScenario(path).sources) cited.add(`${rfc} ${section}`);
  const missing = table.filter(({ rfc, section }) => section !== '' && !cited.has(`${rfc} ${section}`));
  assert.deepEqual(
    missing.map(({ rfc, section }) => `RFC ${rfc} §${section}`),
    [],
  );
});

function checkRow(row: Row, bytes: Uint8Array): void {
  for (const origin of ['keep', 'translate'] as const) {
    const options = { policy: { origin } };
    assertUntouched(bytes, run(bytes, { as: 'phone', address: PHONE }, options), 'nobody is inside');
    assertUntouched(
      bytes,
      run(bytes, { as: 'mapping', address: EXTERNAL[4] }, options),
      'nobody is asked for',
    );
    const named = new Set(row.inside?.map((one) => `${one.as} ${one.address}`));
    for (const address of addressesIn(bytes))
      for (const as of ['phone', 'mapping'] as const)
        if (!named.has(`${as} ${address}`))
          assertUntouched(bytes, run(bytes, { as, address }, options), `${address} is a ${as}`);
    for (const inside of row.inside ?? []) {
      const found = run(bytes, inside, options);
      const rules = [...inside.rules];
      if (origin === 'translate' && inside.origin) {
        rules.push('sdp.origin');
        // The body's length changes by what o= changes, where there is a Content-Length.
        if (!rules.includes('content-length') && !rules.includes('sdp.connection'))
          rules.push('content-length');
      }
      assert.deepEqual(
        [...new Set(found.edits.map((edit) => edit.rule))].sort(),
        rules.sort(),
        inside.address,
      );
      assertOnlyEdits(bytes, found.bytes, found.edits, inside);
    }
  }
  if (row.expect === 'pass') assert.equal(row.inside, undefined);
}

interface Found {
  readonly bytes: Uint8Array | undefined;
  readonly edits: readonly ExplainedEdit[];
}

/** One engine, one message: from the phone at the address, or to a phone that has it as its external one. */
function run(
  bytes: Uint8Array,
  inside: Pick<Inside, 'as' | 'address' | 'port'>,
  options: EngineOptions,
): Found {
  const family = inside.address.includes(':') ? 6 : 4;
  const provider = { address: PROVIDER[family], port: 5060 };
  const own: Endpoint = { address: inside.address, port: inside.port ?? 5060 };
  const static_ = { internal: { address: PHONE }, external: { address: inside.address } };
  const bench = new Workbench(inside.as === 'phone' ? options : { ...options, mappings: [static_] });
  if (inside.as === 'phone')
    bench.feed({
      kind: 'packet',
      flow: { transport: 'udp', side: 'internal', local: provider, remote: own },
      bytes,
      externalAddress: EXTERNAL[family],
    });
  else {
    const remote = { address: PHONE, port: own.port };
    const open = { transport: 'udp', side: 'internal', local: provider, remote } as const;
    bench.feed({ kind: 'packet', flow: open, bytes: new Uint8Array(0), externalAddress: own.address });
    bench.sent = [];
    bench.feed({
      kind: 'packet',
      flow: { transport: 'udp', side: 'external', local: own, remote: provider },
      bytes,
    });
  }
  assert.deepEqual(bench.eventsOf('engine.fault'), []);
  assert.ok(bench.sent.length <= 1);
  return { bytes: bench.sent[0]?.bytes, edits: bench.eventsOf('message.translated')[0]?.edits ?? [] };
}

function assertUntouched(bytes: Uint8Array, found: Found, why: string): void {
  assert.deepEqual(found.edits, [], why);
  assert.ok(found.bytes !== undefined && Buffer.compare(found.bytes, bytes) === 0, why);
}

/** Outside its edits not an octet differs; each edit is in the line that it belongs to, and replaces what it should. */
function assertOnlyEdits(
  bytes: Uint8Array,
  result: Uint8Array | undefined,
  edits: readonly ExplainedEdit[],
  { address }: Inside,
): void {
  const before = textOf(bytes, 0, bytes.length);
  let expected = '';
  let from = 0;
  for (const edit of edits) {
    expected += before.slice(from, edit.offset) + edit.after;
    from = edit.offset + edit.length;
    const line = lineAt(before, edit.offset);
    assert.match(line.text, LINES[edit.rule] ?? /^$/, edit.rule);
    if (edit.rule.startsWith('via.'))
      assert.ok(!/^(?:via|v)[ \t]*:/im.test(before.slice(0, line.start)), 'only the topmost Via');
    const old = before.slice(edit.offset, edit.offset + edit.length);
    assert.equal(old, edit.before);
    if (edit.rule === 'content-length' || edit.rule === 'sdp.media-port') assert.match(old, /^\d+$/);
    else assert.equal(hostOf(old), address, edit.rule);
  }
  expected += before.slice(from);
  assert.equal(textOf(result ?? new Uint8Array(0), 0, result?.length ?? 0), expected);
  const length = /^(?:content-length|l)[ \t]*:\s*(\d+)/im;
  const grown = expected.length - before.length;
  const inHeader = edits
    .filter(({ rule }) => !rule.startsWith('sdp.'))
    .reduce((sum, edit) => sum + edit.after.length - edit.length, 0);
  const [was, is] = [length.exec(before)?.[1], length.exec(expected)?.[1]];
  assert.equal(Number(is ?? 0) - Number(was ?? 0), was === undefined ? 0 : grown - inHeader);
}

/** The logical line that an offset is in, with its folds. */
function lineAt(text: string, offset: number): { start: number; text: string } {
  let start = offset;
  while (start > 0 && (text[start - 1] !== '\n' || text[start] === ' ' || text[start] === '\t')) start--;
  return { start, text: text.slice(start) };
}

function hostOf(text: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+)(?::\d+)?$/.exec(text)?.[1] ?? text;
}

function addressesIn(bytes: Uint8Array): string[] {
  const text = textOf(bytes, 0, bytes.length);
  const v4 = text.match(/(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])/g) ?? [];
  const v6 = text.match(/(?<![\w:])[0-9a-f]{1,4}:[0-9a-f:]*:[0-9a-f]+(?![\w:.])/gi) ?? [];
  return [...new Set([...v4.filter((one) => one.split('.').every((octet) => Number(octet) < 256)), ...v6])];
}
