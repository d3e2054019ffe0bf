/** The commands that look at a running gateway: trace, top, capture. */
import type { Command } from 'commander';
import { addStateOptions } from './config-options.ts';

type Action = (...args: unknown[]) => Promise<void>;
type Running = (run: (...args: never[]) => Promise<number>) => Action;

export function addWatchCommands(program: Command, running: Running, version: string): void {
  addStateOptions(program.command('trace').summary('the ladder of each call, live, with every edit'))
    .description(
      `Shows each message that the running gateway handles, between phone, gateway and provider, and under it every edit: before,
after, rule and RFC section. What is shown costs the gateway nothing; a slow terminal misses messages and is told how many.

Users and credentials are hidden, each octet as an x, unless --reveal is given.`,
    )
    .option('--call <id>', 'one call only, by its Call-ID; what is remembered of it comes first')
    .option('--past', 'what is remembered, and end')
    .option('--full', 'whole messages, with the changed lines before and after')
    .option('--seconds <n>', 'end after this time')
    .option('--reveal', 'users, credentials and bodies in the clear')
    .option('--json', 'one JSON object a line; octets are base64')
    .action(running(async (options) => (await import('./trace.ts')).trace(options)));

  addStateOptions(program.command('top').summary('phones, calls and streams, live'))
    .description(
      `A screen that shows what the running gateway does: rates, phones, calls, and packets of each stream both ways, so that
one-way audio is seen at once. q ends it, arrows scroll, p, c and s show phones, calls or both. Where standard output is no
terminal, it prints the same as text, once.`,
    )
    .option('--json', 'one JSON object, with rates over one second')
    .option('--interval <seconds>', 'how often it looks (default: 1)')
    .action(running(async (options) => (await import('./top.ts')).top(options)));

  addStateOptions(program.command('capture').summary('a pcapng file with both sides of every message'))
    .description(
      `Writes what the running gateway handles as a capture for Wireshark or tshark: an interface for the phones' side and one for the
providers', each message as it came and as it left, each edit as a comment with its rule and RFC section. It begins with what is
remembered, and goes on until Ctrl-C, --seconds or --size.

Users, credentials, keys and bodies are hidden, each octet as an x, so that lengths stay; --reveal shows them. A session description
keeps its addresses, ports and codecs.`,
    )
    .argument('<file>', 'where to write it, for its owner only; - is standard output')
    .option('--call <id>', 'one call only, by its Call-ID')
    .option('--past', 'what is remembered, and end')
    .option('--seconds <n>', 'end after this time')
    .option('--size <mib>', 'end before the file is larger (default: 256)')
    .option('--reveal', 'users, credentials, keys and bodies in the clear')
    .addHelpText(
      'after',
      `
Examples:
  sudo sipalg capture call.pcapng --seconds 60
  sudo sipalg capture - | tshark -r - -Y sip -T fields -e frame.interface_name -e sip.Method -e frame.comment`,
    )
    .action(running(async (file, options) => (await import('./capture.ts')).capture(file, options, version)));
}
