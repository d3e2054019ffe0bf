/**
 * What the page says in sentences. Each is about one scenario, and is held against the run before it is written: a
 * sentence that the run does not bear out stops the page.
 */
import type { Course, Fate } from './compare.ts';

export interface Claim {
  readonly text: string;
  readonly title: string;
  readonly holds: (course: Course) => boolean;
}

const messages = (course: Course): readonly Fate[] => course.fates;
/** Every message as sipalg has it, but for `o=`. */
const right = (course: Course): boolean =>
  messages(course).every(({ fate, deviations }) => fate !== 'dropped' && deviations.every(isOrigin));
const lost =
  (what: string) =>
  (course: Course): boolean =>
    messages(course).some((one) => one.fate === 'dropped' && one.what === what);
const writes =
  (pattern: RegExp) =>
  (course: Course): boolean =>
    messages(course).some((one) => one.deviations.some(({ other }) => pattern.test(other)));
const media =
  (what: string, other: string) =>
  (course: Course): boolean =>
    course.media.some((one) => one.what === what && one.other === other);

export function isOrigin({ sipalg, other }: { readonly sipalg: string; readonly other: string }): boolean {
  return sipalg.startsWith('o=') && other.startsWith('o=');
}

export const rightClaims: readonly Claim[] = [
  {
    text: 'An ordinary call over UDP, from INVITE to BYE, is translated in every message.',
    title: 'a call from INVITE to BYE: its media is open while it lasts, for the other side alone',
    holds: right,
  },
  {
    text: 'So is an ordinary incoming call: the Request-URI is the phone’s again, the answer is reachable.',
    title:
      'an incoming call: the Request-URI is what the phone registered, the answer is reachable, the Via is the provider’s',
    holds: right,
  },
  {
    text: 'The 200 of a REGISTER gives the phone its own contact back and leaves the bindings of others.',
    title: 'the 200 gives the phone its own Contact back and leaves the bindings of others',
    holds: right,
  },
  {
    text: 'Where media is at the provider’s signalling address, it reaches a phone that has not sent any yet.',
    title: 'a call whose media is where the signalling is',
    holds: (course) => right(course) && media('RTP to a phone that has not sent any', 'arrives')(course),
  },
  {
    text: 'T.38 on an odd port has its way in.',
    title: 'T.38 on an odd port gets one odd or even port, and no RTCP',
    holds: media('media for port 4011 of the phone', 'arrives'),
  },
  {
    text: 'A stranger reaches nobody.',
    title: 'a stranger reaches nobody',
    holds: right,
  },
  {
    text: 'A provider that calls from another port reaches the phone, if the REGISTER itself has said for how long.',
    title: 'a provider may call from another port, where the REGISTER has said for how long',
    holds: right,
  },
  {
    text: 'Call-ID and credentials stay as they are.',
    title: 'the Call-ID is never touched, whatever it holds',
    holds: right,
  },
  {
    text: 'received and rport of an answer both become the phone’s own view.',
    title: 'received and rport that name us both become the phone’s own view',
    holds: right,
  },
];

export const betterClaims: readonly Claim[] = [
  {
    text: 'A message with a defect is translated all the same, where sipalg leaves it as it came: of a phone that writes, say, Max-Forwards above 255, Via, Contact and SDP name what can be reached.',
    title: 'Max-Forwards above 255',
    holds: writes(/^Contact: <sip:alice@203\.0\.113\.1:5060>/),
  },
  {
    text: 'A phone is called at a Request-URI with its port, also where it registered without one; sipalg gives back the phone’s own spelling. It is the same place.',
    title: 'a Request-URI without a port comes to the phone without one, if that is what it wrote',
    holds: writes(/^OPTIONS sip:alice@192\.168\.1\.50:5060 /),
  },
];

