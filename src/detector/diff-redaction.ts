/**
 * Hides people in a report: users, display names, telephone numbers, credentials, keys and texts. What is hidden is
 * collected from the messages themselves, so that it is hidden also where a piece of it stands alone. Addresses and hosts
 * stay: they are what the report is about.
 */
import type { DiffReport } from '../core/detect/diff-report.ts';
import { redactText } from '../observe/redaction.ts';

const USER = /\b(?:sips?|tel):([^@\s<>";?]+)(?:;[^@\s<>"]*)?@/gi;
const TELEPHONE = /\btel:([^\s;<>"]+)/gi;
const QUOTED_NAME = /"((?:[^"\\]|\\.)+)"\s*<(?:sips?|tel):/gi;
const PLAIN_NAME =
  /^(?:from|f|to|t|contact|m|p-asserted-identity|remote-party-id|diversion)[ \t]*:[ \t]*([^<"\r\n:]+?)[ \t]*</gim;
const CREDENTIAL =
  /\b(?:username|response|cnonce|nonce|opaque|realm|nextnonce|rspauth|auts)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^\s,;"]+))/gi;
const KEY = /\binline:([^\s|]+)|\ba=ice-pwd:(\S+)|\ba=fingerprint:\S+ (\S+)/gi;
/** Text that people have written, and what their phones say about them. */
const TEXT_BODY = /^(?:content-type|c)[ \t]*:[ \t]*(?!application\/sdp|multipart\/)/im;

/** Shorter ones would hide half of every line; where they stand in a URI they are hidden all the same. */
const SHORTEST = 3;
const MAX_SECRETS = 5_000;

export function redactor(report: DiffReport): (text: string) => string {
  const secrets = new Set<string>();
  for (const { sent, received } of report.evidence)
    for (const bytes of [sent, received]) collect(Buffer.from(bytes).toString('latin1'), secrets);
  for (const { seen } of report.unpaired) collect(Buffer.from(seen.bytes).toString('latin1'), secrets);
  const longestFirst = [...secrets]
    .filter((one) => one.length >= SHORTEST)
    .sort((a, b) => b.length - a.length);
  const pattern =
    longestFirst.length === 0
      ? undefined
      : new RegExp(longestFirst.slice(0, MAX_SECRETS).map(escaped).join('|'), 'gi');
  return (text) => {
    const known = pattern === undefined ? text : text.replace(pattern, '…');
    return redactText(known);
  };
}

function collect(message: string, secrets: Set<string>): void {
  for (const pattern of [USER, TELEPHONE, QUOTED_NAME, PLAIN_NAME, CREDENTIAL, KEY])
    for (const [, ...groups] of message.matchAll(pattern))
      for (const one of groups) if (one !== undefined && secrets.size < MAX_SECRETS) secrets.add(one);
  const end = message.indexOf('\r\n\r\n');
  if (end < 0 || !TEXT_BODY.test(message.slice(0, end))) return;
  // A line of a text, also where a report quotes only a piece of it.
  for (const line of message.slice(end + 4).split(/\r?\n/)) {
    if (secrets.size >= MAX_SECRETS) return;
    const words = line.trim();
    if (words.length >= SHORTEST) secrets.add(words);
    for (const word of words.split(/\s+/))
      if (word.length >= SHORTEST && !/^\d{1,3}(?:\.\d{1,3}){3}/.test(word)) secrets.add(word);
  }
}

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
