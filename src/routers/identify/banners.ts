/** What SSH and telnet say before anybody logs in. Nothing is typed. */
import { createConnection } from 'node:net';
import { clean } from '../drive/conversation.ts';
import { TelnetDecoder } from '../drive/telnet.ts';
import { type Evidence, evidence } from './evidence.ts';

const MAX_BANNER = 4096;
/** Telnet says when it is done by saying no more. */
const QUIET_MS = 500;

export async function askBanner(
  host: string,
  port: number,
  kind: 'ssh-banner' | 'telnet-banner',
  timeoutMs: number,
): Promise<Evidence[]> {
  const text = await greeting(host, port, kind === 'telnet-banner', timeoutMs);
  const line = kind === 'ssh-banner' ? /^SSH-[^\r\n]*/m.exec(text)?.[0] : clean(text);
  return evidence(kind, line, `tcp ${port}`);
}

function greeting(host: string, port: number, telnet: boolean, timeoutMs: number): Promise<string> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port });
    const decoder = new TelnetDecoder((bytes) => socket.write(bytes));
    let text = '';
    const done = (): void => {
      clearTimeout(timer);
      clearTimeout(quiet);
      socket.destroy();
      resolve(text);
    };
    const timer = setTimeout(done, timeoutMs);
    let quiet: NodeJS.Timeout | undefined;
    socket.on('data', (chunk) => {
      text += (telnet ? decoder.decode(chunk) : chunk).toString('latin1');
      clearTimeout(quiet);
      if (text.length > MAX_BANNER || (!telnet && text.includes('\n'))) done();
      else if (text !== '') quiet = setTimeout(done, QUIET_MS);
    });
    socket.on('error', done);
    socket.on('close', done);
  });
}
