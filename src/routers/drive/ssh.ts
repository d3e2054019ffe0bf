/**
 * SSH to a router. Where the recipe names a prompt, a shell is talked to; otherwise each line is a command of its own
 * (RFC 4254 §6.5), which needs no prompt, has no echo and tells its exit status.
 *
 * Algorithms that no longer count as safe are offered only where the recipe says that the device needs them.
 */
import ssh2, { type Algorithms, type Client, type ClientChannel, type ConnectConfig } from 'ssh2';
import { RouterError } from './failure.ts';
import { fingerprintOf, type HostKeys } from './host-keys.ts';

export interface SshTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string | undefined;
  /** The socket of an ssh-agent. */
  readonly agent: string | undefined;
  /** Names of algorithms, from the recipe. */
  readonly legacy: readonly string[];
  readonly hostKeys: HostKeys;
  /** Asked about a key that was never seen. */
  readonly acceptHostKey: (fingerprint: string) => Promise<boolean>;
  readonly connectMs: number;
}

/** Wide and plain, so that the device folds no line and paints nothing. */
const WINDOW = { term: 'dumb', cols: 1000, rows: 1000, width: 8000, height: 8000 } as const;

export function openSsh(target: SshTarget): Promise<Client> {
  const client = new ssh2.Client();
  const { host, port, user, password, agent } = target;
  const { promise, resolve, reject } = Promise.withResolvers<Client>();
  let refusal: RouterError | undefined;
  const methods: NonNullable<ConnectConfig['authHandler']> = [
    ...(agent === undefined ? [] : [{ type: 'agent' as const, username: user, agent }]),
    ...(password === undefined
      ? []
      : [
          { type: 'password' as const, username: user, password },
          {
            type: 'keyboard-interactive' as const,
            username: user,
            prompt: (
              _name: string,
              _instructions: string,
              _language: string,
              prompts: readonly { prompt: string }[],
              answer: (answers: string[]) => void,
            ): void => answer(prompts.map(() => password)),
          },
        ]),
  ] as never;
  client.once('ready', () => resolve(client));
  client.once('close', () =>
    reject(
      refusal ??
        new RouterError(
          'routers/hung-up',
          `${host} closed the connection during the login`,
          'try again; some devices allow one session at a time',
        ),
    ),
  );
  client.on('error', (error: Error & { level?: string }) => reject(refusal ?? failureOf(target, error)));
  client.connect({
    host,
    port,
    username: user,
    authHandler: methods,
    readyTimeout: target.connectMs + 60_000,
    timeout: target.connectMs,
    algorithms: algorithmsWith(target.legacy),
    hostVerifier: (key: Buffer, verify: (valid: boolean) => void): void => {
      void judgeHostKey(target, fingerprintOf(key)).then(
        (judgement) => {
          refusal = judgement;
          verify(judgement === undefined);
        },
        (error: unknown) => {
          reject(error);
          verify(false);
        },
      );
    },
  });
  return promise.catch((error: unknown) => {
    client.destroy();
    throw error;
  });
}

async function judgeHostKey(target: SshTarget, seen: string): Promise<RouterError | undefined> {
  const { host, port, hostKeys } = target;
  const known = hostKeys.known(host, port);
  if (known === seen) return undefined;
  if (known !== undefined)
    return new RouterError(
      'routers/host-key-changed',
      `the host key of ${host} port ${port} is ${seen}, and was ${known}`,
      `somebody may stand in between. If the device was reset or replaced, take its line out of ${hostKeys.path}`,
    );
  if (!(await target.acceptHostKey(seen)))
    return new RouterError('routers/host-key-refused', 'the host key was not accepted', 'nothing was sent');
  hostKeys.remember(host, port, seen);
  return undefined;
}

