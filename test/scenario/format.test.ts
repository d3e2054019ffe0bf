/** The format itself: what a scenario may say, and that a wrong expectation is noticed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startEngine } from './engine-driver.ts';
import { Mismatch, playScenario } from './run.ts';
import { parseScenario, ScenarioError } from './scenario.ts';
import { updatedText } from './update.ts';

const HEAD = 'title t\nsource RFC 3261 §7\n';
const OPTIONS = `A -> provider
| OPTIONS sip:example.net SIP/2.0
| Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bK1;rport
| From: <sip:alice@example.net>;tag=a1
| To: <sip:example.net>
| Call-ID: one
| CSeq: 1 OPTIONS
| Content-Length: {auto}
|
|. body
`;
const RIGHT = `=> provider from 203.0.113.1:{port}
- Via: SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bK1;rport
+ Via: SIP/2.0/UDP 203.0.113.1:{port};branch=z9hG4bK1;rport
`;

const play = (text: string): ReturnType<typeof playScenario> =>
  playScenario(parseScenario('x', HEAD + text), startEngine);

test('what is foretold holds: a difference, the whole message, the rules, no event', async () => {
  await play(`${OPTIONS}${RIGHT}edits via.sent-by\nno event message.passed\nmedia none\n`);
  const whole = OPTIONS.replace('A -> provider', '=> provider').replace('192.168.1.50', '203.0.113.1');
  await play(OPTIONS + whole);
  await play(`${OPTIONS}${RIGHT}A -> provider again\n=> provider from 203.0.113.1:{port} again\n`);
});

test('what does not hold is noticed', async () => {
  for (const wrong of [
    '',
    '=> nothing\n',
    '=> provider unchanged\n',
    `${RIGHT}${RIGHT}`,
    RIGHT.replace('203.0.113.1:{port}\n', '203.0.113.2:{port}\n'),
    RIGHT.replace('+ Via', '+ via'),
    RIGHT.replace('- Via: SIP', '- Via:  SIP'),
    RIGHT.replace('from 203.0.113.1:{port}', 'from 203.0.113.1:5061'),
    `${RIGHT}edits none\n`,
    `${RIGHT}event message.passed\n`,
    `${RIGHT}no event message.translated\n`,
    `${RIGHT}media open 192.168.1.50:4000 at 203.0.113.1:{rtp}\n`,
  ])
    await assert.rejects(play(OPTIONS + wrong), Mismatch, wrong);
});

test('a gap has to be one still', async () => {
  const played = await play(`${OPTIONS}gap not built\n=> provider unchanged\n`);
  assert.deepEqual(played.gaps, ['not built']);
  await assert.rejects(play(`${OPTIONS}gap long built\n${RIGHT}`), /the gap is closed: long built/);
});

test('lines have the ends that they say, and octets are octets', () => {
  const { steps } = parseScenario('x', `${HEAD}A -> provider\n| é\n|lf b\n|. c\n|x 00 ff\n|\n`);
  const [step] = steps;
  assert.equal(step?.kind === 'send' && step.content, '\xc3\xa9\r\nb\nc\x00\xff\r\n');
});

test('what a file may not say, is said with file and line', () => {
  for (const wrong of [
    'titel x\n',
    'source RFC 3261\n',
    'gateway extrenal=1.2.3.4\n',
    '=> provider unchanged\n',
    'after a while\n',
    'A -> provider loudly\n| x\n',
    'A -> provider\n|x\n| y\n=> provider\n',
    'gap \n',
    'media maybe\n',
  ])
    assert.throws(
      () => parseScenario('x.scenario', HEAD + wrong),
      (error) => {
        assert.ok(error instanceof ScenarioError, wrong);
        assert.match(error.message, /^x\.scenario:\d+: /);
        return true;
      },
    );
});

test('UPDATE writes what arrived, in the form that stood there', async () => {
  const text = `${HEAD}${OPTIONS}${RIGHT.replace('+ Via', '+ via')}edits via.sent-by\n`;
  assert.equal(await updatedText('x', text, startEngine), `${HEAD}${OPTIONS}${RIGHT}edits via.sent-by\n`);
});
