/**
 * What the gateway does about each section of each RFC that a scenario cites, one line each. A section without a scenario
 * has to say why none is applicable.
 */

export interface Specification {
  readonly rfc: number;
  readonly title: string;
  readonly sections: readonly SectionNote[];
}

export interface SectionNote {
  readonly section: string;
  readonly text: string;
  /** Not applicable: the text says why. */
  readonly na: boolean;
}

const na = (section: string, text: string): readonly [string, string, true] => [section, text, true];

type Short = readonly [section: string, text: string, na?: true];

const rfc3261: readonly Short[] = [
  ['7', 'A message is octets and spans into them; its lines end in CRLF, or it passes untouched.'],
  ['7.1', 'A request line that does not follow the grammar passes untouched.'],
  ['7.2', 'A status line that does not follow the grammar passes untouched; the reason phrase is any text.'],
  [
    '7.3.1',
    'Order, case, white space and folds stay; what may stand once and stands twice passes untouched.',
  ],
  ['7.3.2', 'Unknown header fields are never read and never touched.'],
  ['7.3.3', 'Compact forms are known, and stay compact.'],
  ['7.4', 'A body is octets; only application/sdp is read.'],
  ['7.4.1', 'A body without a type is none that the gateway knows.'],
  ['7.5', 'Empty lines in front of the start line are passed over, and stay.'],
  ['8.1.1', 'A message without Via, From, To, Call-ID or CSeq passes untouched.'],
  ['8.1.1.1', 'Any token is a method.'],
  ['8.1.1.2', 'To is never touched.'],
  ['8.1.1.3', 'From is never touched.'],
  ['8.1.1.4', 'The Call-ID is never touched.'],
  ['8.1.1.5', 'CSeq is never touched; one that does not fit its message is not understood.'],
  ['8.1.1.7', 'The branch is never touched, and identifies a transaction of one phone only.'],
  ['8.1.1.8', 'A Contact is translated, unless it can be reached from outside as it stands.'],
  ['8.1.3.4', 'A redirection to somebody else stays; one to the phone itself is made reachable.'],
  ['8.2.2.1', 'A request names the user that is meant, so that a device can refuse what is not its own.'],
  ['8.2.6.2', 'The Via list of a response of the phone is never touched.'],
  ['9.1', 'CANCEL leaves with the Via of its INVITE.'],
  ['9.2', 'An incoming CANCEL goes where its INVITE went.'],
  ['10.2', 'A Contact that names the phone is made reachable; a third party’s stays.'],
  ['10.2.1.1', 'The time that the registrar grants counts, bounded to a day.'],
  ['10.2.2', 'The wildcard stays, and what it removes is removed.'],
  ['10.2.4', 'A refresh keeps the external port, also at a new address; the grant is held without a packet.'],
  ['10.2.7', 'REGISTER sent again leaves as the same octets.'],
  ['10.2.8', 'A refusal grants and ends nothing.'],
  ['10.3', 'The phone’s own bindings get back what it wrote; those of others stay.'],
  ['11.2', 'A description in an answer to OPTIONS is no offer, and stays.'],
  ['12', 'Media belongs to a dialog: Call-ID, and tags of both sides.'],
  ['12.1.1', 'Record-Route stays, but for a declared proxy inside.'],
  ['12.1.2', 'The remote target in a response of the provider stays.'],
  ['12.2.1.1', 'The Request-URI becomes the Contact that the phone wrote, to the octet.'],
  ['12.2.1.2', '481 and 408 inside a dialog end it.'],
  ['13.2.1', 'Offers and answers are read wherever they may stand.'],
  ['13.2.2.4', 'Forks share a port; when one has answered, it alone may send.'],
  ['13.3.1', 'An offer in the 200 is one.'],
  ['13.3.1.1', 'A provisional response keeps the call.'],
  ['13.3.1.4', 'A 200 sent again is the same octets.'],
  ['14.1', 'A re-INVITE that is refused leaves everything as it was.'],
  ['14.2', 'A re-INVITE of the other side: both places may send until the phone has answered.'],
  ['15.1.1', 'BYE ends the call and its media, answered or not.'],
  ['15.1.2', 'A BYE sent again after the end is delivered, and opens nothing.'],
  ['16.3', 'Max-Forwards is neither counted nor judged.'],
  ['16.4', 'Route stays, but for a declared proxy inside, and the gateway’s own in explicit mode.'],
  ['16.5', 'A Request-URI that is not our endpoint stays.'],
  [
    '16.6',
    'Record-Route stays, but for a declared proxy inside. In explicit mode our Via tops a request to the phone.',
  ],
  ['16.7', 'Vias below the topmost are never touched.'],
  na(
    '16.8',
    'The gateway has no timer C: it forgets an INVITE that nobody answers, and sends nothing of its own.',
  ),
  ['16.10', 'CANCEL carries the same Via of ours as its INVITE.'],
  ['17.1.1.2', 'INVITE sent again leaves as the same octets.'],
  ['17.1.1.3', 'The ACK to a failure leaves with the Via of its INVITE.'],
  ['17.1.2.2', 'Any request sent again leaves as the same octets.'],
  ['17.1.3', 'A response finds its request by branch, method and mapping.'],
  ['17.2.2', 'A response sent again leaves as the same octets.'],
  ['18.1.1', 'The sent-by that names the phone names its external endpoint.'],
  ['18.1.2', 'The sent-by of a response gets back what the phone wrote.'],
  ['18.2.1', 'received that names our address is restored; one that names another stays.'],
  ['18.2.2', 'Without rport the response goes to the port of the sent-by.'],
  ['18.3', 'Over UDP a body ends where Content-Length says; what follows is forwarded and not read.'],
  ['19.1', 'Other schemes than sip: are opaque.'],
  ['19.1.1', 'Only host and port of a URI change; user, parameters and header fields stay.'],
  ['19.1.2', 'An absent port is 5060.'],
  ['19.1.4', 'A port that the phone left out comes back left out.'],
  ['19.3', 'Tags are never touched.'],
  ['20', 'Only the header fields that rules name are touched.'],
  ['20.4', 'Alert-Info is never touched.'],
  ['20.7', 'Credentials are never touched.'],
  ['20.9', 'Call-Info is never touched.'],
  ['20.10', 'Several Contacts, display names and parameters are kept apart by the grammar.'],
  ['20.12', 'An encoded body stays.'],
  [
    '20.14',
    'Content-Length changes by exactly as much as the body; one that is no number is not understood.',
  ],
  ['20.15', 'Content-Type is compared without case and white space; only application/sdp is SDP.'],
  ['20.16', 'A CSeq without number or method is not understood.'],
  ['20.18', 'Error-Info is never touched.'],
  ['20.21', 'In-Reply-To is never touched.'],
  ['20.22', 'Max-Forwards above 255 is not understood.'],
  ['20.32', 'Require is never touched, and never answered.'],
  ['20.37', 'Supported is never touched.'],
  ['20.42', 'Only the sent-by of the topmost Via changes, and its parameters stay.'],
  ['20.43', 'Warning is never touched.'],
  ['21.3', 'A Contact of the phone in a 3xx is made reachable.'],
  ['22.2', 'An attempt with credentials keeps the media ports.'],
  ['22.3', 'Proxy credentials pass.'],
  ['22.4', 'A digest is never read but for qop: auth-int keeps the body whole.'],
  ['23.3', 'Signed and encrypted bodies stay.'],
  ['23.4', 'A tunnelled message stays.'],
  ['25.1', 'What does not follow the grammar where an edit would be is not edited.'],
  na('26.2.2', 'sips: and TLS pass; the gateway reads nothing that is encrypted.'),
];

