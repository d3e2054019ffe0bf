/**
 * Via, name-addr and sip: URI: each reads one range of a larger text. What stands around the range must not matter, and
 * another host and port put in the place of the one that was found must leave everything else as it was.
 */
import assert from 'node:assert/strict';
import { parseAddress } from '../../../src/core/net/address.ts';
import { nameAddrParameter, scanNameAddr } from '../../../src/core/sip/name-addr.ts';
import { scanSipUri } from '../../../src/core/sip/uri.ts';
import { receivedAddress, scanVia } from '../../../src/core/sip/via.ts';
import { generateNameAddr, generateUri, generateVia, messageTokens } from '../messages.ts';
import { toOctets, toText } from '../octets.ts';
import { bucket, type Target } from '../target.ts';
import { inside, isPort, shifted, surrounded } from './spans.ts';

/** What would change the meaning of a value if a reader looked past its end or before its start. */
const BEFORE = 'Via: a,<";';
const AFTER = ' \t=1;tag=x:5060@b>",<sip:c@d>\r\n :5060]2001::1\r\n\r\n';

export const viaTarget: Target = {
  name: 'via',
  share: 90_000,
  seeds: [
    'SIP/2.0/UDP 192.168.1.50:5060;branch=z9hG4bKa;rport',
    'SIP / 2.0 / TCP\r\n [2001:db8::1] : 5061 ; received=2001:db8::2;rport=1, SIP/2.0/UDP b',
    'SIP/2.0/UDP a.example;x="a\\"b;c,d";ttl=1;branch=z',
  ],
  tokens: messageTokens,
  generate: generateVia,
  longest: 400,
  run(bytes, seen) {
    const end = bytes.length;
    const via = scanVia(bytes, 0, end);
    const around = surrounded(bytes, BEFORE, AFTER);
    const other = scanVia(around.bytes, around.start, around.start + end);
    assert.deepEqual(shifted(other, around.start), shifted(via, 0), 'what stands around a Via matters');
    if (via === undefined) return seen('refused');
    const { sentBy } = via;
    inside(sentBy.span, { start: 0, end: via.end }, 'sent-by');
    inside(sentBy.host, sentBy.span, 'host');
    isPort(sentBy.port, 'sent-by');
    assert.ok(via.end === end || bytes[via.end] === 0x2c, 'a Via ends at a comma or with its field');
    if (sentBy.address !== undefined) assert.equal(parseAddress(sentBy.address), sentBy.address);
    const received = receivedAddress(bytes, via);
    const text = toText(bytes);
    const spliced = `${text.slice(0, sentBy.span.start)}203.0.113.1:9${text.slice(sentBy.span.end)}`;
    const again = scanVia(toOctets(spliced), 0, spliced.length);
    assert.ok(again !== undefined, 'another sent-by in its place, and it is no Via any more');
    const at = (value: string, span: { start: number; end: number } | undefined): string | undefined =>
      span === undefined ? undefined : value.slice(span.start, span.end);
    assert.equal(at(spliced, again.branch), at(text, via.branch));
    assert.equal(at(spliced, again.rport), at(text, via.rport));
    assert.equal(again.end - spliced.length, via.end - end);
    assert.equal(again.sentBy.port, 9);
    const host = bytes[sentBy.host.start] === 0x5b ? 'v6' : sentBy.address === undefined ? 'name' : 'v4';
    seen(`${host} ${sentBy.port !== undefined} ${sentBy.span.end - sentBy.host.end > 6 ? 'white' : ''}`);
    const rport = via.rport === undefined ? '' : via.rport.end > via.rport.start ? 'rport=' : 'rport';
    const { received: written } = via;
    seen(
      `${rport} ${written === undefined ? '' : received === undefined ? 'received?' : 'received'} ${via.end < end}`,
    );
    seen(`branch ${via.branch === undefined ? '' : bucket(via.branch.end - via.branch.start)}`);
  },
};

