/** The message scanner: it accepts or it says what is wrong, and every span lies where it may. */
import assert from 'node:assert/strict';
import { defects } from '../../../src/core/sip/defect.ts';
import { scanMessage } from '../../../src/core/sip/message.ts';
import { generateMessage, messageSeeds, messageTokens } from '../messages.ts';
import { toText } from '../octets.ts';
import { cutHeader } from '../oracle.ts';
import { bucket, type Target } from '../target.ts';
import { inside, isPort } from './spans.ts';

export const messageTarget: Target = {
  name: 'message',
  share: 103_000,
  seeds: messageSeeds,
  tokens: messageTokens,
  generate: generateMessage,
  run(bytes, seen) {
    const all = { start: 0, end: bytes.length };
    const scan = scanMessage(bytes);
    if (!scan.ok) {
      const [first] = scan.defects;
      assert.ok(
        first !== undefined && scan.defects.some(({ code }) => defects[code][0]),
        'refused without a reason',
      );
      for (const { code, offset } of scan.defects) {
        assert.ok(code in defects);
        inside({ start: offset, end: offset }, all, code);
      }
      return seen(`refused ${scan.defects.map(({ code }) => code).join(' ')}`);
    }
    const { message } = scan;
    assert.ok(!message.defects.some(({ code }) => defects[code][0]), 'accepted with a blocking defect');
    let last = 0;
    for (const value of message.fields) {
      const { name } = value;
      const line = { start: value.lineStart, end: value.lineEnd };
      inside(line, { start: last, end: message.body.start }, `line of ${name}`);
      inside(value, line, name);
      assert.ok(
        !/^[ \t]|[ \t]$/.test(toText(bytes.subarray(value.start, value.end))),
        `white space around ${name}`,
      );
      last = line.end + 2;
    }
    inside(message.body, all, 'body');
    const of = (name: string) => message.fields.filter((field) => field.name === name);
    const [via] = of('via');
    inside(message.via.sentBy.span, via!, 'sent-by');
    inside(message.via.sentBy.host, message.via.sentBy.span, 'host');
    isPort(message.via.sentBy.port, 'sent-by');
    for (const part of [message.via.branch, message.via.received, message.via.rport])
      if (part !== undefined) inside(part, via!, 'Via parameter');
    inside(message.from.uri, of('from')[0]!, 'From');
    inside(message.to.uri, of('to')[0]!, 'To');
    const contacts = of('contact');
    for (const { uri } of message.contacts)
      assert.ok(
        contacts.some(({ start, end }) => start <= uri.start && uri.end <= end),
        'a contact outside Contact',
      );
    if (message.kind === 'request')
      inside(message.requestUri, { start: 0, end: via!.lineStart }, 'Request-URI');
    else assert.ok(message.status >= 100 && message.status <= 699);
    assert.ok(message.cseq >= 0 && message.cseq < 2 ** 32 && message.callId !== '' && message.method !== '');
    // A reader that knows lines and nothing else finds as many, and the same body.
    const header = cutHeader(toText(bytes));
    assert.equal(message.fieldCount, header.lines.length - 1, 'number of header fields');
    assert.equal(message.body.start, header.body, 'where the body begins');
    const parts = message.defects.map(({ code }) => code).join(' ');
    seen(`${message.kind} ${bucket(message.contacts.length)} ${message.contactWildcard ? '*' : ''} ${parts}`);
    seen(
      `via ${bucket(of('via').length)} ${message.via.received !== undefined} ${message.via.rport !== undefined}`,
    );
    seen(`length ${message.contentLength !== undefined} ${message.body.end > message.body.start} ${parts}`);
    seen(`fields ${bucket(message.fieldCount)}`);
    for (const { name } of message.fields) seen(`field ${name}`);
  },
};
