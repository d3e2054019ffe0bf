/**
 * The command line. Each command is a file of its own and is loaded only when it is called, so that the gateway does
 * not carry what it never runs.
 */
import { Command, CommanderError } from 'commander';
import manifest from '../../package.json' with { type: 'json' };
import { addConfigOptions, addStateOptions, collect } from './config-options.ts';
import { exitCode } from './exit-code.ts';
import { failureFrom } from './failure.ts';
import { addRouterCommands, type Running } from './router-commands.ts';
import { endWithReader } from './standard-output.ts';
import { addWatchCommands } from './watch-commands.ts';

let result: number = exitCode.ok;

const running: Running =
  (run) =>
  async (...args) => {
    result = await (run as (...args: unknown[]) => Promise<number>)(...args);
  };

const program = new Command('sipalg')
  .description(
    'A SIP ALG that gets it right, proof of what another one does, and the way to switch a bad one off.',
  )
  .version(manifest.version, '-V, --version')
  .showHelpAfterError('(sipalg --help shows the commands, sipalg COMMAND --help the options of one)')
  .showSuggestionAfterError()
  .exitOverride()
  .addHelpText(
    'after',
    `
First steps:
  sipalg explain samples/register.sip          what would change in a message, and why; no root, no network
  sudo sipalg demo                             a whole telephone network on this machine, with a call through it
  sudo sipalg preflight -i br0 -e eth0         what stands in the way on this router
  sudo sipalg gateway   -i br0 -e eth0         the real thing; Ctrl-C stops it and leaves plain NAT behind
  sudo sipalg status                           what it does: phones, calls, media both ways
  sipalg check HOST:PORT/TOKEN/PIN             whether something alters SIP between here and a \`sipalg reflector\`
  sipalg router search fritzbox                how that router's SIP ALG is switched off, and back

Exit codes: 0 fine, 1 the answer is no, 2 command line or configuration, 3 this machine, 4 changed, 70 a bug of ours`,
  );

addConfigOptions(program.command('gateway').summary('run the gateway'))
  .description(
    `Runs the gateway in the foreground until it is told to stop.

Transparent mode (--internal and --external): it intercepts SIP on this Linux router. Nothing changes on the phones.
Explicit mode (--listen): phones name this address as outbound proxy. It needs no root.

SIGTERM and Ctrl-C leave plain NAT and nothing else behind; SIGHUP reads the configuration again.`,
  )
  .option('--json', 'the log as one JSON object a line; "msg":"ready" says that it takes traffic')
  .addHelpText(
    'after',
    `
Examples:
  sudo sipalg gateway --internal br0 --external eth0
  sudo sipalg gateway --config /etc/sipalg/gateway.toml --json
  sudo sipalg gateway -i br0 -e ppp0 --accept-chain 'inet filter forward'
  sipalg gateway --listen 192.0.2.10:5060 --state-dir /tmp/sipalg`,
  )
  .action(running(async (options) => (await import('./gateway.ts')).gateway(options, manifest.version)));

program
  .command('console')
  .summary('the address of the web console of the gateway that runs')
  .description(
    `Prints the address of the web console with its token: open it in a browser on this machine. From another machine, forward the
port first: ssh -L 8060:127.0.0.1:8060 ROUTER. Exit code 1: no console runs on this state directory.`,
  )
  .option('--state-dir <dir>', 'of the gateway (default: /var/lib/sipalg)')
  .action(running(async (options) => (await import('./console.ts')).consoleAddress(options)));

program
  .command('demo')
  .summary('a telephone network on this machine, with a call through the gateway')
  .description(
    `Builds a phone, a NAT router with the gateway and a provider in network namespaces of their own, registers, makes a
call every few seconds and shows what happens and what is rewritten. Ctrl-C removes all of it. Without root it runs the
explicit mode on loopback instead.`,
  )
  .option('--once', 'one registration and one call, then stop; exit code 1 if the call fails')
  .option('--json', 'one JSON object a line')
  .action(running(async (options) => (await import('./demo.ts')).demo(options)));

addConfigOptions(program.command('preflight').summary('what stands in the way on this machine'))
  .description(
    'Checks everything that the gateway needs before it starts, and names the way to mend what is missing. Changes nothing.',
  )
  .option('--json', 'the checks as JSON')
  .action(running(async (options) => (await import('./preflight.ts')).preflight(options)));

