/** `sipalg fix` and the commands of `sipalg router`, as the command line has them. */
import type { Command } from 'commander';

/** What a command gives back once it is done. */
export type Run = (...args: never[]) => Promise<number>;
/** Makes an action of it. */
export type Running = (run: Run) => (...args: unknown[]) => Promise<void>;

export function addRouterCommands(program: Command, running: Running): void {
  addDeviceOptions(
    program.command('fix').summary('finds what alters SIP, switches it off, and shows that it is gone'),
    'reflector',
  )
    .description(
      `Checks the path to a reflector, finds out which router it is, shows the recipe for it, asks, switches its SIP ALG off, removes old
  states, and checks again. What became worse is set back. Where nothing can be switched off, it names what gets through.

  Without a reflector nobody looks at the wire, and the router's own word has to do.
  Exit code 0: nothing does harm any more; 1: something still does, or only a person can switch it.`,
    )
    .option('--router <host>', 'IP address of the router (default: the default gateway)')
    .option('--quick', 'the most telling messages only')
    .option('--long', 'with long idle times')
    .option('--idle <seconds>', 'as with check')
    .option('--patience <ms>', 'as with check')
    .option('-y, --yes', 'asks nothing; takes a host key that was never seen')
    .option('--unverified', 'with --yes: even lines that no source that was read shows')
    .action(running(async (target, options) => (await import('./fix.ts')).fix(target, options)));

  const router = program
    .command('router')
    .summary("how a router's SIP ALG is checked, switched off, and switched back")
    .description(
      `The catalogue of recipes: for each router where the switch is, what a tick means, what must be seen, how to put it back, what
  it risks, and what the pages that are copied from each other get wrong.

  list, search and show print and send nothing. identify asks a router what it is, without a password. check, off and on log in to
  it, by SSH, telnet or its HTTP interface, as the recipe says.`,
    )
    .addHelpText(
      'after',
      `
  Examples:
    sipalg router search fritzbox
    sipalg router show mikrotik-routeros
    sipalg router show hg633 --markdown > ticket.md
    sipalg router list --json
    sipalg router identify
    sipalg router off 192.168.1.1 --dry-run
    sipalg router off 192.168.1.1 --recipe mikrotik-routeros`,
    );

  addRecipeOptions(router.command('list').summary('all recipes, one a line')).action(
    running(async (options) => (await import('./router.ts')).routerList(options)),
  );

  addRecipeOptions(router.command('search').summary('recipes by vendor, model or nickname'))
    .description('Finds recipes by vendor, model or nickname. Exit code 1: it is not in the catalogue.')
    .argument('<words...>', 'such as fritzbox, hg633 or "draytek 2760"')
    .action(running(async (words, options) => (await import('./router.ts')).routerSearch(words, options)));

  addRecipeOptions(router.command('show').summary('one recipe, step by step'))
    .argument('<id>', 'an id of `sipalg router list`, or a name that means one recipe only')
    .action(running(async (id, options) => (await import('./router.ts')).routerShow(id, options)));

  router
    .command('identify')
    .summary('which router it is, and what says so')
    .description(
      `Asks the default gateway, or the address that is named, what it says without a login: UPnP, its web page and certificate, SSH and
  telnet greeting, NAT-PMP and PCP; and looks who its MAC address belongs to. It sends no password, and asks nobody else.
  Exit code 1: no recipe stands out.`,
    )
    .argument('[host]', 'IP address of the router (default: the default gateway)')
    .option('--snmp', 'asks by SNMP as well, with the community "public"')
    .option('--report <file>', 'takes what `sipalg check --json` saw on the wire as evidence as well')
    .option('--public', 'even where the address is a public one')
    .option('--recipes <dir>', 'another folder of recipes')
    .option('--json', 'as JSON')
    .showHelpAfterError('(--help shows all options)')
    .action(
      running(async (host, options) => (await import('./router-identify.ts')).routerIdentify(host, options)),
    );

  addDeviceOptions(
    router.command('check').summary('whether the SIP ALG of a router is on, as it says itself'),
  )
    .description(
      'Logs in, reads the setting, and changes nothing. Exit code 0: it is off or there is none; 1: it is on, or only a person can look.',
    )
    .option('-y, --yes', 'takes a host key that was never seen')
    .action(
      running(async (host, options) => (await import('./router-change.ts')).routerCheck(host, options)),
    );

  for (const target of ['off', 'on'] as const)
    addDeviceOptions(router.command(target).summary(`switches the SIP ALG of a router ${target}`))
      .description(
        `Shows what will be sent and asks; writes down how it was; sends the recipe's lines one after another; reads the setting again, and
  sets it back if it is not "${target}". Where the device says something that the recipe does not know, nothing is sent after it.
  Where only a person can do it, it prints the steps, says that nothing was sent, and exits with 1.

  The password is asked for, or taken from SIPALG_ROUTER_PASSWORD; keys come from ssh-agent. It is never an argument.`,
      )
      .option('-y, --yes', 'asks nothing; takes a host key that was never seen')
      .option('--unverified', 'with --yes: even lines that no source that was read shows')
      .action(
        running(async (host, options) =>
          (await import('./router-change.ts')).routerSwitch(target, host, options),
        ),
      );
}

function addDeviceOptions(command: Command, argument: 'host' | 'reflector' = 'host'): Command {
  return (
    argument === 'host'
      ? command
          .argument('[host]', 'IP address of the router (default: the default gateway)')
          .option('--dry-run', 'shows what would be sent, and sends nothing')
      : command.argument('[reflector]', 'the line that `sipalg reflector` printed: HOST:PORT/TOKEN/PIN')
  )
    .option('--recipe <id>', 'the recipe (default: the one that identify finds)')
    .option('--procedure <id>', 'one of its procedures (default: the first that a program can go)')
    .option('--user <name>', 'user name at the router (default: the one that the recipe names)')
    .option('--port <port>', 'another port than the usual one')
    .option(
      '--default-credentials',
      'tries the password that the device is shipped with, if the recipe knows it',
    )
    .option('--timeout <seconds>', 'longest wait for one answer (default: 30)')
    .option('--public', 'even where the address is a public one')
    .option('--state-dir <dir>', 'where host keys and backups are kept (default: ~/.local/state/sipalg)')
    .option('--recipes <dir>', 'another folder of recipes')
    .option('--json', 'the outcome as JSON')
    .showHelpAfterError('(--help shows all options)');
}

function addRecipeOptions(command: Command): Command {
  return command
    .option('--json', 'as JSON')
    .option('--markdown', 'as Markdown, for help pages and tickets')
    .option('--recipes <dir>', 'another folder of recipes')
    .showHelpAfterError('(--help shows all options)');
}
