/** Notices, each code at most once in a while; how many were kept back is told with the next. */
import { SystemError } from './system-error.ts';

const NOTICE_MS = 10_000;

export class RareNotices {
  /** Codes are a fixed few, so the table needs no bound. */
  readonly #told = new Map<string, { readonly atMs: number; kept: number }>();
  readonly #notice: (code: string, text: string) => void;

  constructor(notice: (code: string, text: string) => void) {
    this.#notice = notice;
  }

  tell(code: string, what: unknown): void {
    const now = performance.now();
    const told = this.#told.get(code) ?? { atMs: -NOTICE_MS, kept: 0 };
    if (now - told.atMs < NOTICE_MS) {
      told.kept++;
      return;
    }
    this.#told.set(code, { atMs: now, kept: 0 });
    this.#notice(code, `${describe(what)}${told.kept === 0 ? '' : ` (and ${told.kept} more)`}`);
  }
}

export function describe(error: unknown): string {
  if (error instanceof SystemError) return `${error.message} (${error.hint})`;
  return error instanceof Error ? error.message : String(error);
}
