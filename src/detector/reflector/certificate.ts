/**
 * A self-signed X.509 certificate (RFC 5280), because Node can use one but not make one: a version 3 certificate with an
 * ECDSA P-256 key, and nothing in it that a client would have to believe. Clients pin its key.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';

export interface Identity {
  /** PEM. */
  readonly key: string;
  readonly certificate: string;
}

const YEARS = 20;

/** `name` is the common name, printable ASCII. */
export function makeIdentity(name: string, now: Date): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const algorithm = sequence(oid(ECDSA_WITH_SHA256));
  const subject = sequence(set(sequence(oid(COMMON_NAME), tlv(0x0c, Buffer.from(name, 'ascii')))));
  const from = new Date(now.getTime() - 24 * 3_600_000);
  const until = new Date(now);
  until.setUTCFullYear(until.getUTCFullYear() + YEARS);
  // The key identifier is recommended for what signs itself too (RFC 5280 §4.2.1.2).
  const keyId = createHash('sha1').update(spki).digest();
  const extensions = sequence(sequence(oid(SUBJECT_KEY_IDENTIFIER), tlv(0x04, tlv(0x04, keyId))));
  // A serial number is positive and has at most 20 octets (RFC 5280 §4.1.2.2).
  const serial = randomBytes(16);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const body = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))),
    tlv(0x02, serial),
    algorithm,
    subject,
    sequence(time(from), time(until)),
    subject,
    spki,
    tlv(0xa3, extensions),
  );
  const signature = sign('sha256', body, privateKey);
  const certificate = sequence(body, algorithm, tlv(0x03, Buffer.concat([Buffer.from([0]), signature])));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    certificate: pem(certificate),
  };
}

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from(head), value]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, ...parts);
}

function set(...parts: readonly Buffer[]): Buffer {
  return tlv(0x31, ...parts);
}

function oid(encoded: readonly number[]): Buffer {
  return tlv(0x06, Buffer.from(encoded));
}

/** UTCTime up to 2049, GeneralizedTime from 2050 on (RFC 5280 §4.1.2.5). */
function time(date: Date): Buffer {
  const digits = `${date.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`;
  return date.getUTCFullYear() < 2050
    ? tlv(0x17, Buffer.from(digits.slice(2), 'ascii'))
    : tlv(0x18, Buffer.from(digits, 'ascii'));
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

/** 1.2.840.10045.4.3.2, 2.5.4.3 and 2.5.29.14, encoded. */
const ECDSA_WITH_SHA256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const COMMON_NAME = [0x55, 0x04, 0x03];
const SUBJECT_KEY_IDENTIFIER = [0x55, 0x1d, 0x0e];
