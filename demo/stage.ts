/** Where the demo plays: in namespaces of its own, or, where those are not to be had, on loopback in the explicit mode. */
import { spawn } from 'node:child_process';
import { Agent, type OpenSocket } from './agent.ts';
import { Gateway } from './gateway.ts';
import { boundSocket } from './namespace.ts';
import { addresses, Network } from './network.ts';
import { Provider } from './provider.ts';
import { Reflector } from './reflector.ts';

export interface Stage {
  readonly phone: Agent;
  readonly provider: Provider;
  readonly gateway: Gateway;
  /** A picture of who is where. */
  readonly picture: readonly string[];
  /** Whom the phone calls. */
  readonly bob: string;
  /** The line of a reflector on the provider's side, which a check can be made against. */
  readonly reflector?: string;
  close(): Promise<void>;
}

/** A file to change in the console. */
const CONFIG = `# The demonstration's own configuration.

[log]
reveal = true   # Alice and Bob are made up: nobody has to be hidden
`;

const PHONE_HERTZ = 440;
const PROVIDER_HERTZ = 1000;

export async function namespaceStage(): Promise<Stage> {
  const network = new Network();
  try {
    const gateway = await Gateway.inRouter(network, { config: CONFIG });
    try {
      const phone = await Agent.open(
        {
          user: 'alice',
          domain: addresses.provider,
          address: addresses.phone1,
          outbound: { address: addresses.provider, port: 5060 },
          hertz: PHONE_HERTZ,
        },
        (address, port) => network.socket('phone1', address, port),
      );
      const provider = await Provider.open(
        { user: 'bob', address: addresses.provider, mediaAddress: addresses.media, hertz: PROVIDER_HERTZ },
        (address, port) => network.socket('provider', address, port),
      );
      const reflector = await Reflector.open(network);
      return {
        phone,
        provider,
        gateway,
        reflector: reflector.invitation,
        bob: `sip:bob@${addresses.provider}`,
        picture: [
          `  ${'phone'.padEnd(16)}  router with NAT, a firewall and sipalg    provider`,
          `  ${addresses.phone1.padEnd(12)} ──── ${addresses.routerInternal} │ ${addresses.routerExternal} ────────────── ${addresses.provider}  (signalling)`,
          `${' '.repeat(61)}${addresses.media}  (its audio)`,
          '',
          '  Each of them is a network namespace of this machine. The provider believes what messages say, and has no',
          '  way to 192.168.1.10. Without the gateway the phone could not even register.',
        ],
        async close() {
          await reflector.close();
          await closeAll(phone, provider, gateway, network);
        },
      };
    } catch (error) {
      await gateway.close();
      throw error;
    }
  } catch (error) {
    network.close();
    throw error;
  }
}

/** Linux has all of 127.0.0.0/8 on loopback, others one address. */
const loopback = (last: number): string => (process.platform === 'linux' ? `127.0.0.${last}` : '127.0.0.1');

export async function loopbackStage(): Promise<Stage> {
  const open: OpenSocket = boundSocket;
  const listen = { address: '127.0.0.1', port: await freePort('127.0.0.1') };
  const gateway = await Gateway.started((program, args) =>
    spawn(program, [...args, '--listen', `${listen.address}:${listen.port}`], {
      stdio: ['ignore', 'pipe', 'pipe'],
    }),
  );
  try {
    const provider = await Provider.open(
      {
        user: 'bob',
        address: loopback(5),
        port: await freePort(loopback(5)),
        mediaAddress: loopback(6),
        hertz: PROVIDER_HERTZ,
      },
      open,
    );
    const domain = provider.agent.wire.contactHost;
    const phone = await Agent.open(
      {
        user: 'alice',
        domain,
        address: loopback(10),
        port: await freePort(loopback(10)),
        outbound: listen,
        outboundAlways: true,
        hertz: PHONE_HERTZ,
      },
      open,
    );
    return {
      phone,
      provider,
      gateway,
      bob: `sip:bob@${domain}`,
      picture: [
        '  phone                sipalg, explicit mode      provider',
        `  ${phone.wire.contactHost} ──── ${listen.address}:${listen.port} ──── ${domain}`,
        '',
        '  The phone names the gateway as its outbound proxy. The provider learns only the gateway, never the phone.',
      ],
      close: () => closeAll(phone, provider, gateway),
    };
  } catch (error) {
    await gateway.close();
    throw error;
  }
}

async function closeAll(
  phone: Agent,
  provider: Provider,
  gateway: Gateway,
  network?: Network,
): Promise<void> {
  phone.close();
  provider.close();
  await gateway.close();
  network?.close();
}

/** The first free port from 5060 on: below the ports that the gateway takes for media and for phones. */
async function freePort(address: string): Promise<number> {
  for (let port = 5060; port < 5160; port += 2) {
    try {
      (await boundSocket(address, port)).close();
      return port;
    } catch {
      // Taken: by a softphone of this machine, or by another demo.
    }
  }
  throw new Error(`no free UDP port from 5060 to 5159 at ${address}`);
}