addConfigOptions(
  program.command('rules').summary('print the kernel rules that the gateway would set, or the SIP rules'),
)
  .description(
    `Prints the nftables ruleset and the policy routes that the gateway would set, and sets nothing.

With --sip: every reason for which a byte of a message may change, with its RFC section and what breaks without it.`,
  )
  .option('--sip', 'the rules for messages instead')
  .option('--json', 'with --sip: as JSON')
  .action(running(async (options) => (await import('./rules.ts')).rules(options)));

addStateOptions(program.command('on').summary('translate again after `sipalg off`'))
  .description(
    'Takes back `sipalg off`. A gateway that is running takes traffic at once. Doing it twice does no harm.',
  )
  .action(running(async (options) => (await import('./switch.ts')).switchTo('on', options)));

addStateOptions(program.command('off').summary('plain NAT at once, and nothing left behind'))
  .description(
    `Switches the gateway off: from this moment there is plain NAT, and no rule is left behind. It holds through restarts
and upgrades, until \`sipalg on\`. Doing it twice does no harm.

For one phone or one provider only: mode = "off" in its [[phone]] or [[provider]] table, then SIGHUP to the gateway.`,
  )
  .action(running(async (options) => (await import('./switch.ts')).switchTo('off', options)));

addStateOptions(program.command('status').summary('what the running gateway does'))
  .description(
    `Asks the running gateway: since when it takes traffic, which phones are registered and how they are reached, the calls
and whether their media flows both ways, how full its tables are, and its last notices. Changes nothing.

Exit code 0: SIP goes through the gateway; 1: it does not (switched off, not running, or standing still).`,
  )
  .option('--json', 'the answer as one line of JSON')
  .option('-w, --watch', 'again every two seconds, until Ctrl-C')
  .action(running(async (options) => (await import('./status.ts')).status(options)));

addWatchCommands(program, running, manifest.version);

addConfigOptions(program.command('install-service').summary('run the gateway as a systemd service'))
  .description(
    `Writes /etc/systemd/system/sipalg.service, enables and starts it. The options are those of \`sipalg gateway\`; without any,
/etc/sipalg/gateway.toml is what it reads. The service is a user of its own with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE, and nothing
else of root; systemd restarts it when it fails or stands still. Doing it again writes it anew.`,
  )
  .option('--dry-run', 'print the unit, and do nothing')
  .addHelpText(
    'after',
    `
Examples:
  sudo sipalg install-service -i br0 -e eth0
  sipalg install-service --config /etc/sipalg/gateway.toml --dry-run`,
  )
  .action(running(async (options) => (await import('./install-service.ts')).installService(options)));

program
  .command('uninstall-service')
  .summary('stop and remove the systemd service')
  .description('Stops the service, which leaves plain NAT, and removes its unit. The state stays.')
  .option('--dry-run', 'say what would be done, and do nothing')
  .action(running(async (options) => (await import('./install-service.ts')).uninstallService(options)));

program
  .command('explain')
  .summary('what the gateway would change in a message or a call, and why')
  .description(
    `Shows what the gateway would do to a SIP message, as a diff with rule and RFC section. No root, no network.

Several messages in one file (each with its Content-Length) and captures (pcap, pcapng) are gone through in order, with
one gateway over all of them. In a capture the addresses of --mapping say which way a message goes; without --mapping
the private addresses are the phones. In a text a message that names an external endpoint in its Request-URI or topmost
Via comes in, any other goes the way of --direction.`,
  )
  .argument('<file>', 'a file with SIP messages, a pcap or pcapng file, or - for standard input')
  .option(
    '-c, --config <file>',
    'configuration of a gateway: its policy, ports and limits; options win over it',
  )
  .option('--direction <way>', 'out: from the phone to the provider; in: the other way', 'out')
  .option(
    '--mapping <int=ext>',
    'signalling mapping, such as 192.168.1.50:5060=203.0.113.7:61002 (repeatable)',
    collect,
  )
  .option(
    '--media <int=ext>',
    'media mapping in the same form (repeatable); other ports come from a pool',
    collect,
  )
  .option('--origin <policy>', 'the address in o= of an SDP: keep or translate (default: keep)')
  .option('--received <policy>', 'received and rport in responses: restore or expose (default: restore)')
  .option('--ice <policy>', 'media with ICE candidates: leave or translate-all (default: leave)')
  .option('--rule <rule=on|off>', 'switches a rule of `sipalg rules --sip` (repeatable)', collect)
  .option('--datagram', 'the input is one datagram, even where it looks like several messages or a capture')
  .option('--json', 'verdict, edits and defects as JSON; of several messages an array, "messages"')
  .option('--raw', 'exactly the bytes that would be sent, and nothing else')
  .addHelpText(
    'after',
    `
A mapping without ports (192.168.1.50=203.0.113.7) covers the whole host and keeps the ports. IPv6 stands in brackets.

Examples:
  sipalg explain samples/register.sip --mapping 192.168.1.50:5060=203.0.113.7:61002
  sipalg explain samples/invite.sip --mapping 192.168.1.50=203.0.113.7 --json
  sipalg explain call.pcap --mapping 192.168.1.50=203.0.113.7 --rule sdp.origin=on
  sipalg explain --raw - < invite.sip > translated.sip`,
  )
  .action(running(async (file, options) => (await import('./explain.ts')).explain(file, options)));

