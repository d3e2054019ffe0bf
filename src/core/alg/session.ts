/**
 * One session description on its way through: which of its lines name the phone, and where its media is reached.
 *
 * Facts: offers and answers stand in INVITE, its responses and ACK, in PRACK and UPDATE and theirs (RFC 3264, 3261 §13.2.1,
 * 3262 §5, 3311 §5); other bodies that look like SDP are none. A description with ICE is left whole, because a default
 * that is no candidate is a mismatch (RFC 8839 §4.2.5). Port 0 rejects a media description (RFC 3264 §6). 0.0.0.0 holds
 * it, and its mapping stays (§8.4).
 *
 * A relay may have IPv4 on one side and IPv6 on the other. Then nothing of the one side's addresses is of use to the other, and
 * ICE cannot find a way past the relay: such a description is translated also where it has candidates. Its default is then no
 * candidate, and whoever reads it does without ICE or takes the default for one more candidate (RFC 8839 §4.2.5): both ways
 * lead to the relay.
 */
import { type Address, type Endpoint, isIPv6, isUnspecified } from '../net/address.ts';
import type { ConnectionData, Description, MediaDescription } from '../sdp/description.ts';
import type { Edit } from '../sip/edit.ts';
import type { Dialog, RemoteMedia } from './dialogs.ts';
import type { MappingId, Output } from './io.ts';
import type { MediaRecord, MediaTable } from './media.ts';
import { type Limits, LOWEST_INTERNAL_PORT, type Policy } from './policy.ts';
import type { RuleId } from './rules.ts';

export interface SessionContext {
  readonly media: MediaTable;
  readonly dialog: Dialog;
  readonly policy: Policy;
  readonly limits: Limits;
  readonly phone: Address;
  readonly externalAddress: Address;
  readonly innerAddress: Address | undefined;
  /** The phone is routed without NAT: its ports are opened as they are. */
  readonly routed: boolean;
}

export interface SessionResult {
  readonly edits: readonly Edit<RuleId>[];
  /** A port could not be had, so nothing of the message may be translated. */
  readonly gaveUp: boolean;
  /** The media mappings that the description names. */
  readonly named: ReadonlySet<MappingId>;
}

const UNTOUCHED: SessionResult = { edits: [], gaveUp: false, named: new Set() };

/** The phone's description, to be read by the provider. */
export function translateOutbound(
  description: Description,
  context: SessionContext,
  out: Output[],
): SessionResult {
  const crosses = crossesFamilies(context);
  if (description.ice && context.policy.ice === 'leave' && !crosses) return UNTOUCHED;
  const { dialog, media: table } = context;
  const isOwn = (address: Address | undefined): address is Address =>
    address !== undefined && (address === context.phone || table.isStaticHost(address));
  const edits: Edit<RuleId>[] = [];
  const named = new Set<MappingId>();
  let sessionAddress: Address | undefined;
  /** Whether a stream that is translated has the session's connection data. */
  let usesSession = false;

  if (!isWithinBound(description, context, out)) return UNTOUCHED;
  for (const [index, media] of description.media.entries()) {
    const address = (media.connection ?? description.connection)?.address;
    const before = dialog.byDescription[index];
    if (address !== undefined && isUnspecified(address) && before !== undefined) named.add(before);
    if (crosses) edits.push(...unspecifiedEdits(media.connection, context.externalAddress));
    const stream = streamOf(media);
    if (media.port === 0 || stream === undefined || !isOwn(address)) continue;
    if (!isMediaPort(media.port, stream.ports)) return giveUp(named);
    const record = table.acquire(
      {
        dialog,
        index,
        internal: { address, port: media.port },
        ports: stream.ports,
        externalAddress: context.externalAddress,
        innerAddress: context.innerAddress,
        routed: context.routed,
      },
      out,
    );
    if (record?.internal === undefined) return giveUp(named);
    named.add(record.id);
    dialog.byDescription[index] = record.id;
    sessionAddress ??= record.external.address;
    edits.push(portEdit(media.portSpan, media.port - record.internal.port + record.external.port));
    if (media.connection === undefined) usesSession = true;
    else edits.push(connectionEdit(media.connection, record.external.address));
    if (media.rtcp !== undefined && stream.rtcp) {
      const extra = rtcpEdits(media.rtcp, record, address, index, context, isOwn, edits, out);
      if (extra === 'failed') return giveUp(named);
      if (extra !== undefined) {
        named.add(extra.id);
      }
    }
  }
  if (crosses) edits.push(...unspecifiedEdits(description.connection, context.externalAddress));
  if (description.ice && !crosses) {
    if (!translateCandidates(description, context, isOwn, named, edits, out)) return giveUp(named);
  }
  if (usesSession && description.connection !== undefined && isOwn(description.connection.address))
    edits.push(connectionEdit(description.connection, sessionAddress ?? context.externalAddress));
  if (
    context.policy.origin === 'translate' &&
    description.origin !== undefined &&
    isOwn(description.origin.address)
  )
    edits.push(connectionEdit(description.origin, sessionAddress ?? context.externalAddress, 'sdp.origin'));
  return { edits, gaveUp: false, named };
}

