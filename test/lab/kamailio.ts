/**
 * Kamailio as registrar and proxy that trusts what messages say: no force_rport, no fix_contact, no received_avp, no RTP
 * proxy. It sends by the Contact as registered and records its route. (What it cannot be kept from: responses go to
 * the address that the request came from, with the port of the Via.)
 *
 * With `handlesNat` it is the opposite: it trusts nothing, answers and calls where messages came from, whatever they say, and
 * sends all media through rtpengine, which sends to where media comes from.
 */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { addresses, addresses6, type Network } from '../../demo/network.ts';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';

const MODULES = '/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/';

export const RTPENGINE_CONTROL = '127.0.0.1:22222';
const RTPENGINE_FLAGS = 'replace-origin replace-session-connection SIP-source-address';

export interface KamailioOptions {
  /** It listens at its IPv6 address instead. */
  readonly ipv6?: boolean;
  /** Passwords by user: with them, REGISTER and INVITE of these users are challenged. */
  readonly passwords?: Readonly<Record<string, string>>;
  /** Every phone of an address-of-record rings; without it the one that registered last. */
  readonly forks?: boolean;
  /** It does its own NAT handling for everybody, NAT or not; rtpengine has to run beside it. */
  readonly handlesNat?: boolean;
  /**
   * What its default configuration does for phones behind NAT: it remembers where a REGISTER came from and calls there, and
   * Contacts in dialogs get the source beside what the phone wrote. Media is the business of others.
   */
  readonly remembersSource?: boolean;
}

export class Kamailio {
  readonly #program: Program;
  readonly #directory: string;

  private constructor(program: Program, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  static async start(network: Network, options: KamailioOptions = {}): Promise<Kamailio> {
    const directory = newDirectory('kamailio');
    const file = join(directory, 'kamailio.cfg');
    writeFileSync(file, configuration(options));
    const child = network.spawn(
      'provider',
      'kamailio',
      ['-f', file, '-DD', '-E', '-n', '1', '-m', '32', '-M', '4', '-Y', directory, '-w', directory],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const kamailio = new Kamailio(new Program('kamailio', child), directory);
    try {
      await kamailio.#program.says(/lab registrar is up/, 8000);
      return kamailio;
    } catch (error) {
      await kamailio.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#program.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

function configuration({
  passwords,
  handlesNat = false,
  remembersSource = false,
  forks = false,
  ipv6 = false,
}: KamailioOptions): string {
  const own = ipv6 ? `[${addresses6.provider}]` : addresses.provider;
  const source = (line: string): string => (remembersSource ? line : '');
  const nat = (line: string): string => (handlesNat ? line : '');
  const users = Object.entries(passwords ?? {});
  const challenge = (method: string, check: string, ask: string): string =>
    users.length === 0
      ? ''
      : `if (is_method("${method}")) {
        $var(password) = "";
        ${users.map(([user, password]) => `if ($fU == "${user}") $var(password) = "${password}";`).join('\n        ')}
        if ($var(password) != "" && !${check}("lab", "$var(password)", "0")) { ${ask}("lab", "1"); exit; }
        consume_credentials();
      }`;
  return `#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
listen=udp:${own}:5060
listen=tcp:${own}:5060
alias="${own}:5060"
tcp_connection_lifetime=120
tcp_children=1
mpath="${MODULES}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "auth.so"
loadmodule "xlog.so"
${nat('loadmodule "nathelper.so"')}
${source('loadmodule "nathelper.so"')}
${source('modparam("nathelper|registrar", "received_avp", "$avp(received)")')}
${source('modparam("registrar", "outbound_mode", 1)')}
${nat('loadmodule "rtpengine.so"')}
${nat(`modparam("rtpengine", "rtpengine_sock", "udp:${RTPENGINE_CONTROL}")`)}
${nat('modparam("nathelper|registrar", "received_avp", "$avp(received)")')}
modparam("usrloc", "db_mode", 0)
modparam("registrar", "default_expires", 300)
modparam("registrar", "min_expires", 1)
modparam("rr", "append_fromtag", 0)
modparam("tm", "fr_timer", 3000)
modparam("tm", "fr_inv_timer", 30000)
event_route[core:worker-one-init] { xlog("L_ALERT", "lab registrar is up\\n"); }
request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  ${nat('force_rport();')}
  ${nat('if (is_method("REGISTER")) fix_nated_register(); else if (is_method("INVITE|UPDATE|SUBSCRIBE|REFER")) fix_nated_contact();')}
  ${source('force_rport(); if (nat_uac_test("19")) { if (is_method("REGISTER")) fix_nated_register(); else set_contact_alias(); }')}
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (has_totag()) {
    ${source('handle_ruri_alias();')}
    if (loose_route()) { ${nat('route(MEDIA);')} t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("404", "Not here");
    exit;
  }
  t_check_trans();
  ${challenge('REGISTER', 'pv_www_authenticate', 'www_challenge')}
  if (is_method("REGISTER")) { save("location"${forks ? '' : ', "0x04"'}); exit; }
  ${challenge('INVITE', 'pv_proxy_authenticate', 'proxy_challenge')}
  if (is_method("INVITE|SUBSCRIBE")) record_route();
  if ($rU == "load") { $ru = "sip:load@${addresses.farEnd}:5080"; t_relay(); exit; }
  if (!lookup("location")) { sl_send_reply("404", "Not Found"); exit; }
  ${nat('route(MEDIA);')}
  t_relay();
}
${
  handlesNat
    ? `route[MEDIA] {
  t_on_reply("MEDIA");
  if (has_body("application/sdp") || is_method("BYE|CANCEL")) rtpengine_manage("${RTPENGINE_FLAGS}");
}
onreply_route[MEDIA] {
  if (status =~ "[12][0-9][0-9]") fix_nated_contact();
  if (has_body("application/sdp")) rtpengine_manage("${RTPENGINE_FLAGS}");
}`
    : ''
}
${source('onreply_route { if (nat_uac_test("1")) set_contact_alias(); }')}
`;
}