program
  .command('diff')
  .summary('what another box did to SIP, octet by octet, and what it breaks')
  .description(
    `Compares what was sent with what was received, and names every alteration.

Two files, each with one SIP message (its octets), or two captures (pcap, pcapng) of the same traffic: SENT on the side of
the phones, RECEIVED on the other side of the router. Captures are paired message by message although anything in them
may have been changed; the NAT is learned from them. NAT alone is no fault: it changes no message. An ALG that edits
consistently, and to the real mapping, is called correct-alg.`,
  )
  .argument('[sent]', 'what was sent, or the capture on the side of the phones')
  .argument('[received]', 'what was received, or the capture on the other side of the router')
  .option('--single <capture>', 'one capture only: signs instead of proofs (grade C)')
  .option(
    '--inside <network>',
    'address or network of the phones, such as 192.168.1.0/24 (repeatable)',
    collect,
  )
  .option('--outside <address>', 'external address of the router')
  .option('--direction <way>', 'of two messages: out (from the phone) or in; default: by their addresses')
  .option(
    '--port <port>',
    'of captures: a port of SIP beside 5060, where messages arrive damaged (repeatable)',
    collect,
  )
  .option('--redact', 'hide users, names, numbers, credentials, keys and texts; addresses stay')
  .option('--json', 'verdict, findings and unpaired messages as JSON')
  .addHelpText(
    'after',
    `
Exit codes: 0 unaltered or correct-alg, 1 faulty, 2 wrong usage or input that cannot be read.

Examples:
  sipalg diff samples/diff/sent.sip samples/diff/received.sip
  sipalg diff lan.pcap wan.pcap --inside 192.168.1.0/24 --json
  sipalg diff --single lan.pcap
  tcpdump -s 0 -w lan.pcap -i br0 'udp or tcp port 5060'     makes such a capture`,
  )
  .action(
    running(async (sent, received, options) => (await import('./diff.ts')).diff(sent, received, options)),
  );

program
  .command('check-config')
  .summary('check a configuration file')
  .description(
    'Reads a configuration file and prints all of its problems at once, each with its line and the way to mend it.',
  )
  .argument('<file>', 'the TOML file')
  .option('--json', 'the problems, and the configuration with all defaults filled in, as JSON')
  .action(running(async (file, options) => (await import('./check-config.ts')).checkConfig(file, options)));

program
  .command('check')
  .summary('does anything between here and a reflector alter SIP, what, and what helps')
  .description(
    `Sends SIP of every kind through whatever is between this machine and a reflector, both ways, and compares the octets of
both ends. It says what was altered or lost, what somebody notices of it, and what helps.

With --server there is only your provider's own server at the far end: it is asked OPTIONS, at most 40 packets and two a second,
and not again after a 403. Its answers may show signs; they prove nothing, and never that there is no ALG.`,
  )
  .argument('[reflector]', 'the line that `sipalg reflector` printed: HOST:PORT/TOKEN/PIN')
  .option(
    '--server <uri>',
    'instead of a reflector, a SIP server of somebody else: sip:HOST[:PORT][;transport=tcp]',
  )
  .option('--register', 'with --server: a REGISTER without credentials as well (default: never)')
  .option('--quick', 'the most telling messages only (15 s)')
  .option('--long', 'with pauses and calls of an hour, lifetimes searched to two seconds (up to two hours)')
  .option('--json', 'the report as JSON, and nothing else')
  .option('--progress', 'with --json: each step on standard error as it is done, one JSON object a line')
  .option('--html <file>', 'writes the report as one HTML file, for a support ticket')
  .option('--share', 'leaves the result at the reflector, and prints a link to it that expires')
  .option('--redact', 'hides the public addresses of this line and of the reflector in the report')
  .option(
    '--idle <seconds>',
    'pauses before calls come in, such as 15,30,65; 0 for none (default: up to 65 s)',
  )
  .option(
    '--only <steps>',
    'some steps alone: matrix, call, size, tcp, workaround, nat, stun, dns, phones, incoming, intercept, place, carrier, idle, hold, tcp-idle, burst, names',
  )
  .option('--trace <file>', 'writes every message as both ends saw it, one JSON object a line')
  .option(
    '--patience <ms>',
    'how long a message may take before it is sent again or given up (default: 1000)',
  )
  .addHelpText(
    'after',
    `
Exit codes: 0 unaltered, or edited by an ALG without fault; 1 something does harm; 2 the command line; 3 the reflector
cannot be reached, or nothing came through. With --server: 1 a sign of harm, 3 anything else, as nothing is proven.

Examples:
  sipalg check 203.0.113.10:443/TOKEN/PIN
  sipalg check 203.0.113.10:443/TOKEN/PIN --quick --json
  sipalg check 203.0.113.10:443/TOKEN/PIN --html report.html --redact
  sipalg check --server sip:sip.example.com`,
  )
  .action(running(async (target, options) => (await import('./check.ts')).check(target, options)));

