/** Kamailio in the box, as the proxy that some routers are: SIP to port 5060 of anybody is turned to it, and it sends it on. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../../demo/program.ts';
import { newDirectory } from '../../demo/run.ts';
import { BOX_INSIDE, BOX_OUTSIDE, type BoxLab } from './lab.ts';

const MODULES = '/usr/lib/x86_64-linux-gnu/kamailio/modules/:/usr/lib/aarch64-linux-gnu/kamailio/modules/';

export class KamailioBox {
  readonly #program: Program;
  readonly #directory: string;

  private constructor(program: Program, directory: string) {
    this.#program = program;
    this.#directory = directory;
  }

  static async start(lab: BoxLab): Promise<KamailioBox> {
    const directory = newDirectory('kamailio');
    const file = join(directory, 'kamailio.cfg');
    writeFileSync(file, CONFIGURATION);
    lab.nft(
      [
        'table ip turn {',
        '  chain prerouting {',
        '    type nat hook prerouting priority dstnat - 1;',
        '    iifname "lan" udp dport 5060 redirect to :5060',
        '  }',
        '}',
        '',
      ].join('\n'),
    );
    const program = new Program(
      'kamailio',
      lab.box.spawn(
        'kamailio',
        ['-f', file, '-DD', '-E', '-n', '1', '-m', '32', '-M', '4', '-Y', directory, '-w', directory],
        { stdio: ['ignore', 'pipe', 'pipe'] },
      ),
    );
    const box = new KamailioBox(program, directory);
    try {
      await program.says(/proxy is up/, 8000);
      return box;
    } catch (error) {
      await box.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#program.stop();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

const CONFIGURATION = `#!KAMAILIO
debug=1
log_stderror=yes
children=1
auto_aliases=no
mhomed=1
listen=udp:${BOX_INSIDE}:5060
listen=udp:${BOX_OUTSIDE}:5060
mpath="${MODULES}"
loadmodule "kex.so"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "textops.so"
loadmodule "siputils.so"
loadmodule "xlog.so"
modparam("rr", "enable_double_rr", 0)
request_route {
  if (!mf_process_maxfwd_header("10")) exit;
  force_rport();
  loose_route();
  if (is_method("INVITE|SUBSCRIBE|REFER")) record_route();
  if (is_method("ACK|CANCEL")) { forward(); exit; }
  t_relay();
  exit;
}
event_route[core:worker-one-init] {
  xlog("L_ALERT", "proxy is up\\n");
}
`;
