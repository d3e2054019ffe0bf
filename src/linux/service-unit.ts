/**
 * The systemd unit of the gateway as text: a pure function, tested against a golden file.
 *
 * Facts relied on (systemd.exec(5), systemd.service(5)):
 * - Ambient capabilities reach the programs that the service starts (nft, ip); nothing else of root does.
 * - StateDirectory= belongs to the service's user, also where that is a new one at every start (DynamicUser=).
 * - ProtectKernelTunables= makes /proc/sys read-only, which is enough: the gateway reads settings and writes none.
 *
 * Left out on purpose: MemoryDenyWriteExecute= (V8 compiles at run time), PrivateNetwork= and PrivateUsers= (it is the
 * host's network that is to be routed, and capabilities in a user namespace of its own do not reach it), ProcSubset=pid
 * (it hides /proc/sys and /proc/net, which preflight reads).
 */

export const UNIT_NAME = 'sipalg.service';
export const UNIT_PATH = `/etc/systemd/system/${UNIT_NAME}`;
/** Where systemd keeps what StateDirectory= names. */
export const STATE_ROOT = '/var/lib';

export interface ServiceUnitOptions {
  /** Program and arguments; the program is an absolute path. */
  readonly command: readonly string[];
  /** Beneath `STATE_ROOT`, without it. */
  readonly stateDirectory: string;
  /** No privileges are needed (explicit mode on high ports). */
  readonly privileged: boolean;
}

export function renderServiceUnit(options: ServiceUnitOptions): string {
  const capabilities = options.privileged ? 'CAP_NET_ADMIN CAP_NET_BIND_SERVICE' : '';
  return `# Written by \`sipalg install-service\`, removed by \`sipalg uninstall-service\`.
# Changes of your own: \`systemctl edit sipalg\`. What is written here is written anew.

[Unit]
Description=SIP ALG: phones behind NAT, reachable
Wants=network-online.target
After=network-online.target nftables.service firewalld.service
# It goes on trying: an interface may come back, and until then there is plain NAT.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart=${options.command.map(quoteArgument).join(' ')}
ExecReload=/bin/kill -HUP $MAINPID
# The event loop feeds it; the kernel rules rest after 5 s without it, so that nobody waits for the restart.
WatchdogSec=15
TimeoutStartSec=60
TimeoutStopSec=10
Restart=on-failure
RestartSec=2
# A mistake in the configuration does not mend itself.
RestartPreventExitStatus=2

User=sipalg
DynamicUser=yes
StateDirectory=${options.stateDirectory}
StateDirectoryMode=0700
UMask=0077
# A socket for each phone and provider.
LimitNOFILE=65536
# The phones' line: not the first that goes when memory runs out.
OOMScoreAdjust=-500

AmbientCapabilities=${capabilities}
CapabilityBoundingSet=${capabilities}
NoNewPrivileges=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_NETLINK AF_UNIX
SystemCallFilter=@system-service
SystemCallFilter=~@resources @privileged
SystemCallErrorNumber=EPERM
SystemCallArchitectures=native
ProtectSystem=strict
ProtectHome=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectControlGroups=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
PrivateDevices=yes
PrivateMounts=yes
PrivateTmp=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private

[Install]
WantedBy=multi-user.target
`;
}

/** One argument of ExecStart=: specifiers and variables stand for themselves (systemd.service(5), "Command lines"). */
export function quoteArgument(text: string): string {
  const plain = text.replaceAll('%', '%%').replaceAll('$', '$$$$');
  return /^[\w@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replaceAll(/["\\]/g, '\\$&')}"`;
}