function failureOf(target: SshTarget, error: Error & { level?: string }): RouterError {
  const { host, port, user } = target;
  if (error.level === 'client-authentication')
    return new RouterError(
      'routers/wrong-password',
      `${host} does not let "${user}" in`,
      'each way was tried once. --user names another user; SIPALG_ROUTER_PASSWORD or the prompt take the password; keys come from ssh-agent',
    );
  if (/no matching/i.test(error.message))
    return new RouterError(
      'routers/no-common-algorithm',
      `${host} offers only SSH algorithms that are not allowed (${error.message.replace(/^Handshake failed: /, '')})`,
      'update its firmware. An old device that cannot be updated needs the algorithm under `legacySsh` of its recipe',
    );
  return new RouterError(
    'routers/unreachable',
    `nobody answers SSH at ${host} port ${port} (${error.message})`,
    'switch SSH on in the web page of the device, or name another port with --port',
  );
}

/** What ssh2 takes as safe, but for signatures with SHA-1 (ssh-rsa), as OpenSSH has it since 8.8; and what is named. */
export function algorithmsWith(legacy: readonly string[]): Algorithms {
  const kinds: Record<'kex' | 'serverHostKey' | 'cipher' | 'hmac', string[]> = {
    kex: [],
    serverHostKey: [],
    cipher: [],
    hmac: [],
  };
  for (const name of legacy) kinds[kindOf(name)].push(name);
  const list = (append: readonly string[], remove: readonly string[] = []): object => ({
    append,
    prepend: [],
    remove: remove.filter((name) => !append.includes(name)),
  });
  return {
    kex: list(kinds.kex),
    serverHostKey: list(
      kinds.serverHostKey.filter((name) => name !== 'ssh-rsa'),
      kinds.serverHostKey.includes('ssh-rsa') ? [] : ['ssh-rsa'],
    ),
    cipher: list(kinds.cipher),
    hmac: list(kinds.hmac),
  } as Algorithms;
}

function kindOf(name: string): 'kex' | 'serverHostKey' | 'cipher' | 'hmac' {
  if (/^(?:diffie-hellman|ecdh-sha|curve)/.test(name)) return 'kex';
  if (/^hmac/.test(name)) return 'hmac';
  return /^(?:ssh-|ecdsa-|rsa-)/.test(name) ? 'serverHostKey' : 'cipher';
}

export function openShell(client: Client): Promise<ClientChannel> {
  return new Promise((resolve, reject) =>
    client.shell(WINDOW, (error, channel) => {
      if (error !== undefined)
        reject(
          new RouterError(
            'routers/refused',
            `the device gives no shell (${error.message})`,
            'its user may have no rights to the command line',
          ),
        );
      else resolve(channel);
    }),
  );
}

/** One command, to its end. Standard error belongs to the answer: a person would read it as well. */
export function execute(client: Client, command: string, answerMs: number): Promise<string> {
  return new Promise((resolve, reject) => {
    client.exec(command, (error, channel) => {
      if (error !== undefined) {
        reject(
          new RouterError(
            'routers/hung-up',
            `the device takes no command (${error.message})`,
            'look whether it still answers',
          ),
        );
        return;
      }
      const chunks: Buffer[] = [];
      let length = 0;
      let ended = false;
      const fail = (code: 'routers/hung-up' | 'routers/unknown-prompt', why: string): void => {
        clearTimeout(timer);
        channel.destroy();
        reject(new RouterError(code, `"${command}": ${why}`, 'nothing was sent after it'));
      };
      const timer = setTimeout(
        () => fail('routers/unknown-prompt', 'the command did not end in time'),
        answerMs,
      );
      const take = (chunk: Buffer): void => {
        length += chunk.length;
        if (length > MAX_ANSWER) fail('routers/unknown-prompt', 'the answer is longer than 256 KiB');
        else chunks.push(chunk);
      };
      channel.on('data', take);
      channel.stderr.on('data', take);
      channel.once('exit', () => {
        ended = true;
      });
      channel.once('close', () => {
        clearTimeout(timer);
        if (ended) resolve(Buffer.concat(chunks).toString('utf8').replaceAll('\r', '').trim());
        else fail('routers/hung-up', 'the device ended the connection before the command was done');
      });
    });
  });
}

const MAX_ANSWER = 256 * 1024;
