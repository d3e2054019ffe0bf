/** The API as the page asks it: with the token, and with errors as people read them. */
import { signal } from '@preact/signals';

const TOKEN_KEY = 'sipalg-token';
/** A reflector that the address of the page names: the demonstration has one. */
const REFLECTOR_KEY = 'sipalg-reflector';

/** Undefined: nobody has given one yet, or it was wrong. */
export const token = signal<string | undefined>(undefined);

export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly remedy: string;

  constructor(status: number, code: string, what: string, remedy: string) {
    super(what);
    this.status = status;
    this.code = code;
    this.remedy = remedy;
  }
}

/** Takes the token out of the address of the page, where it would stay in the history. */
export function readToken(): void {
  const given = new URLSearchParams(location.hash.slice(1));
  const fresh = given.get('token');
  const reflector = given.get('reflector');
  if (fresh !== null) localStorage.setItem(TOKEN_KEY, fresh);
  if (reflector !== null) localStorage.setItem(REFLECTOR_KEY, reflector);
  if (location.hash !== '') history.replaceState(null, '', location.pathname + location.search);
  token.value = localStorage.getItem(TOKEN_KEY) ?? undefined;
}

export function giveToken(text: string): void {
  const found = /token=([\w-]+)/.exec(text)?.[1] ?? text.trim();
  localStorage.setItem(TOKEN_KEY, found);
  token.value = found;
}

export function knownReflector(): string {
  return localStorage.getItem(REFLECTOR_KEY) ?? '';
}

export function keepReflector(reflector: string): void {
  localStorage.setItem(REFLECTOR_KEY, reflector);
}

export function headers(): Record<string, string> {
  return { authorization: `Bearer ${token.value ?? ''}` };
}

export async function ask<T>(method: string, path: string, body?: object): Promise<T> {
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, {
      method,
      headers: { ...headers(), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new ApiError(
      0,
      'gone',
      'The gateway does not answer.',
      'Is it running? The page goes on by itself when it is back.',
    );
  }
  const answer: unknown = await response.json().catch(() => undefined);
  if (response.ok) return answer as T;
  const { error } = (answer ?? {}) as {
    readonly error?: { readonly code: string; readonly what: string; readonly remedy: string };
  };
  if (response.status === 401) token.value = undefined;
  throw new ApiError(
    response.status,
    error?.code ?? 'unknown',
    sentence(error?.what ?? `The gateway answered ${response.status}.`),
    sentence(error?.remedy ?? ''),
  );
}

function sentence(text: string): string {
  if (text === '') return text;
  const capital = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(capital) ? capital : `${capital}.`;
}

/** Saves what a path answers as a file. */
export async function download(path: string, name: string): Promise<void> {
  const response = await fetch(`/api/v1${path}`, { headers: headers() });
  if (!response.ok)
    throw new ApiError(
      response.status,
      'download',
      'The file could not be made.',
      'Try it again in a moment.',
    );
  const address = URL.createObjectURL(await response.blob());
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