program
  .command('monitor')
  .summary('the check again and again, and what has changed since')
  .description(
    `Runs the quick check on a schedule, keeps what came of it, and says when the verdict or the faults change: after a firmware
update, an ALG that was switched off may be on again. A reflector that cannot be reached is no verdict.`,
  )
  .argument('[reflector]', 'the line that `sipalg reflector` printed: HOST:PORT/TOKEN/PIN')
  .option('--every <interval>', 'such as 30m, 6h or 1d; a tenth more or less by chance (default: 6h)')
  .option('--once', 'one check, for cron and systemd timers')
  .option('--webhook <url>', 'a change is sent there, as JSON in a POST')
  .option('--force-http', 'lets --webhook be http to another machine')
  .option('--history', 'what earlier runs said, and nothing else')
  .option('--state-dir <dir>', 'where monitor.db is kept')
  .option('--idle <seconds>', 'as for `sipalg check`')
  .option('--patience <ms>', 'as for `sipalg check`')
  .option('--json', 'one JSON object a line')
  .addHelpText(
    'after',
    `
Exit codes with --once: 0 unaltered, or edited by an ALG without fault; 1 something does harm, as it did before; 2 the command line;
3 no verdict; 4 the verdict or the faults are others than the time before, for better or worse. The change stands in the output
("changed") and goes to the webhook; where that does not take it, it is kept (50 at most, 120 tries) and sent after the next check.`,
  )
  .action(running(async (target, options) => (await import('./monitor.ts')).monitor(target, options)));

program
  .command('reflector')
  .summary('the other end of `sipalg check`, on a host on the Internet')
  .description(
    `Runs the far end of \`sipalg check\` in the foreground: SIP over UDP, TCP, TLS and WebSocket, media ports, and a TLS control
channel that tells a client every octet that came in. It prints the line that a client needs. No configuration: key and
token are made once and kept.

It answers nobody without that line, calls nobody, and sends only to the client's own address.`,
  )
  .option(
    '--address <address>',
    'address to listen on, LOCAL=PUBLIC behind a 1:1 NAT (repeatable; default: the public ones of this machine)',
    collect,
  )
  .option('--name <host>', 'host name or address that clients dial (default: the first address)')
  .option(
    '--control-port <port>',
    'port of the control channel (default: 443, or 8443 where 443 cannot be had)',
  )
  .option(
    '--domain <name>',
    'a domain of yours that has records for SIP: clients compare what their resolvers say of it',
  )
  .option('--state-dir <dir>', 'where key and token are kept')
  .option('--new-token', 'makes a new token; invitations given out before are void')
  .option('--json', 'one JSON object a line; "msg":"ready" carries the invitation')
  .action(running(async (options) => (await import('./reflector.ts')).reflector(options, manifest.version)));

addRouterCommands(program, running);

for (const command of program.commands) command.showHelpAfterError('(--help shows all options)');

endWithReader();

try {
  if (process.argv.length <= 2) program.outputHelp();
  else await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has printed its text already.
    result = error.exitCode === 0 ? exitCode.ok : exitCode.usage;
  } else {
    const failure = failureFrom(error);
    process.stderr.write(`sipalg: ${failure.text}\n`);
    result = failure.exitCode;
  }
}
// What is written to a pipe may still be under way, and process.exit would cut it off.
await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
// A command that is done is done: no forgotten timer may keep the process.
process.exit(result);
