/** Icons, drawn for this page. They are decoration: the text beside them says what they mean. */
const paths = {
  overview: 'M4 13h6V4H4zM14 20h6v-9h-6zM4 20h6v-3H4zM14 7h6V4h-6z',
  phones: 'M7 3h10v18H7zM10.500 18h3',
  calls: 'M4 7h13m0 0-3-3m3 3-3 3M20 17H7m0 0 3-3m-3 3 3 3',
  check: 'M12 3l8 3v6c0 5-3.500 8-8 9-4.500-1-8-4-8-9V6zM8.500 12l2.500 2.500 4.500-5',
  routers:
    'M3 13h18v7H3zM7 16.500h.01M11 16.500h.01M12 13V9M8.500 7.500a5 5 0 0 1 7 0M6 5a8.500 8.500 0 0 1 12 0',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5',
} as const;

export function Icon({ name }: { readonly name: keyof typeof paths }) {
  return (
    <svg viewBox="0 0 24 24" class="icon" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}

export function Logo() {
  return (
    <svg viewBox="0 0 32 32" class="logo" aria-hidden="true">
      <rect width="32" height="32" rx="8" />
      <path d="M7 12h11m0 0-3.500-3.500M18 12l-3.500 3.500M25 20H14m0 0 3.500-3.500M14 20l3.500 3.500" />
    </svg>
  );
}
