/**
 * A router that does the steps of a procedure: by SSH, telnet or HTTP. It does one step at a time and gives the whole
 * answer; what the answer means is the recipe's.
 */
import type { Duplex } from 'node:stream';
import type { Procedure, Step } from '../schema.ts';
import { defaultPorts, type Way } from '../ways.ts';
import { Conversation } from './conversation.ts';
import { RouterError } from './failure.ts';
import type { HostKeys } from './host-keys.ts';
import { askHttp } from './http.ts';
import { HttpSession } from './http-session.ts';
import { execute, openShell, openSsh } from './ssh.ts';
import { openTelnet } from './telnet.ts';

export interface StepAnswer {
  readonly text: string;
  /** The prompt that followed, where there is one: some devices show there what was entered. */
  readonly prompt: string;
  /** Of HTTP: with status and header fields; nothing is hidden in it. */
  readonly whole?: string;
}

export interface Device {
  readonly way: Way;
  perform(step: Step): Promise<StepAnswer>;
  close(): void;
}

export interface Credentials {
  readonly user: string;
  readonly password: string | undefined;
  readonly agent: string | undefined;
}

export interface DeviceOptions {
  readonly host: string;
  /** Default: that of the protocol. */
  readonly port: number | undefined;
  readonly way: Way;
  readonly credentials: Credentials;
  readonly hostKeys: HostKeys;
  readonly acceptHostKey: (fingerprint: string) => Promise<boolean>;
  readonly connectMs: number;
  readonly answerMs: number;
}

/** Opens the first way that is there. A device that answers and refuses has answered. */
export async function openDevice(
  procedure: Procedure,
  options: Omit<DeviceOptions, 'way'>,
  ways: readonly Way[],
): Promise<Device> {
  const failures: RouterError[] = [];
  for (const way of ways) {
    try {
      return await open(procedure, { ...options, way });
    } catch (error) {
      if (!(error instanceof RouterError) || error.code !== 'routers/unreachable') throw error;
      failures.push(error);
    }
  }
  const [first] = failures;
  throw new RouterError(
    'routers/unreachable',
    failures.map(({ message }) => message).join('; '),
    first?.hint ?? 'name another recipe',
  );
}

async function open(procedure: Procedure, options: DeviceOptions): Promise<Device> {
  if (options.way === 'ssh') return openByShell(procedure, options);
  if (options.way === 'telnet') return openByTelnet(procedure, options);
  return openByHttp(procedure, options);
}

function lineOf(step: Step): string {
  if (step.send !== undefined) return step.send;
  throw new RouterError('routers/refused', 'this step of the recipe is not a line to type', 'do it by hand');
}

async function openByShell(procedure: Procedure, options: DeviceOptions): Promise<Device> {
  const { host, port = defaultPorts.ssh, credentials } = options;
  const legacy = procedure.legacySsh.map(({ algorithm }) => algorithm);
  const client = await openSsh({ ...options, port, host, legacy, ...credentials });
  const close = (): void => {
    client.end();
    client.destroy();
  };
  if (procedure.prompt === undefined)
    return {
      way: 'ssh',
      perform: async (step) => ({ text: await execute(client, lineOf(step), options.answerMs), prompt: '' }),
      close,
    };
  try {
    const channel = await openShell(client);
    const conversation = conversationOf(channel, procedure, options, '\r');
    await conversation.begin();
    return { way: 'ssh', perform: (step) => conversation.ask(lineOf(step)), close };
  } catch (error) {
    close();
    throw error;
  }
}

async function openByTelnet(procedure: Procedure, options: DeviceOptions): Promise<Device> {
  const { host, port = defaultPorts.telnet, credentials } = options;
  const { password } = credentials;
  const needsLogin = procedure.login?.kind !== 'none';
  if (needsLogin && password === undefined) throw noPassword();
  const stream = await openTelnet(host, port, options.connectMs);
  try {
    const conversation = conversationOf(stream, procedure, options, '\r\n');
    if (needsLogin) await conversation.logIn(credentials.user, password ?? '');
    else await conversation.begin();
    return {
      way: 'telnet',
      perform: (step) => conversation.ask(lineOf(step)),
      close: () => stream.destroy(),
    };
  } catch (error) {
    stream.destroy();
    throw error;
  }
}

function conversationOf(
  stream: Duplex,
  { prompt }: Procedure,
  { answerMs, credentials }: DeviceOptions,
  enter: string,
): Conversation {
  const secrets = credentials.password === undefined ? [] : [credentials.password];
  return new Conversation(stream, { enter, prompt, answerMs, secrets });
}

async function openByHttp(procedure: Procedure, options: DeviceOptions): Promise<Device> {
  const { host, way, credentials, connectMs, answerMs } = options;
  const place = { host, port: options.port ?? defaultPorts[way], secure: way === 'https' };
  // Whether anybody is there, before a password is sent anywhere.
  await askHttp({ ...place, timeoutMs: connectMs }, { method: 'GET', path: '/' });
  const { user, password } = credentials;
  if (password === undefined) throw noPassword();
  const session = new HttpSession({ ...place, timeoutMs: answerMs }, procedure, { user, password });
  await session.logIn();
  return {
    way,
    close: () => {},
    perform: async (step) => ({ ...(await session.perform(step)), prompt: '' }),
  };
}

function noPassword(): RouterError {
  return new RouterError(
    'routers/no-password',
    'the login needs a password',
    'type it when asked (in a terminal), or set SIPALG_ROUTER_PASSWORD; it is never taken from the command line',
  );
}
