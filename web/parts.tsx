/** What every page is made of. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';
import { go } from './route.ts';

export function Link({
  to,
  children,
  class: name,
  current,
}: {
  readonly to: string;
  readonly children: ComponentChildren;
  readonly class?: string;
  readonly current?: boolean;
}) {
  return (
    <a
      href={to}
      class={name}
      aria-current={current === true ? 'page' : undefined}
      onClick={(event) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey) return;
        event.preventDefault();
        go(to);
      }}
    >
      {children}
    </a>
  );
}

/** The heading takes the focus when the page changes, so that it is read out. */
export function Heading({
  children,
  note,
}: {
  readonly children: ComponentChildren;
  readonly note?: ComponentChildren;
}) {
  const place = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${place.current?.textContent ?? ''} – sipalg`;
  });
  return (
    <header class="heading">
      <h1 tabIndex={-1} ref={place}>
        {children}
      </h1>
      {note === undefined ? null : <p class="muted">{note}</p>}
    </header>
  );
}

export function Card({
  title,
  children,
  aside,
  class: name = '',
}: {
  readonly title?: string;
  readonly children: ComponentChildren;
  readonly aside?: ComponentChildren;
  readonly class?: string;
}) {
  return (
    <section class={`card ${name}`}>
      {title === undefined ? null : (
        <div class="card-title">
          <h2>{title}</h2>
          {aside}
        </div>
      )}
      {children}
    </section>
  );
}

export type Tone = 'good' | 'warn' | 'bad' | 'plain' | 'accent';

export function Badge({
  tone = 'plain',
  children,
}: {
  readonly tone?: Tone;
  readonly children: ComponentChildren;
}) {
  return <span class={`badge ${tone}`}>{children}</span>;
}

export function Empty({ children }: { readonly children: ComponentChildren }) {
  return <p class="empty">{children}</p>;
}

export function Failure({ error }: { readonly error: unknown }) {
  if (error === undefined) return null;
  const remedy = error instanceof ApiError ? error.remedy : '';
  return (
    <p class="failure" role="alert">
      <strong>{error instanceof Error ? error.message : String(error)}</strong> {remedy}
    </p>
  );
}

export type Mode = 'auto' | 'observe' | 'assist' | 'off';

export const modeWords: Readonly<Record<Mode, string>> = {
  auto: 'Automatic',
  observe: 'Observe',
  assist: 'Assist',
  off: 'Off',
};

export const modeHelp: Readonly<Record<Mode, string>> = {
  auto: 'translated, unless there is solid evidence that phone or provider handles NAT by itself',
  observe: 'not a byte changes; the gateway only keeps the way in open',
  assist: 'always translated',
  off: 'never intercepted: plain NAT',
};

export function ModeSelect({
  label,
  value,
  change,
}: {
  readonly label: string;
  readonly value: Mode;
  readonly change: (mode: Mode) => Promise<void>;
}) {
  const [busy, setBusy] = useState(false);
  return (
    <select
      class={`mode ${value}`}
      aria-label={label}
      disabled={busy}
      value={value}
      onChange={(event) => {
        setBusy(true);
        void change(event.currentTarget.value as Mode).finally(() => setBusy(false));
      }}
    >
      {(Object.keys(modeWords) as Mode[]).map((mode) => (
        <option key={mode} value={mode}>
          {modeWords[mode]}
        </option>
      ))}
    </select>
  );
}

export interface Loaded<T> {
  readonly value: T | undefined;
  readonly error: unknown;
  readonly reload: () => void;
  readonly set: (value: T) => void;
}

/** Loads when the page opens, when `key` changes, and every `everyMs`. */
export function useLoaded<T>(load: () => Promise<T>, key: unknown, everyMs?: number): Loaded<T> {
  const [value, set] = useState<T | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    let live = true;
    const run = (): void => {
      load().then(
        (loaded) => {
          if (!live) return;
          set(loaded);
          setError(undefined);
        },
        (problem: unknown) => {
          if (live) setError(problem);
        },
      );
    };
    run();
    const timer = everyMs === undefined ? undefined : setInterval(run, everyMs);
    return () => {
      live = false;
      clearInterval(timer);
    };
  }, [key, turn]);
  return { value, error, reload: () => setTurn((n) => n + 1), set };
}
