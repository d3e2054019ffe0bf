/** SDP descriptions and multipart bodies: what is found lies in the body and is what it is said to be. */
import assert from 'node:assert/strict';
import { parseAddress } from '../../../src/core/net/address.ts';
import { type ConnectionData, scanDescription } from '../../../src/core/sdp/description.ts';
import { scanMediaType, sdpParts } from '../../../src/core/sip/multipart.ts';
import { description, generateDescription, messageTokens } from '../messages.ts';
import { toOctets, toText } from '../octets.ts';
import type { Random } from '../random.ts';
import { bucket, type Target } from '../target.ts';
import { inside, shifted, surrounded } from './spans.ts';

export const sdpTarget: Target = {
  name: 'sdp',
  share: 90_000,
  seeds: [
    description('192.168.1.50', 4000, [
      'a=rtcp:4001 IN IP4 192.168.1.50',
      'm=video 4002/2 RTP/AVP 99',
      'c=IN IP6 ::1',
    ]),
    description('0.0.0.0', 0, ['a=rtcp-mux', 'a=ice-ufrag:x', 'm=image 4010 udptl t38']),
    description('192.168.1.50', 4000, [
      'a=candidate:1 1 UDP 1 192.168.1.50 4000 typ host',
      'a=candidate:2 1 UDP 1 203.0.113.1 4000 typ srflx raddr 192.168.1.50 rport 4000',
    ]),
  ],
  tokens: [
    ...messageTokens.slice(-20),
    ...[
      'v=0',
      'o=',
      's=-',
      't=0 0',
      'c=IN IP4 ',
      'c=IN IP6 ::',
      'm=',
      'a=',
      ' typ host',
      ' raddr ',
      '/127',
      '/2',
      '\n',
    ],
  ],
  generate: generateDescription,
  longest: 2048,
  run(bytes, seen) {
    const found = scanDescription(bytes, { start: 0, end: bytes.length });
    const around = surrounded(bytes, 'v=0\r\nc=IN IP4 ', '4001\r\nm=audio 1 RTP/AVP 0\r\n\r\n');
    const other = scanDescription(around.bytes, { start: around.start, end: around.start + bytes.length });
    assert.deepEqual(
      shifted(other, around.start),
      shifted(found, 0),
      'what stands around a description matters',
    );
    if (found === undefined) return seen('refused');
    const text = toText(bytes);
    const edits: { start: number; end: number; text: string }[] = [];
    const connection = (one: ConnectionData | undefined, what: string): string => {
      if (one === undefined) return '';
      inside(one.span, { start: 0, end: bytes.length }, what);
      const written = text.slice(one.span.start, one.span.end);
      if (one.address === undefined) return 'name';
      assert.equal(parseAddress(written), one.address, what);
      if (!one.address.includes(':')) edits.push({ ...one.span, text: '203.0.113.200' });
      return one.address.includes(':') ? 'v6' : 'v4';
    };
    const words = [connection(found.origin, 'o='), connection(found.connection, 'c=')];
    for (const media of found.media) {
      assert.equal(Number(text.slice(media.portSpan.start, media.portSpan.end)), media.port);
      assert.ok(media.port >= 0 && media.port <= 65_535 && media.count >= 1 && media.count <= 255);
      edits.push({ ...media.portSpan, text: '65432' });
      const own = connection(media.connection, 'c= of a medium');
      if (media.rtcp !== undefined) {
        assert.equal(Number(text.slice(media.rtcp.portSpan.start, media.rtcp.portSpan.end)), media.rtcp.port);
        connection(media.rtcp.connection, 'a=rtcp');
      }
      for (const candidate of media.candidates) connection(candidate.connection, 'candidate');
      seen(`m= ${own} ${media.port === 0 ? '0' : ''} ${media.count > 1 ? 'n' : ''}`);
      seen(`rtcp ${media.rtcp !== undefined} ${media.rtcp?.connection !== undefined} ${media.rtcpMux}`);
      for (const one of media.candidates) seen(`candidate ${one.transport} ${one.related !== undefined}`);
    }
    seen(words.join(','));
    seen(`media ${bucket(found.media.length)} ${found.ice ? 'ice' : ''}`);
    // Other addresses and ports of another length in their places: the same description otherwise.
    let spliced = '';
    let from = 0;
    for (const edit of edits.sort((a, b) => a.start - b.start)) {
      assert.ok(edit.start >= from, 'two values in one place');
      spliced += text.slice(from, edit.start) + edit.text;
      from = edit.end;
    }
    spliced += text.slice(from);
    const again = scanDescription(toOctets(spliced), { start: 0, end: spliced.length });
    assert.equal(
      again?.media.length,
      found.media.length,
      'other ports in their places, and it reads differently',
    );
    assert.equal(again?.ice, found.ice);
  },
};

