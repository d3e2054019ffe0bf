/** The catalogue: how each router's own SIP ALG is switched off and back, and which advice is wrong. */
import { useState } from 'preact/hooks';
import { ask } from './api.ts';
import { Badge, Card, Empty, Failure, Heading, Link, type Tone, useLoaded } from './parts.tsx';

interface PageStep {
  readonly text: string;
  readonly code?: string;
  readonly see?: string;
}

type Block =
  | { readonly kind: 'heading'; readonly level: 2 | 3; readonly text: string }
  | { readonly kind: 'text'; readonly text: string; readonly warning?: boolean }
  | { readonly kind: 'list'; readonly items: readonly string[] }
  | { readonly kind: 'steps'; readonly title: string; readonly items: readonly PageStep[] };

interface Entry {
  readonly id: string;
  readonly vendor: string;
  readonly names: readonly string[];
  readonly models: readonly string[];
  readonly canSwitchOff: 'yes' | 'no' | 'absent' | 'locked' | 'unknown';
  readonly status: string;
  readonly verdict: string | null;
  readonly blocks: readonly Block[];
}

let loaded: Promise<readonly Entry[]> | undefined;

function catalogue(): Promise<readonly Entry[]> {
  loaded ??= ask<readonly Entry[]>('GET', '/routers').catch((error: unknown) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

const canWords: Readonly<Record<Entry['canSwitchOff'], readonly [Tone, string]>> = {
  yes: ['good', 'can be switched off'],
  no: ['bad', 'no switch'],
  absent: ['good', 'has no ALG'],
  locked: ['warn', 'may be locked'],
  unknown: ['plain', 'not known'],
};

/** Letters and digits only, so that "fritz box" finds FRITZ!Box. */
function plain(text: string): string {
  return text
    .normalize('NFKD')
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}]/gu, '');
}

/** What it is called besides its vendor. */
function nameOf({ vendor, names, models }: Entry): string {
  const name = names.find((one) => plain(one) !== plain(vendor)) ?? models[0] ?? '';
  return name.toLowerCase().startsWith(`${vendor.toLowerCase()} `) ? name.slice(vendor.length + 1) : name;
}

/** `code` in backquotes, as recipes write it. */
function Words({ text }: { readonly text: string }) {
  return <>{text.split('`').map((part, i) => (i % 2 === 1 ? <code key={i}>{part}</code> : part))}</>;
}

export function RoutersPage() {
  const { value, error } = useLoaded(catalogue, 'routers');
  const [query, setQuery] = useState('');
  const words = query.split(/\s+/).map(plain).filter(Boolean);
  const found = (value ?? []).filter(({ id, vendor, names, models }) => {
    const all = [id, vendor, ...names, ...models].map(plain);
    return (
      words.every((word) => all.some((name) => name.includes(word))) ||
      all.some((name) => name.includes(plain(query)))
    );
  });
  return (
    <>
      <Heading note="How each router’s own SIP ALG is found, switched off, and switched back; and which advice that is passed around is wrong.">
        Routers
      </Heading>
      <Failure error={error} />
      <div class="search">
        <label for="search">Vendor or model</label>
        <input
          id="search"
          type="search"
          value={query}
          placeholder="fritzbox, hg633, mikrotik…"
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
        <p class="muted small" role="status">
          {value === undefined ? '' : `${found.length} of ${value.length}`}
        </p>
      </div>
      <Card>
        {value !== undefined && found.length === 0 ? (
          <Empty>
            It is not in the catalogue. <Link to="/check">The check</Link> tells whether it alters SIP, and
            what gets through.
          </Empty>
        ) : (
          <ul class="rows">
            {found.map((entry) => (
              <li key={entry.id}>
                <Link to={`/routers/${encodeURIComponent(entry.id)}`} class="router-row">
                  <span>
                    <strong>{entry.vendor}</strong> {nameOf(entry)}
                    <span class="muted small models">{entry.models.slice(0, 4).join(', ')}</span>
                  </span>
                  <Badge tone={canWords[entry.canSwitchOff][0]}>{canWords[entry.canSwitchOff][1]}</Badge>
                </Link>
              </li>
            ))}
          </ul>
        )}
      </Card>
    </>
  );
}

export function RouterPage({ id }: { readonly id: string }) {
  const { value, error } = useLoaded(catalogue, 'routers');
  const entry = value?.find((one) => one.id === id);
  return (
    <>
      <p class="back">
        <Link to="/routers">← All routers</Link>
      </p>
      <Heading>{entry === undefined ? id : `${entry.vendor} ${nameOf(entry)}`}</Heading>
      <Failure error={error} />
      {value !== undefined && entry === undefined ? <Empty>There is no such recipe.</Empty> : null}
      {entry === undefined ? null : (
        <>
          <p class="line">
            <Badge tone={canWords[entry.canSwitchOff][0]}>{canWords[entry.canSwitchOff][1]}</Badge>
            {entry.verdict === null || entry.verdict === 'holds' ? null : (
              <Badge tone="warn">the usual advice is {entry.verdict}</Badge>
            )}
          </p>
          {sectionsOf(entry.blocks).map(({ title, blocks }, i) => (
            <Card key={title ?? i} {...(title === undefined ? {} : { title })} class="recipe">
              {blocks.map((block, k) => (
                <BlockView key={k} block={block} />
              ))}
            </Card>
          ))}
          <p class="muted small">
            On the command line: <code>sipalg router show {entry.id}</code>
          </p>
        </>
      )}
    </>
  );
}

function sectionsOf(
  blocks: readonly Block[],
): { readonly title: string | undefined; readonly blocks: Block[] }[] {
  const sections: { title: string | undefined; blocks: Block[] }[] = [{ title: undefined, blocks: [] }];
  for (const block of blocks)
    if (block.kind === 'heading' && block.level === 2) sections.push({ title: block.text, blocks: [] });
    else sections.at(-1)!.blocks.push(block);
  return sections.filter((section) => section.blocks.length > 0);
}

function BlockView({ block }: { readonly block: Block }) {
  switch (block.kind) {
    case 'heading':
      return <h3>{block.text}</h3>;
    case 'text':
      return (
        <p class={block.warning === true ? 'failure' : ''}>
          <Words text={block.text} />
        </p>
      );
    case 'list':
      return (
        <ul>
          {block.items.map((item) => (
            <li key={item}>
              <Words text={item} />
            </li>
          ))}
        </ul>
      );
    case 'steps':
      return (
        <>
          <h3>{block.title}</h3>
          <ol class="recipe-steps">
            {block.items.map((step, i) => (
              <li key={i}>
                <Words text={step.text} />
                {step.code === undefined ? null : <pre>{step.code}</pre>}
                {step.see === undefined ? null : (
                  <p class="muted small">
                    You should see: <Words text={step.see} />
                  </p>
                )}
              </li>
            ))}
          </ol>
        </>
      );
  }
}
