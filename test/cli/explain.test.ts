import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root, sipalg } from './program.ts';

interface Answer {
  readonly verdict: string;
  readonly edits: readonly {
    offset: number;
    length: number;
    before: string;
    after: string;
    rule: string;
    source: string;
  }[];
  readonly defects: readonly { code: string }[];
}

const register = readFileSync(`${root}samples/register.sip`);
const invite = readFileSync(`${root}samples/invite.sip`);
const mapping = ['--mapping', '192.168.1.50:5060=203.0.113.7:61002'];
const media = ['--media', '192.168.1.50:16384=203.0.113.7:40000'];

test('the samples have CRLF line ends and no defects', () => {
  for (const name of ['register', 'invite']) {
    const text = readFileSync(`${root}samples/${name}.sip`, 'latin1');
    assert.ok(text.includes('\r\n') && !/[^\r]\n/.test(text), name);
    const { defects } = JSON.parse(sipalg(['explain', '--json', `samples/${name}.sip`]).out) as Answer;
    assert.deepEqual(defects, [], name);
  }
});

test('--json: each edit names its bytes, its rule and its source', () => {
  const { code, out } = sipalg(['explain', ...mapping, '--json', 'samples/register.sip']);
  assert.equal(code, 0);
  const answer = JSON.parse(out) as Answer;
  assert.equal(answer.verdict, 'translate');
  assert.deepEqual(
    answer.edits.map((edit) => [edit.rule, edit.before, edit.after]),
    [
      ['via.sent-by', '192.168.1.50:5060', '203.0.113.7:61002'],
      ['contact.host-port', '192.168.1.50:5060', '203.0.113.7:61002'],
    ],
  );
  for (const edit of answer.edits) {
    assert.equal(register.subarray(edit.offset, edit.offset + edit.length).toString('latin1'), edit.before);
    assert.match(edit.source, /^RFC \d+ §/);
  }
});

test('--raw: the edits of --json applied to the message, and nothing else', () => {
  const args = [...mapping, ...media, 'samples/invite.sip'];
  const { edits } = JSON.parse(sipalg(['explain', '--json', ...args]).out) as Answer;
  let expected = invite.toString('latin1');
  for (const edit of edits.toReversed()) {
    expected = expected.slice(0, edit.offset) + edit.after + expected.slice(edit.offset + edit.length);
  }
  const { bytes, err } = sipalg(['explain', '--raw', ...args]);
  assert.equal(err, '');
  assert.equal(bytes.toString('latin1'), expected);
  assert.match(expected, /\r\nm=audio 40000 RTP/);
});

test('standard input, and bytes that are not SIP: out they go as they came', () => {
  const odd = Buffer.from([0, 255, 128, 13, 10, 0, 27, 254]);
  const { bytes, code } = sipalg(['explain', '--raw', '-'], odd);
  assert.equal(code, 0);
  assert.deepEqual(bytes, odd);
});

test('for people: a diff with rule and RFC section', () => {
  const { out } = sipalg(['explain', ...mapping, 'samples/register.sip']);
  assert.match(out, /^translate: 2 edits/);
  assert.match(
    out,
    /^- Via: .*192\.168\.1\.50:5060.*\n\+ Via: .*203\.0\.113\.7:61002.*\n {4}via\.sent-by {2}RFC 3261 §18\.1\.1 /m,
  );
});

test('a file whose line ends an editor has changed is told of', () => {
  const { err } = sipalg(['explain', '-'], register.toString('latin1').replaceAll('\r\n', '\n'));
  assert.match(err, /SIP messages have CRLF/);
});