export const wrongClaims: readonly Claim[] = [
  {
    text: 'Content-Length is counted from `v=` to the end of the datagram, not by what the message declares: in a multipart body it is less than the body.',
    title: 'in a multipart body only the SDP part changes, and the outer length follows',
    holds: writes(/^Content-Length: \d/),
  },
  {
    text: 'Octets behind the body become part of it.',
    title: 'octets behind the body are no part of it: they are forwarded as they are, and not counted',
    holds: writes(/^Content-Length: \d/),
  },
  {
    text: 'The INVITE of a phone that moves to another port in the middle of a call, and keeps its media port, does not arrive.',
    title: 'the phone moves to another port in the middle of a call, and the call goes on',
    holds: lost('INVITE'),
  },
  {
    text: 'An INVITE with an SDP and no Content-Length, which UDP allows, does not arrive.',
    title: 'no Content-Length is added where none was',
    holds: lost('INVITE'),
  },
  {
    text: 'The INVITE of the second of two phones that offer the same media port does not arrive.',
    title: 'two phones offer the same media port: each has one of its own outside',
    holds: lost('INVITE'),
  },
  {
    text: 'An INVITE whose media are bundled on one port does not arrive.',
    title: 'bundled media on one port has one mapping',
    holds: lost('INVITE'),
  },
  {
    text: 'An INVITE whose `c=` is a host name does not arrive.',
    title: 'a host name in c= is not looked up, and stays',
    holds: lost('INVITE'),
  },
  {
    text: 'From and To are rewritten where they hold the phone’s address.',
    title: 'From, To and their tags are never touched, also where they are the phone’s address',
    holds: writes(/^From: .*<sip:alice@203\.0\.113\.1:5060>/),
  },
  {
    text: '`a=rtcp` keeps the private address.',
    title: 'a=rtcp with an address changes in both',
    holds: writes(/^a=rtcp:4001 IN IP4 192\.168\.1\.50/),
  },
  {
    text: 'A description with ICE is translated by half: `c=` changes, the candidates do not.',
    title: 'a description with ICE is left whole',
    holds: (course) =>
      writes(/^c=IN IP4 203\.0\.113\.1/)(course) && !writes(/^a=candidate.*203\.0\.113\.1/)(course),
  },
  {
    text: 'A body that is encrypted, signed or of another type is searched for SDP and rewritten.',
    title: 'an encrypted body stays',
    holds: writes(/^c=IN IP4 203\.0\.113\.1/),
  },
  {
    text: 'So is a body that a digest covers (auth-int).',
    title: 'where a digest covers the body, the body stays and the header does not',
    holds: writes(/^c=IN IP4 203\.0\.113\.1/),
  },
  {
    text: 'The phone’s own Contact in a 302 stays private.',
    title: 'the phone redirects: another’s Contact in its 302 stays, its own becomes reachable',
    holds: writes(/sip:alice@192\.168\.1\.50:5060;x=1/),
  },
  {
    text: 'What looks like an address in a display name is taken for the Contact.',
    title: 'what stands in userinfo or in a host name is no address',
    holds: writes(/^Contact: "<sip:alice@203\.0\.113\.1:5060>"/),
  },
  {
    text: 'The last of five streams has no way in, though its port is in the message.',
    title: 'several streams each have their pair, more than three too',
    holds: media('media for port 4008 of the phone', 'is lost'),
  },
  {
    text: 'The second pair of `m=audio 4000/2` has no way in.',
    title: 'a count of ports takes a run of pairs, and the count stays',
    holds: media('media for port 4002 of the phone', 'is lost'),
  },
  {
    text: 'RTCP on a port that is not beside RTP has no way in.',
    title: 'an RTCP port that is not beside RTP gets a mapping of its own',
    holds: media('media for port 4600 of the phone', 'is lost'),
  },
  {
    text: 'Hold by 0.0.0.0 on one of two streams becomes the address of both.',
    title: 'RFC 2543 hold on one of two streams leaves the other translated',
    holds: writes(/^c=IN IP4 0\.0\.0\.0/),
  },
  {
    text: 'A phone that says in Via and Contact that it listens on another port than the one it sends from stays private.',
    title:
      'a phone that sends from a high port and listens on another has one mapping: of the port that listens',
    holds: writes(/^Contact: <sip:d@192\.168\.1\.60:5060>/),
  },
  {
    text: 'Media of another host than the one of the signalling does not reach a phone that has not sent any itself.',
    title: 'a call from INVITE to BYE: its media is open while it lasts, for the other side alone',
    holds: media('RTP to a phone that has not sent any', 'is lost'),
  },
  {
    text: 'After BYE the way in stays open for who had it.',
    title: 'a call from INVITE to BYE: its media is open while it lasts, for the other side alone',
    holds: media('RTP after the end', 'arrives'),
  },
];
