/** Rules: listed, switched, and governed by a configuration. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type Rule, rules } from '../../src/core/alg/rules.ts';
import { root, sipalg } from './program.ts';

interface Answer {
  readonly verdict: string;
  readonly why?: string;
  readonly edits: readonly { before: string; after: string; rule: string }[];
}

const folder = mkdtempSync(join(tmpdir(), 'sipalg-rules-'));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

const mapping = ['--mapping', '192.168.1.50=203.0.113.7'];

function explained(...args: readonly string[]): Answer {
  const { code, out, err } = sipalg(['explain', '--json', ...mapping, ...args]);
  assert.equal(code, 0, err);
  return JSON.parse(out) as Answer;
}

function rulesOf(answer: Answer): string[] {
  return answer.edits.map(({ rule }) => rule);
}

test('rules --sip lists every rule, with all that the table says', () => {
  const { code, out } = sipalg(['rules', '--sip']);
  assert.equal(code, 0);
  for (const rule of rules as readonly Rule[]) {
    const line = out.split('\n').findIndex((text) => text.startsWith(`${rule.id} `));
    assert.ok(line >= 0, rule.id);
    const [head, summary, without] = out.split('\n').slice(line, line + 3);
    assert.match(head!, rule.default ? / on$/ : / off$/);
    assert.ok(head!.includes(rule.source));
    assert.deepEqual([summary, without], [`    ${rule.summary}`, `    Without it: ${rule.without}`]);
  }
  const answer = JSON.parse(sipalg(['rules', '--sip', '--json']).out) as { rules: Rule[] };
  assert.deepEqual(answer.rules, rules);
});

test('docs/reference/rules.md is what the table says, with a row for every rule', () => {
  const { status, stderr } = spawnSync(process.execPath, ['scripts/generate-docs.ts', '--check'], {
    cwd: root,
    encoding: 'utf8',
  });
  assert.equal(status, 0, stderr);
  const page = readFileSync(`${root}docs/reference/rules.md`, 'utf8');
  for (const rule of rules) assert.ok(page.includes(`| \`${rule.id}\` | `), rule.id);
});

test('a rule that is off makes no edits, and the others stay', () => {
  const all = rulesOf(explained('samples/invite.sip'));
  for (const off of ['via.sent-by', 'contact.host-port', 'sdp.connection', 'sdp.rtcp'])
    assert.deepEqual(
      rulesOf(explained('--rule', `${off}=off`, 'samples/invite.sip')).filter(
        (rule) => rule !== 'content-length',
      ),
      all.filter((rule) => rule !== off && rule !== 'content-length'),
    );
  assert.deepEqual(
    explained('--rule', 'via.sent-by=off', '--rule', 'contact.host-port=off', 'samples/register.sip').verdict,
    'pass',
  );
});

test('a rule that is off by default is switched on by its name, or by the policy that governs it', () => {
  assert.ok(!rulesOf(explained('samples/invite.sip')).includes('sdp.origin'));
  assert.ok(rulesOf(explained('--rule', 'sdp.origin=on', 'samples/invite.sip')).includes('sdp.origin'));
  assert.ok(rulesOf(explained('--origin', 'translate', 'samples/invite.sip')).includes('sdp.origin'));
  const off = explained('--origin', 'translate', '--rule', 'sdp.origin=off', 'samples/invite.sip');
  assert.ok(!rulesOf(off).includes('sdp.origin'));
});

test('a rule that does not exist: exit code 2, and the nearest one', () => {
  const cases: readonly [string, RegExp][] = [
    ['via.sentby=off', /there is no rule via\.sentby\n.*Did you mean via\.sent-by\?/],
    ['sdp.conection=on', /Did you mean sdp\.connection\?/],
    ['nonsense=on', /there is no rule nonsense\n {2}`sipalg rules --sip` lists/],
    ['via.sent-by', /it is not RULE=on or RULE=off/],
    ['via.sent-by=maybe', /it is not RULE=on or RULE=off/],
    ['content-length=off', /Content-Length follows the body/],
  ];
  for (const [rule, expected] of cases) {
    const { code, out, err } = sipalg(['explain', '--rule', rule, 'samples/register.sip']);
    assert.deepEqual([code, out], [2, ''], rule);
    assert.match(err, expected);
  }
  assert.match(sipalg(['rules', '--json']).err, /--json goes with --sip/);
});

test('--config: policy, media ports and what is switched off; options win over it', () => {
  const config = file('gateway.toml', '[policy]\norigin = "translate"\n[media]\nports = "40000-40001"\n');
  const answer = explained('--config', config, 'samples/invite.sip');
  assert.ok(rulesOf(answer).includes('sdp.origin'));
  assert.equal(answer.edits.find(({ rule }) => rule === 'sdp.media-port')?.after, '40000');
  const kept = explained('--config', config, '--origin', 'keep', 'samples/invite.sip');
  assert.ok(!rulesOf(kept).includes('sdp.origin'));

  const off = file('off.toml', '[[phone]]\naddress = "192.168.1.0/24"\nmode = "off"\n');
  const left = explained('--config', off, 'samples/invite.sip');
  assert.deepEqual([left.verdict, left.edits], ['pass', []]);
  assert.match(left.why ?? '', /leaves the phone 192\.168\.1\.50 alone/);
});

test('--config with problems: all of them, with their lines, and exit code 2', () => {
  const bad = file('bad.toml', '[policy]\norigine = "keep"\nice = "maybe"\n');
  const { code, out, err } = sipalg(['explain', '--config', bad, 'samples/invite.sip']);
  assert.deepEqual([code, out], [2, '']);
  assert.match(err, /bad\.toml:2: config\/unknown-key/);
  assert.match(err, /bad\.toml:3: config\/not-one-of/);
});
