/** What the kernel refused, with the way to mend it. The code is stable: it stands in logs and in the reference. */

/** `linux/` and the name of the error, as `linux/EADDRINUSE` or `linux/nft`. */
export type SystemErrorCode = `linux/${string}`;

export class SystemError extends Error {
  readonly code: SystemErrorCode;
  readonly errno: number;
  readonly hint: string;

  constructor(code: SystemErrorCode, message: string, hint: string, errno = 0) {
    super(message);
    this.name = 'SystemError';
    this.code = code;
    this.errno = errno;
    this.hint = hint;
  }
}

/** Numbers of Linux on x86, ARM and RISC-V (asm-generic); MIPS differs and is refused by `sys.ts`. */
export const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  EINTR: 4,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EACCES: 13,
  EBUSY: 16,
  EEXIST: 17,
  ENODEV: 19,
  EINVAL: 22,
  EMFILE: 24,
  ENOSPC: 28,
  EMSGSIZE: 90,
  ENOPROTOOPT: 92,
  EPROTONOSUPPORT: 93,
  EOPNOTSUPP: 95,
  EAFNOSUPPORT: 97,
  EADDRINUSE: 98,
  EADDRNOTAVAIL: 99,
  ENETUNREACH: 101,
  ENOBUFS: 105,
  ECONNREFUSED: 111,
  EHOSTUNREACH: 113,
} as const;

export type ErrnoName = keyof typeof ERRNO;

const HINTS: { readonly [name in ErrnoName]?: string } = {
  EPERM: 'run as root, or with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE',
  EACCES: 'run as root, or with CAP_NET_ADMIN and CAP_NET_BIND_SERVICE',
  EADDRINUSE: 'another program holds this address and port; `ss -ulpn` names it',
  EADDRNOTAVAIL: 'the address is not (or no longer) on an interface of this machine',
  EMFILE: 'raise the limit of open files (LimitNOFILE= of the service, or `ulimit -n`)',
  EOPNOTSUPP: 'the kernel lacks this netfilter feature; a newer kernel or its module is needed',
  ENOPROTOOPT: 'the kernel lacks this socket option; a newer kernel is needed',
  EPROTONOSUPPORT: 'the kernel lacks nfnetlink; load the module nfnetlink or nf_tables',
  ENOENT: 'the nftables table or set of sipalg is gone; something flushed the ruleset',
  ENOSPC: 'a set of sipalg is full; raise its size',
  ENETUNREACH: 'there is no route to that address',
};

const NAMES = new Map<number, ErrnoName>(
  (Object.keys(ERRNO) as ErrnoName[]).map((name) => [ERRNO[name], name]),
);

export function errnoName(errno: number): string {
  return NAMES.get(errno) ?? `errno-${errno}`;
}

/** The error of a system call that failed with `errno` (positive). */
export function systemError(call: string, errno: number, subject = ''): SystemError {
  const name = errnoName(errno);
  const known = NAMES.get(errno);
  const hint = (known !== undefined ? HINTS[known] : undefined) ?? 'see errno(3)';
  return new SystemError(
    `linux/${name}`,
    `${call}${subject === '' ? '' : ` ${subject}`}: ${name}`,
    hint,
    errno,
  );
}
