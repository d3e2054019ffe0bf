/** docs/explanation/kernel-alg-compared.md, written from one run of the kernel's helper over the scenarios. */
import type { Course, Deviation, Fate } from './compare.ts';
import { betterClaims, type Claim, isOrigin, rightClaims, wrongClaims } from './kernel-claims.ts';
import type { Compared, KernelRun } from './kernel-run.ts';
import { DIFFERENT } from './playable.ts';

type Verdict = 'same' | 'o= too' | 'media' | 'different' | 'lost';

const VERDICTS: readonly (readonly [Verdict, string])[] = [
  ['same', 'every message as sipalg writes it; ports may be others'],
  ['o= too', 'the same, and the address in `o=` as well, which hinders nobody'],
  ['media', 'the messages are the same, the media is not'],
  ['different', 'a message arrives that is not what it has to be'],
  ['lost', 'a message does not arrive'],
];

/** The line that tells on which machine it was; the only one that another kernel may change. */
export const KERNEL_LINE = /^Kernel: .*$/m;

export function kernelPage({ kernel, settings, compared }: KernelRun): string {
  const cases = compared.map((one) => ({ ...one, verdict: verdictOf(one.course) }));
  const chapters = [...new Set(cases.map((one) => one.chapter))];
  const count = (list: readonly { readonly verdict: Verdict }[], verdict: Verdict): number =>
    list.filter((one) => one.verdict === verdict).length;
  const numbers = [...chapters, undefined].map((chapter) => {
    const list = cases.filter((one) => chapter === undefined || one.chapter === chapter);
    const cells = VERDICTS.map(([verdict]) => count(list, verdict) || '');
    return `| ${chapter ?? '**all**'} | ${[list.length, ...cells].join(' | ')} |`;
  });
  return `<!-- Generated from the scenarios and a run of the kernel by \`node scripts/kernel-alg.ts\`. Do not edit. -->
# The kernel’s SIP helper, compared

Linux has a SIP ALG of its own: \`nf_conntrack_sip\` reads, \`nf_nat_sip\` rewrites. This page is what a run of it over the
scenarios of this project gave, message by message, and says for each what sipalg does.

Kernel: Linux ${kernel}

The router of the run has masquerade, a firewall that drops what nobody inside has asked for, and the helper attached by
nftables (\`ct helper … type "sip" protocol udp\`), with the settings that the kernel has by itself:
${settings.map((one) => `\`${one}\``).join(', ')}. No sipalg is near it. Phones and provider are UDP sockets around it,
which send the very octets of the scenarios; what arrives is compared octet by octet. The tests play the same scenarios on the
same network with sipalg in the place of the helper, and without the firewall, so that it is sipalg that keeps strangers
out${exceptions(cases)}.

What to bear in mind:

- A scenario says what sipalg is to do. Different is not always wrong: the sections below say which is which.
- Ports are compared as names: which port a router chooses is its own affair.
- A message that answers one which did not arrive, or that goes to a port which nobody has named to its sender, is not sent. So a
  scenario may end early here.
- Scenarios with options of the gateway, in the explicit mode, over IPv6, or after a long time have no place here.
- The helper was tried over UDP only.

## In numbers

| chapter | scenarios | ${VERDICTS.map(([verdict]) => verdict).join(' | ')} |
|---|${'---|'.repeat(VERDICTS.length + 1)}
${numbers.join('\n')}

${VERDICTS.map(([verdict, meaning]) => `- **${verdict}**: ${meaning}.`).join('\n')}

## Where the helper is right

${claims(rightClaims, compared)}

## Where it does more, or as much in another way

${claims(betterClaims, compared)}

It also rewrites the address in \`o=\` in ${origins(cases)} scenarios. That is allowed and needless (RFC 8866 §5.2); sipalg does it when
asked to (\`origin = "translate"\`).

## Where it goes wrong

${claims(wrongClaims, compared)}

## Scenario by scenario

“Changes” is what the helper rewrites and sipalg leaves, “leaves” what sipalg rewrites and the helper does not, and
“otherwise” what both rewrite, each in its way. The octets are in the next section.
${chapters.map((chapter) => table(chapter, cases)).join('')}
## Octet by octet

Scenarios with the same difference stand together. \`o=\` is left out, and so are lengths that are right on both sides.
${differences(cases)}`;
}

function claims(list: readonly Claim[], compared: readonly Compared[]): string {
  return list
    .map(({ text, title, holds }) => {
      const one = compared.find((candidate) => candidate.title === title);
      if (one === undefined) throw new Error(`there is no scenario “${title}” any more`);
      if (!holds(one.course)) throw new Error(`the run does not show this: ${text}`);
      return `- ${text} (*${title}*)`;
    })
    .join('\n');
}

function verdictOf({ fates, media }: Course): Verdict {
  if (fates.some((one) => one.fate === 'dropped')) return 'lost';
  if (fates.some((one) => one.fate === 'delivered' || real(one).length > 0)) return 'different';
  if (media.some((one) => one.sipalg !== one.other)) return 'media';
  return fates.some((one) => one.deviations.length > 0) ? 'o= too' : 'same';
}

function real(fate: Fate): Deviation[] {
  return fate.deviations.filter((one) => !isOrigin(one));
}

/** What sipalg itself does not do on sockets is said. */
function exceptions(cases: readonly Compared[]): string {
  const list = cases.filter(({ path }) => DIFFERENT.has(path));
  if (list.length === 0) return '; it does in each what the scenario says';
  return `; it does what they say in all but ${list.length === 1 ? 'one' : list.length}, marked in the table`;
}

