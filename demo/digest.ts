/** Digest authentication (RFC 2617 with qop=auth and MD5, as RFC 3261 §22.4 has it). */
import { createHash, randomBytes } from 'node:crypto';

const md5 = (text: string): string => createHash('md5').update(text).digest('hex');

export function newChallenge(realm: string): string {
  return `Digest realm="${realm}", nonce="${randomBytes(16).toString('hex')}", qop="auth", algorithm=MD5`;
}

export function authorization(
  challenge: string,
  user: string,
  password: string,
  method: string,
  uri: string,
): string {
  const realm = quoted(challenge, 'realm');
  const nonce = quoted(challenge, 'nonce');
  const cnonce = randomBytes(8).toString('hex');
  const response = answer(user, realm, password, method, uri, nonce, cnonce);
  return (
    `Digest username="${user}", realm="${realm}", nonce="${nonce}", uri="${uri}", response="${response}", ` +
    `algorithm=MD5, cnonce="${cnonce}", qop=auth, nc=00000001`
  );
}

/** Whether credentials answer the challenge, computed over the URI that they name. */
export function verify(credentials: string, password: string, method: string): boolean {
  const [user, realm, nonce, cnonce, uri] = ['username', 'realm', 'nonce', 'cnonce', 'uri'].map((name) =>
    quoted(credentials, name),
  ) as [string, string, string, string, string];
  return answer(user, realm, password, method, uri, nonce, cnonce) === quoted(credentials, 'response');
}

function answer(
  user: string,
  realm: string,
  password: string,
  method: string,
  uri: string,
  nonce: string,
  cnonce: string,
): string {
  return md5(
    `${md5(`${user}:${realm}:${password}`)}:${nonce}:00000001:${cnonce}:auth:${md5(`${method}:${uri}`)}`,
  );
}

function quoted(text: string, name: string): string {
  return new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? '';
}