const table: readonly (readonly [rfc: number, title: string, sections: readonly Short[]])[] = [
  [2045, 'MIME part one', [['6.1', 'A part with a transfer encoding is left encoded.']]],
  [
    2046,
    'MIME part two',
    [['5.1.1', 'Boundaries may be quoted; one that does not close is not understood.']],
  ],
  [3261, 'SIP', rfc3261],
  [
    3262,
    'Reliability of provisional responses',
    [
      ['5', 'Offers and answers in reliable provisional responses, PRACK and its 200 are translated.'],
      ['7.2', 'RAck and RSeq are never touched.'],
    ],
  ],
  [
    3264,
    'Offer and answer',
    [
      ['4', 'Only where an offer or an answer may stand is a description read.'],
      ['5', 'Every stream of an offer has its own mapping.'],
      ['5.1', 'Several streams each have their pair of ports.'],
      ['6', 'Port 0 rejects a stream, and stays.'],
      ['8', 'A refused change leaves the session as it was.'],
      ['8.3.1', 'A new port is open beside the old one until it is agreed on.'],
      ['8.3.2', 'A stream that becomes fax keeps its mapping where it keeps its port.'],
      ['8.4', 'A session on hold keeps its mapping; 0.0.0.0 stays.'],
    ],
  ],
  [
    3311,
    'UPDATE',
    [
      ['5.1', 'An offer in UPDATE is translated.'],
      ['5.2', 'So is its answer, in an early dialog too.'],
    ],
  ],
  [3325, 'Asserted identity', [['9.1', 'P-Asserted-Identity is never touched.']]],
  [
    3327,
    'Path',
    [
      ['5.1', 'Path in a response is never touched.'],
      na('5.2', 'The gateway is no hop that a registrar has to know: it adds no Path.'),
    ],
  ],
  [
    3515,
    'REFER',
    [
      ['2.1', 'Refer-To changes only where it is a live mapping as a whole.'],
      ['2.4.5', 'A sipfrag body is never touched.'],
    ],
  ],
  [
    3550,
    'RTP',
    [['11', 'RTP and RTCP are a pair of ports; where the second does not exist, nothing is opened.']],
  ],
  [
    3581,
    'rport',
    [
      ['3', 'rport without a value stays so.'],
      ['4', 'received and rport are restored as a pair, or not at all.'],
    ],
  ],
  [3605, 'a=rtcp', [['2.1', 'a=rtcp follows RTCP, with and without an address.']]],
  [3608, 'Service-Route', [['6.2', 'Service-Route is never touched.']]],
  [3891, 'Replaces', [['3', 'Replaces matches a Call-ID, so neither is ever touched.']]],
  [3892, 'Referred-By', [['3', 'Referred-By is never touched.']]],
  [3911, 'Join', [['4', 'Join is never touched.']]],
  [3959, 'Early sessions', [['3', 'A description of an early session is one like any other.']]],
  [3966, 'tel: URIs', [['3', 'tel: URIs are opaque.']]],
  [
    4028,
    'Session timers',
    [
      ['8', 'Session-Expires and Min-SE are for the two ends.'],
      ['8.3', 'A session that nobody refreshes is forgotten, and nobody is sent a BYE.'],
    ],
  ],
  [4145, 'Media over TCP', [['4', 'Media over TCP is left alone.']]],
  [4474, 'Identity (obsolete)', [['9', 'What the signature covers, Contact and body, stays.']]],
  [4475, 'Torture messages', [['3.1.2', 'A message with a defect passes both ways, byte for byte.']]],
  [4538, 'Target-Dialog', [['4', 'Target-Dialog is never touched.']]],
  [4568, 'SDP security descriptions', [['4', 'a=crypto is never touched.']]],
  [
    4787,
    'NAT behaviour for UDP',
    [
      ['4.1', 'One external endpoint for each internal one, the same towards everybody (REQ-1).'],
      ['4.2.1', 'The phone’s own port where it is free, and the same again later; never a port below 1024.'],
      ['4.2.2', 'The parity of a port is kept (REQ-4).'],
      ['4.2.3', 'RTP and RTCP are neighbours.'],
      ['4.3', 'Five minutes without outbound traffic end a mapping that nothing else keeps (REQ-5, REQ-6).'],
      ['5', 'Filtering is address-dependent: whom the phone has talked to, and declared providers.'],
      ['6', 'A phone reaches another by its external endpoint (REQ-9).'],
      na('11', 'Fragments are the kernel’s affair (REQ-13, REQ-14).'),
    ],
  ],
  [4975, 'MSRP', [['8.1', 'MSRP is left whole: c=, m= and path have to agree.']]],
  [5118, 'IPv6 torture messages', []],
  [5621, 'Message bodies', [['3.1', 'Of a multipart only application/sdp parts change, nested ones too.']]],
  [
    5626,
    'Outbound',
    [
      ['4.2', 'ob, reg-id and +sip.instance stay.'],
      ['4.2.1', 'A phone is observed once the registrar has confirmed outbound, and not before.'],
      ['3.5', 'The provider’s keepalives reach the phone.'],
      ['4.4.1', 'Keepalives pass both ways.'],
      [
        '4.4.2',
        'So does STUN; through a NAT upstream the gateway sends its own, to whoever granted a registration.',
      ],
      na('5.1', 'The gateway is no edge proxy, and adds no flow token.'),
      [
        '6',
        'Instance and reg-id key a binding, so a REGISTER that is observed takes the place of the one before.',
      ],
      ['8', 'STUN on the SIP port passes.'],
    ],
  ],
  [
    5627,
    'GRUU',
    [
      ['4.1', '+sip.instance stays.'],
      ['4.2', 'pub-gruu and temp-gruu stay.'],
    ],
  ],
  [5761, 'RTP and RTCP on one port', [['5.1.1', 'rtcp-mux stays, and the RTCP port stays open.']]],
  [5763, 'DTLS-SRTP', [['5', 'Fingerprint and setup stay.']]],
  [5952, 'IPv6 text', [['4', 'IPv6 addresses are compared by value, and written canonically.']]],
  [6086, 'INFO', [['4', 'A body of INFO is never touched.']]],
  [6135, 'MSRP connections', [['4', 'MSRP is left whole.']]],
  [
    6157,
    'IPv6 transition',
    [['3.1', 'As outbound proxy the gateway has either family on either side, and says each its own.']],
  ],
  [6223, 'keep', [['4.3', 'The Via parameter keep stays; by itself it is no reason to stop translating.']]],
  [6442, 'Location', [['4.1', 'Geolocation is never touched.']]],
  [6544, 'ICE over TCP', [['4.5', 'With a TCP candidate of the phone’s own the description stays whole.']]],
  [
    6665,
    'Events',
    [
      ['4.1.2', 'Contact of SUBSCRIBE is made reachable.'],
      ['4.2.1', 'The granted subscription keeps the mapping.'],
      ['4.2.2', 'Contact of NOTIFY is made reachable; its body is never touched.'],
    ],
  ],
  [7044, 'History-Info', [['5', 'History-Info is never touched.']]],
  [7315, 'P- header fields', [['4.1', 'P-Associated-URI is never touched.']]],
  [7362, 'Latching', [['4', 'With a relay each side is told the relay’s address on its side.']]],
  [
    7616,
    'Digest',
    [
      ['3.4', 'Only the qop of a digest is read.'],
      ['3.4.3', 'With auth-int the body stays.'],
      ['3.5', 'So it does in a response whose Authentication-Info covers it.'],
    ],
  ],
  [
    8224,
    'Identity',
    [['4.1', 'A PASSporT covers neither Contact nor connection data; it stays, and so does what it covers.']],
  ],
  [8225, 'PASSporT', [['5.2', 'orig, dest, iat and mky are taken from what is never touched.']]],
  [8445, 'ICE', [['5', 'Candidates are the phone’s own affair unless asked for.']]],
  [8489, 'STUN', [['6.3', 'STUN is told by its first octets, and passes.']]],
  [8599, 'Push notifications', [['4.1', 'pn- parameters stay.']]],
  [
    8760,
    'Digest algorithms',
    [['2.4', 'Several challenges pass; which one is taken is the phone’s choice.']],
  ],
  [
    8839,
    'ICE in SDP',
    [
      ['4.2.5', 'A description with ICE is left whole, or translated whole.'],
      ['5.1', 'With translate-all, every candidate of the phone is translated.'],
    ],
  ],
  [8856, 'BFCP', [['4', 'BFCP over TCP is left alone.']]],
  [8858, 'rtcp-mux-only', [['4', 'rtcp-mux-only stays.']]],
  [
    8866,
    'SDP',
    [
      ['5', 'LF alone ends a line too; a last line may have no end.'],
      ['5.1', 'What does not begin with v=0 is no description.'],
      ['5.2', 'o= stays unless asked for.'],
      ['5.7', 'Connection data that names the phone names where its media is reached.'],
      ['5.14', 'The media port is the port at which media is reached.'],
      ['6.6', 'Attributes that name no address stay.'],
      ['9', 'What does not follow the grammar is left alone.'],
    ],
  ],
  [
    9143,
    'BUNDLE',
    [
      ['6', 'bundle-only with port 0 stays.'],
      ['7.2', 'Bundled streams on one port share a mapping.'],
    ],
  ],
];

export const specifications: readonly Specification[] = table.map(([rfc, title, sections]) => ({
  rfc,
  title,
  sections: sections.map(([section, text, absent]) => ({ section, text, na: absent === true })),
}));
