/**
 * What a router says while it is asked and switched, be it broken or hostile: telnet, a terminal's text, SNMP, SSDP, NAT-PMP, pages
 * of HTTP, and what a recipe takes out of an answer. Nothing throws but what says why, nothing unprintable reaches a terminal, and
 * nothing that was not allowed is typed into the router again.
 */
import assert from 'node:assert/strict';
import { clean } from '../../../src/routers/drive/conversation.ts';
import { printable, RouterError } from '../../../src/routers/drive/failure.ts';
import { TelnetDecoder } from '../../../src/routers/drive/telnet.ts';
import { portMappingText } from '../../../src/routers/identify/port-mapping.ts';
import { descriptionOf } from '../../../src/routers/identify/snmp.ts';
import { searchAnswer } from '../../../src/routers/identify/upnp.ts';
import { pageEvidence } from '../../../src/routers/identify/web.ts';
import { fillKnown, requireSound, takeFrom } from '../../../src/routers/values.ts';
import { bucket, type Target } from '../target.ts';

const SYS_DESCR = '\x06\x08\x2b\x06\x01\x02\x01\x01\x01\0';
const RULES = [{ name: 'helper', what: 'a number', match: String.raw`\d{1,10}` }] as const;
/** No longer than a device that negotiates for ever gets. */
const MOST_REPLIES = 300;

export const routerTalkTarget: Target = {
  name: 'router-talk',
  share: 10_000,
  seeds: [
    '\xff\xfb\x01\xff\xfb\x03\xff\xfd\x18\r\nlogin: \xff\xfa\x18\x01\xff\xf0',
    '\x1b[2J\x1b[1;31mSIP\x1b[0m on\r\r\nabc\b\b\bxyz\r\n> ',
    `\x30\x2f\x02\x01\x01\x04\x06public\xa2\x22\x02\x01\x01\x02\x01\0\x02\x01\0\x30\x17\x30\x15${SYS_DESCR}\x04\x09RouterOS!`,
    'HTTP/1.1 200 OK\r\nSERVER: Linux/5 UPnP/1.0 MiniUPnPd/2.2\r\nLOCATION: http://192.168.1.1:5000/rootDesc.xml\r\n\r\n',
    '\0\x80\0\0\0\0\0\x01\xcb\0\x71\x07',
    '<html><head><title>\nFRITZ!Box\n</title></head>',
    'config system session-helper\r\n    edit 13\r\n        set name sip\r\n    next\r\nend',
  ],
  tokens: [
    ...['\xff\xff', '\xff\xfa', '\xff\xf0', '\xff\xfd', '\x1b[', '\x1b]', '\x07', '\b', '\r', '\0'],
    ...[
      SYS_DESCR,
      '\x04\x84\xff\xff\xff\xff',
      '\x04\xff',
      '<title>',
      '</title',
      'realm="',
      'HTTP/1.1 200',
      'SERVER:',
    ],
    ...['edit ', 'set name sip', '{{helper}}', '13'],
  ],
  run(bytes, seen) {
    const text = Buffer.from(bytes).toString('latin1');

    let replies = 0;
    const decoder = new TelnetDecoder((reply) => {
      replies += reply.length;
    });
    const plain = decoder.decode(bytes);
    assert.ok(plain.length <= bytes.length && replies <= MOST_REPLIES);
    const shown = clean(plain.toString('latin1'));
    assert.ok(!/[\b\x07\0]/.test(shown) && shown.length <= plain.length);
    assert.match(printable(shown), /^…?[\x20-\x7e\n]*$/);

    const description = descriptionOf(Buffer.from(bytes));
    assert.ok(description === undefined || description.length <= bytes.length);
    const mapping = portMappingText(bytes);
    const [answer] = searchAnswer(text);
    for (const value of [answer?.server, answer?.location])
      assert.ok(value === undefined || !/[\r\n]/.test(value));
    const page = pageEvidence(
      { status: 200, headers: { server: text, 'www-authenticate': text }, body: text },
      '',
    );
    for (const { value } of page) assert.match(value, /^[\x20-\x7e]{1,300}$/);

    const taken = takeFrom([String.raw`edit (?<helper>\S+)\s+set name sip`], shown);
    if (taken !== undefined) seen(typed(taken));
    seen(
      `${bucket(replies)} ${bucket(bytes.length - plain.length)} ${description === undefined ? '' : 'snmp'} ${mapping?.slice(0, 8) ?? ''} ${answer === undefined ? '' : 'ssdp'} ${page.length}`,
    );
  },
};

/** Sound and one number, or it is refused with words. */
function typed(taken: ReadonlyMap<string, string>): string {
  try {
    requireSound(taken, RULES);
  } catch (error) {
    assert.ok(error instanceof RouterError && error.code === 'routers/surprise' && error.hint !== '');
    return 'refused';
  }
  assert.match(fillKnown('delete {{helper}}', taken), /^delete \d{1,10}$/);
  return 'taken';
}
