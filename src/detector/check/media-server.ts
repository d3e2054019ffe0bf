/**
 * A call whose audio comes from another address than its signalling, as with providers whose media servers are not their registrar: the
 * answer names the reflector's second address. A box that opens the way for the signalling peer alone keeps it out.
 */
import type { BehaviourObservation, Fact } from '../../core/detect/check-report.ts';
import { mediaEndpoint } from '../../core/detect/dialog.ts';
import { evidenceOf } from '../../core/detect/evidence.ts';
import { faultById } from '../../core/detect/faults.ts';
import { formatEndpoint, isPrivate } from '../../core/net/address.ts';
import type { Place } from '../control/protocol.ts';
import { Call } from './call.ts';
import { burst, burstIn, lost, openMediaPhone, relayIn } from './media.ts';
import type { Stand } from './stand.ts';

interface MediaServer {
  readonly result: string;
  readonly facts: readonly Fact[];
  readonly observations: readonly BehaviourObservation[];
}

/** `flowsFromPeer`: audio from the signalling's own address comes in; only then does silence from elsewhere say anything. */
export async function tryMediaServer(stand: Stand, sip: Place, flowsFromPeer: boolean): Promise<MediaServer> {
  const none = (why: string): MediaServer => ({
    result: `audio of a media server was not tried: ${why}`,
    facts: [],
    observations: [],
  });
  const [server] = stand.udp('media', true);
  if (server === undefined) return none('the reflector has one address only');
  const phone = await openMediaPhone(stand);
  if (phone === undefined) return none('no pair of media ports is free on this machine');
  const call = new Call(stand, await stand.phone(), sip, phone.rtp.local.port, server);
  const offer = await call.setUp();
  if (offer === undefined) return none('the call was not set up');
  const advertised = mediaEndpoint(offer);
  const named = advertised === undefined || isPrivate(advertised.address) ? undefined : advertised;
  // First what comes before the phone has sent anything there, which would open the way.
  const what = 'RTP of a media server';
  const early = await burstIn(stand, phone.rtp, server, `${what}, before the phone’s own`, named);
  const relay = relayIn(call.answered, server);
  const out = await burst(stand, phone.rtp, server, 'RTP for a media server', relay);
  const back = await burstIn(stand, phone.rtp, server, what, named ?? stand.outsideOf(phone.rtp, server));
  await call.end();
  const comesFirst = early.length > 0 && !lost(early);
  const comes = comesFirst || (back.length > 0 && !lost(back));
  const where = formatEndpoint(server);
  const silent = back[0] ?? out[0];
  return {
    result: `audio of a media server at another address ${comes ? 'comes in' : 'does not come in'}`,
    facts: comes
      ? [
          {
            id: 'media-server',
            text: comesFirst
              ? `Audio of a media server at another address (${where}) comes in before the phone has sent any.`
              : `Audio of a media server at another address (${where}) comes in once the phone has sent some, as behind most NATs: the provider has to wait for that.`,
          },
        ]
      : [],
    observations:
      comes || !flowsFromPeer || silent === undefined
        ? []
        : [
            {
              fault: 'MEDIA-DIRECT',
              severity: faultById('MEDIA-DIRECT').severity,
              consistent: false,
              confidence: 'A',
              explanation: lost(out)
                ? `RTP of the phone to ${where}, which the answer names, does not arrive, while to the address of the signalling it does.`
                : `Media from the address of the signalling comes in, and from ${where}, which the answer names, it does not.`,
              evidence: evidenceOf(silent),
            },
          ],
  };
}