function origins(cases: readonly Compared[]): number {
  return cases.filter(({ course }) => course.fates.some((one) => one.deviations.some(isOrigin))).length;
}

function table(chapter: string, cases: readonly (Compared & { readonly verdict: Verdict })[]): string {
  const rows = cases
    .filter((one) => one.chapter === chapter)
    .map(
      ({ path, title, course, verdict }) =>
        `| ${cell(title)} | ${cell(helper(course, verdict))} | ${cell(ours(course, path))} |`,
    );
  return `
### ${chapter}

| scenario | the kernel’s helper | sipalg |
|---|---|---|
${rows.join('\n')}
`;
}

/** What the helper does, as far as it is not what sipalg does. */
function helper(course: Course, verdict: Verdict): string {
  if (verdict === 'same') return 'the same';
  const said: string[] = [];
  for (const what of new Set(course.fates.filter((one) => one.fate === 'dropped').map((one) => one.what)))
    said.push(`**the ${what} does not arrive**`);
  for (const one of course.fates) if (one.fate === 'delivered') said.push(`delivers ${one.what}`);
  const all = course.fates.flatMap(real);
  const verbs: readonly (readonly [string, (one: Deviation) => boolean])[] = [
    ['changes', (one) => one.sent !== '' && one.sipalg === one.sent],
    ['leaves', (one) => one.sent !== '' && one.sipalg !== one.sent && one.other === one.sent],
    ['otherwise:', (one) => one.sent !== '' && one.sipalg !== one.sent && one.other !== one.sent],
  ];
  for (const [verb, fits] of verbs) {
    const fields = [...new Set(all.filter(fits).map((one) => fieldOf(one.sipalg)))];
    if (fields.length > 0) said.push(`${verb} ${fields.join(', ')}`);
  }
  if (all.some((one) => one.sent === '')) said.push('another port');
  said.push(...mediaTexts(course));
  const origin = course.fates.some((one) => one.deviations.some(isOrigin));
  if (said.length === 0) return 'the same, and `o=`';
  return `${said.join('; ')}${origin && all.length === 0 ? '; otherwise the same, and `o=`' : ''}`;
}

/** RTP and RTCP together where both have the same fate. */
function mediaTexts({ media }: Course): string[] {
  const texts = new Set(
    media.filter((one) => one.sipalg !== one.other).map(({ what, other }) => `${what} ${other}`),
  );
  for (const text of [...texts]) {
    if (!text.startsWith('RTP ') || !texts.delete(text.replace('RTP', 'RTCP'))) continue;
    texts.delete(text);
    texts.add(text.replace('RTP', 'RTP and RTCP').replace(/ is lost$/, ' are lost'));
  }
  return [...texts];
}

function ours({ fates }: Course, path: string): string {
  const different = DIFFERENT.get(path);
  if (different !== undefined) return `**not yet on sockets**: ${different.why}`;
  const fields = [...new Set(fates.flatMap((one) => one.changed).map(fieldOf))];
  return fields.length === 0 ? 'changes nothing' : fields.join(', ');
}

const LONG: ReadonlyMap<string, string> = new Map([
  ['v', 'Via'],
  ['m', 'Contact'],
  ['l', 'Content-Length'],
  ['f', 'From'],
  ['t', 'To'],
  ['i', 'Call-ID'],
  ['r', 'Refer-To'],
]);

function fieldOf(line: string): string {
  if (/^[A-Z%a-z]+ \S.* SIP\//.test(line)) return 'Request-URI';
  const attribute = /^a=([\w-]+)/.exec(line)?.[1];
  if (attribute !== undefined) return `\`a=${attribute}\``;
  const sdp = /^([a-z])=/.exec(line)?.[1];
  if (sdp !== undefined) return `\`${sdp}=\``;
  const name = /^([\w-]+)\s*:/.exec(line)?.[1];
  if (name === undefined) return 'a folded line';
  const known = [...LONG.values()].find((one) => one.toLowerCase() === name.toLowerCase());
  return known ?? LONG.get(name.toLowerCase()) ?? name;
}

function differences(cases: readonly Compared[]): string {
  const groups = new Map<string, string[]>();
  for (const { title, course } of cases)
    for (const fate of course.fates) {
      const lines = real(fate);
      if (lines.length === 0) continue;
      const text = lines.map(difference).join('\n');
      const titles = groups.get(text) ?? [];
      groups.set(text, titles);
      const entry = `${title} (${fate.what}, from the ${fate.outward ? 'phone' : 'provider'})`;
      if (!titles.includes(entry)) titles.push(entry);
    }
  return [...groups]
    .map(
      ([text, titles]) =>
        `\n${titles.map((title) => `- ${title}`).join('\n')}\n\n\`\`\`text\n${text}\n\`\`\`\n`,
    )
    .join('');
}

function difference({ sent, sipalg, other }: Deviation): string {
  const rows: [string, string][] =
    sent === ''
      ? [['sipalg', sipalg]]
      : sent === sipalg
        ? [['sent, sipalg', sipalg]]
        : sent === other
          ? [
              ['sent, kernel', sent],
              ['sipalg', sipalg],
            ]
          : [
              ['sent', sent],
              ['sipalg', sipalg],
            ];
  if (sent !== other) rows.push(['kernel', other]);
  return rows.map(([who, line]) => `${who.padEnd(13)} ${shown(line)}`).join('\n');
}

function shown(line: string): string {
  const text = line.replace(/\r\n$/, '');
  return text.replace(/[\x00-\x1f\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}
