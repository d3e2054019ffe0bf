/** Where in the page somebody is: the path of the address. */
import { signal } from '@preact/signals';

export const path = signal(location.pathname);

export function go(to: string): void {
  if (to === path.value) return;
  history.pushState(null, '', to);
  path.value = to;
  scrollTo(0, 0);
  // A screen reader is told where it is now.
  requestAnimationFrame(() => document.querySelector<HTMLElement>('h1')?.focus({ preventScroll: true }));
}

addEventListener('popstate', () => {
  path.value = location.pathname;
});

/** The rest of the path behind `/calls/`, decoded. */
export function below(prefix: string): string | undefined {
  if (!path.value.startsWith(`${prefix}/`)) return undefined;
  try {
    return decodeURIComponent(path.value.slice(prefix.length + 1));
  } catch {
    return undefined;
  }
}
