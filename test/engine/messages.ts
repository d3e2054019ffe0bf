/** What the two sides of a call say to each other, for tests of calls. */
import { message, request, sdp, type Workbench } from './bench.ts';

/** The phone's INVITE; returns what left. */
export function invite(bench: Workbench, names = {}, body = sdp('192.168.1.50', 4000)): string {
  return bench.phone(request('INVITE', names, body))[0]?.text ?? '';
}

/** An INVITE from the provider to the phone, which has to have sent something before. */
export function incoming(bench: Workbench, body?: readonly string[]): string {
  bench.phone(request('OPTIONS', { callId: 'o' }));
  const text = message(
    [
      'INVITE sip:alice@203.0.113.1:5060 SIP/2.0',
      'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKin',
      'From: <sip:bob@example.net>;tag=b1',
      'To: <sip:alice@example.net>',
      'Call-ID: in@example.net',
      'CSeq: 1 INVITE',
      'Contact: <sip:bob@198.51.100.5:5060>',
    ],
    body,
  );
  return bench.provider(text, '203.0.113.1:5060')[0]?.text ?? '';
}

/** The phone's response to it. */
export function answer(status: number, body?: readonly string[]): string {
  return message(
    [
      `SIP/2.0 ${status} OK`,
      'Via: SIP/2.0/UDP 198.51.100.5:5060;branch=z9hG4bKin',
      'From: <sip:bob@example.net>;tag=b1',
      'To: <sip:alice@example.net>;tag=a9',
      'Call-ID: in@example.net',
      'CSeq: 1 INVITE',
      'Contact: <sip:alice@192.168.1.50:5060>',
    ],
    body,
  );
}
