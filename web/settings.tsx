/** Every setting: what is in force, where it comes from, and how it is changed in the file. */
import { useState } from 'preact/hooks';
import type { Setting } from '../src/config/settings.ts';
import { ask } from './api.ts';
import { Badge, Card, Failure, Heading, type Loaded, useLoaded } from './parts.tsx';

interface Answer {
  readonly file: string;
  readonly settings: readonly Setting[];
}

const titles: Readonly<Record<string, string>> = {
  '': 'Where it works',
  signalling: 'Signalling',
  media: 'Media',
  policy: 'Policy',
  limits: 'Limits',
  log: 'Log',
  observe: 'What is kept to look at',
  console: 'This console',
  linux: 'Linux',
};

export function SettingsPage() {
  const settings = useLoaded(() => ask<Answer>('GET', '/settings'), 'settings');
  const [query, setQuery] = useState('');
  const [changed, setChanged] = useState(false);
  const { value } = settings;
  const shown = (value?.settings ?? []).filter(
    ({ key, summary, from }) =>
      (!changed || from !== 'default') &&
      `${key} ${summary}`.toLowerCase().includes(query.trim().toLowerCase()),
  );
  const tables = [...new Set(shown.map(tableOf))];
  return (
    <>
      <Heading
        note={
          value === undefined ? undefined : (
            <>
              Changes are checked, written to <code>{value.file}</code> with its comments kept, and followed
              at once.
            </>
          )
        }
      >
        Settings
      </Heading>
      <Failure error={settings.error} />
      <div class="search">
        <label for="search">Find</label>
        <input
          id="search"
          type="search"
          value={query}
          onInput={(event) => setQuery(event.currentTarget.value)}
        />
        <label class="tick">
          <input
            type="checkbox"
            checked={changed}
            onChange={(event) => setChanged(event.currentTarget.checked)}
          />
          Only what differs from the defaults
        </label>
      </div>
      {tables.map((table) => (
        <Card key={table} title={titles[table] ?? table}>
          <ul class="settings">
            {shown
              .filter((setting) => tableOf(setting) === table)
              .map((setting) => (
                <SettingRow key={setting.key} setting={setting} settings={settings} />
              ))}
          </ul>
        </Card>
      ))}
    </>
  );
}

function tableOf({ key }: Setting): string {
  return key.includes('.') ? key.slice(0, key.indexOf('.')) : '';
}

function SettingRow({ setting, settings }: { readonly setting: Setting; readonly settings: Loaded<Answer> }) {
  const [draft, setDraft] = useState<string | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const id = `setting-${setting.key}`;
  const text = textOf(setting.value);
  const fixed = setting.from === 'command line';
  const save = async (): Promise<void> => {
    try {
      settings.set(
        await ask<Answer>('PUT', `/settings/${encodeURIComponent(setting.key)}`, {
          value: typedValue(draft ?? text, setting),
        }),
      );
      setDraft(undefined);
      setError(undefined);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <li>
      <div class="about">
        <label for={id}>
          <code>{setting.key}</code>
        </label>{' '}
        <Source setting={setting} />
        <p class="muted small">
          {setting.summary}
          {setting.unit === undefined ? '' : ` (${setting.unit})`}
          {setting.needsRestart ? ' Followed with the next start.' : ''}
        </p>
      </div>
      <form
        class="value"
        onSubmit={(event) => {
          event.preventDefault();
          void save();
        }}
      >
        {setting.words !== undefined || typeof setting.fallback === 'boolean' ? (
          <select
            id={id}
            value={draft ?? text}
            disabled={fixed}
            onChange={(event) => setDraft(event.currentTarget.value)}
          >
            {(setting.words ?? ['true', 'false']).map((word) => (
              <option key={word}>{word}</option>
            ))}
          </select>
        ) : (
          <input
            id={id}
            value={draft ?? text}
            disabled={fixed}
            spellcheck={false}
            inputMode={typeof setting.fallback === 'number' ? 'numeric' : 'text'}
            onInput={(event) => setDraft(event.currentTarget.value)}
          />
        )}
        {draft === undefined || draft === text ? null : (
          <span class="row">
            <button type="submit" class="primary">
              Save
            </button>
            <button
              type="button"
              class="quiet"
              onClick={() => {
                setDraft(undefined);
                setError(undefined);
              }}
            >
              Back
            </button>
          </span>
        )}
        <Failure error={error} />
      </form>
    </li>
  );
}

function Source({ setting: { from, line, option } }: { readonly setting: Setting }) {
  if (from === 'default') return <Badge>default</Badge>;
  if (from === 'file') return <Badge tone="accent">file{line === undefined ? '' : `, line ${line}`}</Badge>;
  return <Badge tone="warn">command line{option === undefined ? '' : ` ${option.split(' ')[0]}`}</Badge>;
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return value.join(', ');
  return value === null || value === undefined ? '' : String(value);
}

/** As it would stand in the file: of the type that the setting has. */
function typedValue(text: string, { fallback }: Setting): unknown {
  if (Array.isArray(fallback)) {
    const items = text
      .split(',')
      .map((item) => item.trim())
      .filter(Boolean);
    return fallback.some((item) => typeof item === 'number') ? items.map(numberOr) : items;
  }
  if (typeof fallback === 'number') return numberOr(text);
  if (typeof fallback === 'boolean') return text === 'true';
  return text;
}

/** What is no number is sent as it is, and refused with a reason. */
function numberOr(text: string): number | string {
  return /^-?\d+(?:\.\d+)?$/.test(text.trim()) ? Number(text) : text;
}