export const multipartTarget: Target = {
  name: 'multipart',
  share: 80_000,
  seeds: [
    'multipart/mixed;boundary=b\r\n\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b\r\n\r\ntext\r\n--b--\r\n',
    'multipart/alternative ; boundary="b c"\r\n\r\n--b c\r\nContent-Type: multipart/mixed;boundary=d\r\n\r\n--d\r\nc: application/sdp\r\n\r\nv=0\r\n--d--\r\n--b c--',
    'application/sdp\r\n\r\nv=0\r\n',
  ],
  tokens: [
    ...[
      '--b',
      '--b--',
      '--b\r\n',
      '\r\n--b\r\n',
      '--',
      '\r\n\r\n',
      '\n',
      'Content-Type: application/sdp\r\n',
    ],
    ...[
      'Content-Type: multipart/mixed;boundary=b\r\n',
      'Content-Encoding: gzip\r\n',
      'boundary=',
      'boundary="',
    ],
    ...[
      'Content-Transfer-Encoding: base64\r\n',
      'multipart/signed',
      'multipart/',
      'application/sdp',
      ' \r\n\t',
      '"',
    ],
  ],
  generate: generateMultipart,
  longest: 2048,
  /** The first lines, up to an empty one, are the Content-Type; the rest is the body. */
  run(bytes, seen) {
    const text = toText(bytes);
    const split = text.indexOf('\r\n\r\n');
    const type = { start: 0, end: split < 0 ? text.length : split };
    const body = { start: split < 0 ? text.length : split + 4, end: text.length };
    const mediaType = scanMediaType(bytes, type);
    if (mediaType === undefined) return seen('no type');
    inside(mediaType.type, type, 'type');
    inside(mediaType.subtype, { start: mediaType.type.end, end: type.end }, 'subtype');
    inside(mediaType.parameters, { start: mediaType.subtype.end, end: type.end }, 'parameters');
    const parts = sdpParts(bytes, mediaType, body);
    const padded = surrounded(bytes, '', '\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n');
    assert.deepEqual(sdpParts(padded.bytes, mediaType, body), parts, 'what stands behind a body matters');
    let last = body.start;
    for (const part of parts) {
      inside(part, { start: last, end: body.end }, 'part');
      assert.ok(part.start === body.start || text[part.start - 1] === '\n', 'a part begins in a line');
      last = part.end;
    }
    const subtype = text.slice(mediaType.subtype.start, mediaType.subtype.end).toLowerCase();
    if (/^(signed|encrypted)$/.test(subtype)) assert.equal(parts.length, 0, 'what is signed was looked into');
    seen(`${/^multipart/i.test(text) ? 'multipart' : 'single'} ${bucket(parts.length)}`);
    seen(`inner ${bucket(text.split(/multipart\//i).length)} ${bucket(parts.length)}`);
  },
};

function generateMultipart(random: Random): string {
  const make = (depth: number): string => {
    const boundary = random.pick(['b', 'b', 'bb', 'b c', '-', '--b', 'x'.repeat(70)]);
    const end = random.once(6) ? '\n' : '\r\n';
    const type = `multipart/${random.pick(['mixed', 'alternative', 'signed'])};boundary="${boundary}"`;
    let body = random.once(4) ? `preamble${end}` : '';
    for (let n = random.below(4); n > 0; n--) {
      const inner = depth < 5 && random.once(3) ? make(depth + 1) : undefined;
      const kind = random.pick([
        'application/sdp',
        'application/sdp',
        'text/plain',
        'APPLICATION/SDP; charset=x',
      ]);
      body += `--${boundary}${random.pick(['', '', ' ', '\t'])}${end}Content-Type: `;
      body += inner ?? `${kind}${end}${random.pick(['', '', `Content-Encoding: gzip${end}`])}${end}v=0${end}`;
    }
    return `${type}\r\n\r\n${body}${random.once(6) ? '' : `--${boundary}--${end}`}`;
  };
  return make(0);
}
