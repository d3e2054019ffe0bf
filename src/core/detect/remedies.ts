/**
 * What can be done about a fault: one table, so that the same remedy has the same words everywhere. Which remedies help
 * against which fault, most promising first, stands with the fault.
 */

export interface Remedy {
  readonly id: string;
  /** An order to the reader, one sentence. */
  readonly what: string;
  /** Why it helps, or what it costs. */
  readonly why: string;
}

export const remedies = [
  {
    id: 'switch-off',
    what: 'Switch the SIP ALG (SIP helper, SIP passthrough) of the router off, and test again.',
    why: 'The box then leaves SIP alone; phone and provider deal with NAT themselves.',
  },
  {
    id: 'tls',
    what: 'Let the phones use SIP over TLS.',
    why: 'What is encrypted cannot be edited on the way.',
  },
  {
    id: 'other-port',
    what: 'Use another port of the provider than 5060, if it offers one.',
    why: 'Most boxes look only at traffic to port 5060.',
  },
  {
    id: 'tcp',
    what: 'Let the phones use SIP over TCP.',
    why: 'Many boxes edit UDP only, and a stream needs no IP fragments.',
  },
  {
    id: 'udp',
    what: 'Let the phones use SIP over UDP.',
    why: 'The box handles datagrams better than streams.',
  },
  {
    id: 'ipv6',
    what: 'Let the phones use IPv6, if provider and line have it.',
    why: 'Without NAT there is no address to be rewritten.',
  },
  {
    id: 'vpn',
    what: 'Send the phones’ traffic through a tunnel (VPN).',
    why: 'The box sees no SIP at all.',
  },
  {
    id: 'replace-router',
    what: 'Replace the router, or put it into bridge mode behind one without an ALG.',
    why: 'The last resort where the box cannot be switched off.',
  },
  {
    id: 'update-firmware',
    what: 'Update the firmware of the router.',
    why: 'Known mistakes in it may be mended; look at the setting again afterwards.',
  },
  {
    id: 'server-keepalive',
    what: 'Ask the provider to keep the mapping alive for this account, whatever its NAT test says.',
    why: 'The mapping then lives although the ALG hides that there is a NAT.',
  },
  {
    id: 'phone-keepalive',
    what: 'Let the phone send keepalives more often than half the time for which the mapping lives.',
    why: 'Outbound packets refresh a mapping on every NAT.',
  },
  {
    id: 'register-often',
    what: 'Let the phone register more often (an expiry of some minutes).',
    why: 'Each registration renews the mapping and what the registrar knows.',
  },
  {
    id: 'server-nat-help',
    what: 'Ask the provider to switch its NAT help on for this account: symmetric signalling and media.',
    why: 'It then answers to where packets come from and not to what messages say.',
  },
  {
    id: 'smaller-sdp',
    what: 'Offer fewer codecs and switch off what is not needed (ICE, video), so that messages get smaller.',
    why: 'A message that fits into one packet is not fragmented and not cut off.',
  },
  {
    id: 'raise-timeout',
    what: 'Raise the UDP timeout of the router, to 300 seconds if it can be chosen.',
    why: 'Then a mapping outlives the pause between two registrations or keepalives.',
  },
  {
    id: 'flush-state',
    what: 'Remove the router’s old states (conntrack entries) for SIP, or restart it, or use another source port.',
    why: 'What was opened under the old setting goes on being treated by it.',
  },
  {
    id: 'distinct-ports',
    what: 'Give every phone local SIP and RTP ports of its own.',
    why: 'Two phones on the same port are what the box confuses.',
  },
  {
    id: 'domain-not-ip',
    what: 'Let the phone write the provider’s domain, and no IP address, into From and To.',
    why: 'An ALG looks for addresses; a name gives it nothing to replace.',
  },
  {
    id: 'one-nat-solution',
    what: 'Use either STUN or ICE in the phone, or the ALG, never both.',
    why: 'Each of them corrects what the other has corrected already.',
  },
  {
    id: 'firewall-rule',
    what: 'Exempt the provider’s addresses from flood, port-scan and packet inspection of the firewall.',
    why: 'These take calls of a busy office for an attack.',
  },
  {
    id: 'allow-peers',
    what: 'Allow signalling and media from other addresses than the registrar in the router’s VoIP settings.',
    why: 'Providers send calls and audio from many addresses.',
  },
  {
    id: 'clamp-mss',
    what: 'Let the router clamp the TCP MSS, and let ICMP “too big” pass.',
    why: 'Packets then fit the line without anybody having to be told.',
  },
  {
    id: 'other-resolver',
    what: 'Use another DNS resolver than the router’s.',
    why: 'Its answers then come unaltered.',
  },
  {
    id: 'media-timeout-off',
    what: 'Switch the inactivity timeout for media off in the router’s VoIP settings.',
    why: 'A held or muted call is silent, and not over.',
  },
  {
    id: 'rtcp-mux',
    what: 'Let phones and provider send RTCP on the RTP port (rtcp-mux).',
    why: 'Then there is no second port that the box could forget.',
  },
  {
    id: 't38-off',
    what: 'Send faxes as audio (G.711) instead of T.38.',
    why: 'The call then has no second kind of media for the box to miss.',
  },
  {
    id: 'local-media',
    what: 'Let phones in the same network send media to each other directly (ICE, or the PBX inside).',
    why: 'Then nothing has to turn round at the router.',
  },
  {
    id: 'offload-off',
    what: 'Switch hardware offloading (fasttrack, flow offload) off for SIP and RTP.',
    why: 'Then all packets of a flow go the same way through the box.',
  },
  {
    id: 'both-engines',
    what: 'Switch off every SIP engine of the box: the profile as well as the helper beneath it.',
    why: 'Where one goes, the other takes over.',
  },
  {
    id: 'save-setting',
    what: 'Save the setting so that it survives a restart (commit, save, start-up script), restart, and test again.',
    why: 'A setting that is not saved comes back.',
  },
  {
    id: 'test-again',
    what: 'Test on the wire after each change, and again after each firmware update.',
    why: 'What a menu says and what a box does differ.',
  },
  {
    id: 'one-server',
    what: 'Keep to one SIP server behind this router, or switch the ALG off.',
    why: 'The ALG has room for one only.',
  },
  {
    id: 'auto-voip-off',
    what: 'Switch Auto-VoIP off on the switches between phone and router.',
    why: 'They take packets for voice, and treat them otherwise.',
  },
  {
    id: 'allow-user-agent',
    what: 'Allow the phone’s User-Agent in the router’s filter, or give the phone another one.',
    why: 'The filter goes by that name alone.',
  },
  {
    id: 'provider-helps',
    what: 'Send the evidence to the provider or the line’s operator.',
    why: 'The box stands where only they can change it.',
  },
] as const satisfies readonly Remedy[];

export type RemedyId = (typeof remedies)[number]['id'];

const byId: ReadonlyMap<string, Remedy> = new Map(remedies.map((remedy) => [remedy.id, remedy]));

export function remedyById(id: RemedyId): Remedy {
  return byId.get(id) as Remedy;
}