/**
 * Every candidate of the phone's own, or none: with a candidate that cannot be mapped (TCP), or with a relay, which is no
 * ICE agent, the description stays whole.
 */
function translateCandidates(
  description: Description,
  context: SessionContext,
  isOwn: (address: Address | undefined) => address is Address,
  named: Set<MappingId>,
  edits: Edit<RuleId>[],
  out: Output[],
): boolean {
  if (context.media.relay) return false;
  const rule = 'sdp.candidate';
  for (const [index, media] of description.media.entries()) {
    for (const { transport, connection, port, portSpan, related } of media.candidates) {
      for (const [written, span, at, isRelated] of [
        [connection, portSpan, port, false],
        ...(related === undefined
          ? []
          : ([[related.connection, related.portSpan, related.port, true]] as const)),
      ] as const) {
        if (!isOwn(written.address) || (isRelated && at === 0)) continue;
        if (transport === 'other' || !isMediaPort(at, 1)) return false;
        const record = context.media.acquire(
          {
            dialog: context.dialog,
            index,
            internal: { address: written.address, port: at },
            ports: 1,
            externalAddress: context.externalAddress,
            innerAddress: undefined,
            routed: context.routed,
          },
          out,
        );
        if (record?.internal === undefined) return false;
        named.add(record.id);
        edits.push({ span: written.span, replacement: record.external.address, rule });
        edits.push({ span, replacement: String(record.external.port + at - record.internal.port), rule });
      }
    }
  }
  return true;
}

/** The provider's description, to be read by the phone: only a relay has anything to change in it. */
export function translateInbound(
  description: Description,
  context: SessionContext,
  out: Output[],
): SessionResult {
  const { media: table, dialog } = context;
  const crosses = crossesFamilies(context);
  if (!table.relay || (description.ice && context.policy.ice === 'leave' && !crosses)) return UNTOUCHED;
  const edits: Edit<RuleId>[] = [];
  const named = new Set<MappingId>();
  let inner: Address | undefined;
  if (!isWithinBound(description, context, out)) return UNTOUCHED;
  for (const [index, media] of description.media.entries()) {
    const connection = media.connection ?? description.connection;
    const stream = streamOf(media);
    if (media.port === 0 || stream === undefined || connection?.address === undefined) continue;
    if (isUnspecified(connection.address)) {
      const before = dialog.byDescription[index];
      if (before !== undefined) named.add(before);
      if (crosses && context.innerAddress !== undefined)
        edits.push(...unspecifiedEdits(media.connection, context.innerAddress));
      continue;
    }
    const record = table.acquire(
      {
        dialog,
        index,
        internal: undefined,
        ports: stream.ports,
        externalAddress: context.externalAddress,
        innerAddress: context.innerAddress,
      },
      out,
    );
    if (record?.inner === undefined) return giveUp(named);
    named.add(record.id);
    dialog.byDescription[index] = record.id;
    inner ??= record.inner.address;
    edits.push(portEdit(media.portSpan, record.inner.port));
    if (media.connection !== undefined) edits.push(connectionEdit(media.connection, record.inner.address));
    if (media.rtcp !== undefined && stream.rtcp) {
      const port = media.rtcp.port === media.port ? record.inner.port : record.inner.port + 1;
      edits.push({ span: media.rtcp.portSpan, replacement: String(port), rule: 'sdp.rtcp' });
      if (media.rtcp.connection !== undefined)
        edits.push(connectionEdit(media.rtcp.connection, record.inner.address, 'sdp.rtcp'));
    }
  }
  if (
    inner !== undefined &&
    description.connection?.address !== undefined &&
    !isUnspecified(description.connection.address)
  )
    edits.push(connectionEdit(description.connection, inner));
  else if (crosses && context.innerAddress !== undefined)
    edits.push(...unspecifiedEdits(description.connection, context.innerAddress));
  return { edits, gaveUp: false, named };
}

/** Where the provider's description wants media to go, which is also from where media may come. */
export function remoteMedia(
  description: Description,
  before: readonly RemoteMedia[] | undefined,
  peer: Endpoint,
): RemoteMedia[] {
  return description.media.map((media, index) => {
    const connection = media.connection ?? description.connection;
    if (media.port === 0 || streamOf(media) === undefined) return [];
    // A name cannot be looked up here: the signalling peer stands for it.
    if (connection?.address === undefined) return [{ address: peer.address, port: media.port }];
    if (isUnspecified(connection.address)) return before?.[index] ?? [];
    const rtp: Endpoint = { address: connection.address, port: media.port };
    const candidates = media.candidates.flatMap((one) =>
      one.transport === 'udp' && one.connection.address !== undefined
        ? [{ address: one.connection.address, port: one.port }]
        : [],
    );
    const { rtcp } = media;
    const rtcpAddress = rtcp?.connection?.address ?? connection.address;
    return rtcp === undefined ||
      rtcp.port === 0 ||
      (rtcp.port === media.port + 1 && rtcpAddress === connection.address)
      ? [rtp, ...candidates]
      : [rtp, { address: rtcpAddress, port: rtcp.port }, ...candidates];
  });
}

