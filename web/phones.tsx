/** Phones and providers: who is reachable, how, and each with its own switch. */
import { useState } from 'preact/hooks';
import type { PhoneView, ProviderView } from '../src/console/phones.ts';
import { ask } from './api.ts';
import {
  Badge,
  Card,
  Empty,
  Failure,
  Heading,
  type Loaded,
  type Mode,
  ModeSelect,
  modeHelp,
  modeWords,
  useLoaded,
} from './parts.tsx';
import { ago, count, party, span } from './words.ts';

interface Answer {
  readonly now: number;
  readonly upstreamNat: 'auto' | 'yes' | 'no';
  readonly phones: readonly PhoneView[];
  readonly providers: readonly ProviderView[];
}

const EVERY_MS = 3_000;

function usePhones(): Loaded<Answer> {
  return useLoaded(() => ask<Answer>('GET', '/phones'), 'phones', EVERY_MS);
}

export function PhonesPage() {
  const phones = usePhones();
  const { value } = phones;
  return (
    <>
      <Heading note="A phone is reachable while its registration lasts; the gateway keeps the way in open for as long.">
        Phones
      </Heading>
      <Failure error={phones.error} />
      {value === undefined ? null : (
        <>
          {value.phones.length === 0 ? (
            <Card>
              <Empty>
                No phone has been seen yet. Phones show up when they register; restarting one makes it do so.
              </Empty>
            </Card>
          ) : (
            value.phones.map((phone) => (
              <PhoneCard key={phone.address} phone={phone} answer={value} phones={phones} />
            ))
          )}
          <Card title="Providers">
            {value.providers.length === 0 ? <Empty>None yet.</Empty> : <ProviderRows phones={phones} />}
          </Card>
          <ModeMeaning />
          <p class="muted small">
            Another NAT between the gateway and the provider:{' '}
            {value.upstreamNat === 'auto'
              ? 'looked for; where there is one, phones are kept reachable by keepalives'
              : value.upstreamNat === 'yes'
                ? 'yes, by configuration; phones are kept reachable by keepalives'
                : 'no, by configuration'}
            .
          </p>
        </>
      )}
    </>
  );
}

function PhoneCard({
  phone,
  answer,
  phones,
}: {
  readonly phone: PhoneView;
  readonly answer: Answer;
  readonly phones: Loaded<Answer>;
}) {
  const isRegistered = phone.rows.some((row) => row.expiresAt !== undefined);
  return (
    <Card
      title={phone.address}
      aside={<Chooser kind="phones" name={phone.address} mode={phone.mode} phones={phones} />}
    >
      <p class="line">
        {phone.mode === 'off' ? (
          <Badge tone="warn">left alone</Badge>
        ) : isRegistered ? (
          <Badge tone="good">can be called</Badge>
        ) : (
          <Badge>{phone.rows.length === 0 ? 'not seen' : 'not registered'}</Badge>
        )}
        {phone.decidedBy === undefined ? null : <span class="muted">decided by {phone.decidedBy}</span>}
      </p>
      {phone.rows.map((row) => (
        <dl class="facts" key={`${row.internal} ${row.aor ?? ''}`}>
          {row.aor === undefined ? null : (
            <div>
              <dt>Number</dt>
              <dd>{party(row.aor)}</dd>
            </div>
          )}
          <div>
            <dt>Seen from outside as</dt>
            <dd>
              <code>{row.external}</code>
            </dd>
          </div>
          <div>
            <dt>In here</dt>
            <dd>
              <code>{row.internal}</code> {row.transport.toUpperCase()}
            </dd>
          </div>
          {row.peer === undefined ? null : (
            <div>
              <dt>Provider</dt>
              <dd>
                <code>{row.peer}</code>
              </dd>
            </div>
          )}
          {row.expiresAt === undefined ? null : (
            <div>
              <dt>Registered for</dt>
              <dd>{span(row.expiresAt - answer.now)} more</dd>
            </div>
          )}
          <div>
            <dt>Last incoming</dt>
            <dd>{row.lastIncoming === undefined ? 'none yet' : ago(row.lastIncoming, answer.now)}</dd>
          </div>
          {row.treatment === undefined ? null : (
            <div class="wide">
              <dt>Treated</dt>
              <dd>
                {row.treatment.mode === 'assist'
                  ? 'Its addresses are corrected.'
                  : 'Observed: not a byte changes.'}{' '}
                {row.treatment.why}
                {row.treatment.evidence.length === 0 ? null : (
                  <ul class="evidence">
                    {row.treatment.evidence.map(({ what, text, source }) => (
                      <li key={what}>
                        {text} <span class="muted">({source})</span>
                      </li>
                    ))}
                  </ul>
                )}
              </dd>
            </div>
          )}
        </dl>
      ))}
    </Card>
  );
}

/** All switches in one list, for the overview. */
export function Switches() {
  const phones = usePhones();
  const { value } = phones;
  if (value === undefined) return <Failure error={phones.error} />;
  if (value.phones.length === 0 && value.providers.length === 0)
    return <Empty>Phones and providers show up here once they have been seen.</Empty>;
  return (
    <ul class="rows switches">
      {value.phones.map((phone) => (
        <li key={phone.address}>
          <span>
            <strong>{phone.address}</strong> <span class="muted">phone{numberOf(phone)}</span>
          </span>
          <Chooser kind="phones" name={phone.address} mode={phone.mode} phones={phones} />
        </li>
      ))}
      <ProviderRows phones={phones} bare />
    </ul>
  );
}

function numberOf({ rows }: PhoneView): string {
  const aor = rows.find((row) => row.aor !== undefined)?.aor;
  return aor === undefined ? '' : `, ${party(aor)}`;
}

function ProviderRows({
  phones,
  bare = false,
}: {
  readonly phones: Loaded<Answer>;
  readonly bare?: boolean;
}) {
  const rows = (phones.value?.providers ?? []).map((provider) => (
    <li key={provider.name}>
      <span>
        <strong>{provider.name}</strong>{' '}
        <span class="muted">
          provider, {count(provider.phones, 'phone')}
          {provider.addresses.length === 1 && provider.addresses[0] === provider.name
            ? ''
            : `, ${provider.addresses.join(', ')}`}
        </span>
      </span>
      <Chooser kind="providers" name={provider.name} mode={provider.mode} phones={phones} />
    </li>
  ));
  return bare ? rows : <ul class="rows switches">{rows}</ul>;
}

function Chooser({
  kind,
  name,
  mode,
  phones,
}: {
  readonly kind: 'phones' | 'providers';
  readonly name: string;
  readonly mode: Mode;
  readonly phones: Loaded<Answer>;
}) {
  const [error, setError] = useState<unknown>(undefined);
  return (
    <span class="chooser">
      <ModeSelect
        label={`${kind === 'phones' ? 'Phone' : 'Provider'} ${name}`}
        value={mode}
        change={async (next) => {
          try {
            phones.set(await ask<Answer>('PUT', `/${kind}/${encodeURIComponent(name)}`, { mode: next }));
            setError(undefined);
          } catch (problem) {
            setError(problem);
            phones.reload();
          }
        }}
      />
      <Failure error={error} />
    </span>
  );
}

function ModeMeaning() {
  return (
    <details class="card quiet-card">
      <summary>What the switches mean</summary>
      <dl class="meaning">
        {(Object.keys(modeWords) as Mode[]).map((mode) => (
          <div key={mode}>
            <dt>{modeWords[mode]}</dt>
            <dd>{modeHelp[mode]}</dd>
          </div>
        ))}
      </dl>
    </details>
  );
}