export const nameAddrTarget: Target = {
  name: 'name-addr',
  share: 90_000,
  seeds: [
    '"A, \\"B\\"" <sip:a@192.168.1.50:5060;ob?x=y>;tag=1;q=0.5, <sip:b@c>',
    'sip:a@b.example;tag=1',
    'Alice B <tel:+1>;x="a,;b";y=[2001:db8::1]',
  ],
  tokens: messageTokens,
  generate: generateNameAddr,
  longest: 400,
  run(bytes, seen) {
    const end = bytes.length;
    const value = scanNameAddr(bytes, 0, end);
    const around = surrounded(bytes, BEFORE, AFTER);
    const other = scanNameAddr(around.bytes, around.start, around.start + end);
    assert.deepEqual(
      shifted(other, around.start),
      shifted(value, 0),
      'what stands around a name-addr matters',
    );
    if (value === undefined) return seen('refused');
    assert.ok(value.uri.end > value.uri.start, 'an empty URI');
    inside(value.uri, { start: 0, end: value.parameters }, 'URI');
    inside({ start: value.parameters, end: value.end }, { start: 0, end }, 'parameters');
    assert.ok(value.end === end || bytes[value.end] === 0x2c, 'a value ends at a comma or with its field');
    const names = ['tag', 'expires', 'q', 'x'].filter((name) => {
      const found = nameAddrParameter(bytes, value, name);
      if (found !== undefined) inside(found, { start: value.parameters, end: value.end }, name);
      return found !== undefined;
    });
    const bracketed = bytes[value.uri.end] === 0x3e && bytes[value.uri.start - 1] === 0x3c;
    if (bracketed) assert.ok(!/[<>" \t\r\n]/.test(toText(bytes.subarray(value.uri.start, value.uri.end))));
    else assert.ok(!/[,;?<>" \t\r\n]/.test(toText(bytes.subarray(value.uri.start, value.uri.end))));
    seen(
      [
        bracketed ? '<>' : 'bare',
        value.uri.start > 1 ? 'name' : '',
        value.end < end ? 'more' : '',
        ...names,
      ].join(','),
    );
  },
};

export const uriTarget: Target = {
  name: 'uri',
  share: 90_000,
  seeds: [
    'sip:alice:pw@192.168.1.50:5060;transport=udp?Subject=a%40b',
    'sip:[2001:db8::1]:5061;maddr=192.0.2.1',
    'sip:a;b?c/d&e=+$,@example.net',
  ],
  tokens: messageTokens,
  generate: generateUri,
  longest: 400,
  run(bytes, seen) {
    const end = bytes.length;
    const uri = scanSipUri(bytes, 0, end);
    const around = surrounded(bytes, 'sip:a@', AFTER);
    const other = scanSipUri(around.bytes, around.start, around.start + end);
    assert.deepEqual(shifted(other, around.start), shifted(uri, 0), 'what stands around a URI matters');
    if (uri === undefined) return seen('refused');
    inside(uri.span, { start: 4, end }, 'host and port');
    inside(uri.host, uri.span, 'host');
    assert.ok(uri.host.end > uri.host.start, 'an empty host');
    isPort(uri.port, 'URI');
    inside(uri.user, { start: 4, end: uri.span.start }, 'user');
    inside(uri.rest, { start: uri.span.end, end }, 'rest');
    assert.equal(uri.rest.end, end);
    if (uri.address !== undefined) assert.equal(parseAddress(uri.address), uri.address);
    const text = toText(bytes);
    for (const host of ['203.0.113.1', '[2001:db8::5]:65535']) {
      const spliced: string = text.slice(0, uri.span.start) + host + text.slice(uri.span.end);
      const again = scanSipUri(toOctets(spliced), 0, spliced.length);
      assert.ok(again !== undefined, 'another host in its place, and it is no URI any more');
      assert.equal(spliced.slice(again.user.start, again.user.end), text.slice(uri.user.start, uri.user.end));
      assert.equal(spliced.slice(again.rest.start), text.slice(uri.rest.start));
    }
    const user = uri.user.end - uri.user.start;
    seen(
      [
        uri.address === undefined ? 'name' : uri.address.includes(':') ? 'v6' : 'v4',
        uri.port === undefined ? '' : 'port',
        bucket(user),
        text[uri.rest.start] ?? '',
      ].join(','),
    );
  },
};