/** How many UDP ports a media description takes, and whether RTCP is among them; undefined where it takes none. */
function streamOf(media: MediaDescription): { ports: number; rtcp: boolean } | undefined {
  const protocol = media.protocol.toUpperCase();
  if (protocol.startsWith('RTP/') || protocol.startsWith('UDP/TLS/RTP/'))
    return { ports: 2 * media.count, rtcp: true };
  if (protocol === 'UDPTL' || protocol === 'UDP' || protocol.startsWith('UDP/'))
    return { ports: media.count, rtcp: false };
  return undefined;
}

function rtcpEdits(
  rtcp: NonNullable<MediaDescription['rtcp']>,
  record: MediaRecord,
  address: Address,
  index: number,
  context: SessionContext,
  isOwn: (address: Address | undefined) => boolean,
  edits: Edit<RuleId>[],
  out: Output[],
): MediaRecord | 'failed' | undefined {
  if (rtcp.port < LOWEST_INTERNAL_PORT || (rtcp.connection !== undefined && !isOwn(rtcp.connection.address)))
    return undefined;
  const rtcpAddress = rtcp.connection?.address ?? address;
  const first = record.internal?.port ?? 0;
  let external: Endpoint;
  let extra: MediaRecord | undefined;
  if (rtcpAddress === address && rtcp.port >= first && rtcp.port < first + record.ports) {
    external = { address: record.external.address, port: record.external.port + rtcp.port - first };
  } else {
    // A relay keys its sockets by media description: there RTCP stays beside RTP, and the attribute says so.
    if (context.media.relay) external = { address: record.external.address, port: record.external.port + 1 };
    else {
      extra = context.media.acquire(
        {
          dialog: context.dialog,
          index,
          internal: { address: rtcpAddress, port: rtcp.port },
          ports: 1,
          externalAddress: context.externalAddress,
          innerAddress: context.innerAddress,
          routed: context.routed,
        },
        out,
      );
      if (extra?.internal === undefined) return 'failed';
      external = {
        address: extra.external.address,
        port: extra.external.port + rtcp.port - extra.internal.port,
      };
    }
  }
  edits.push({ span: rtcp.portSpan, replacement: String(external.port), rule: 'sdp.rtcp' });
  if (rtcp.connection !== undefined)
    edits.push(connectionEdit(rtcp.connection, external.address, 'sdp.rtcp'));
  return extra;
}

/** A description with more streams than are counted is left whole, as everything that is too much. */
function isWithinBound(description: Description, { limits }: SessionContext, out: Output[]): boolean {
  if (description.media.length <= limits.mediaPerDescription) return true;
  const value = limits.mediaPerDescription;
  out.push({ kind: 'event', event: { kind: 'limit.reached', limit: 'media-per-description', value } });
  return false;
}

/** A host's services are below 1024, and no mapping leads to them; a pair has to fit below 65536. */
function isMediaPort(port: number, ports: number): boolean {
  return port >= LOWEST_INTERNAL_PORT && port + ports <= 65_536 && ports <= MAX_PORTS;
}

/** Ports of one media description: `m=audio 4000/255` is no phone's (RFC 8866 §5.14 means layered streams by it). */
const MAX_PORTS = 16;

/** Never half a description: where one port cannot be had, all of it stays as it came. */
function giveUp(named: ReadonlySet<MappingId>): SessionResult {
  return { edits: [], gaveUp: true, named };
}

function portEdit(span: Edit['span'], port: number): Edit<RuleId> {
  return { span, replacement: String(port), rule: 'sdp.media-port' };
}

/** Relay: the two sides have different address families (RFC 6157 §4). */
function crossesFamilies({ innerAddress, externalAddress }: SessionContext): boolean {
  return innerAddress !== undefined && isIPv6(innerAddress) !== isIPv6(externalAddress);
}

/** Whoever holds in the old manner holds in the other side's family too (RFC 3264 §8.4). */
function unspecifiedEdits(connection: ConnectionData | undefined, towards: Address): Edit<RuleId>[] {
  if (connection?.address === undefined || !isUnspecified(connection.address)) return [];
  return [connectionEdit(connection, isIPv6(towards) ? '::' : '0.0.0.0')];
}

function connectionEdit(
  { span, address: written }: ConnectionData,
  address: Address,
  rule: RuleId = 'sdp.connection',
): Edit<RuleId> {
  if (written === undefined || isIPv6(written) === isIPv6(address))
    return { span, replacement: address, rule };
  // The address type stands before it, with one space between them: IN IP4 192.0.2.1 (RFC 8866 §5.7).
  const typed = { start: span.start - 'IP4 '.length, end: span.end };
  return { span: typed, replacement: `${isIPv6(address) ? 'IP6' : 'IP4'} ${address}`, rule };
}
