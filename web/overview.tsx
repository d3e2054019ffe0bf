/** Is it on, does it work, what has it just done, and how is it switched off. */
import { useState } from 'preact/hooks';
import type { Overview } from '../src/console/api.ts';
import { ask } from './api.ts';
import { CallRow } from './calls.tsx';
import { Chart } from './chart.tsx';
import { overview } from './live.ts';
import { Card, Empty, Failure, Heading, Link } from './parts.tsx';
import { Switches } from './phones.tsx';
import { clock, count, day } from './words.ts';

const KNOWN_KEY = 'sipalg-knows';

export function OverviewPage() {
  const now = overview.value;
  if (now === undefined) return <Heading>Overview</Heading>;
  return (
    <>
      <Heading>Overview</Heading>
      <PowerCard now={now} />
      <Introduction now={now} />
      <AttentionCard now={now} />
      <dl class="figures">
        <Figure name="Phones" value={now.phones} note={`${now.registered} can be called`} to="/phones" />
        <Figure
          name="Calls now"
          value={now.calls.filter((call) => call.state === 'talking' || call.state === 'ringing').length}
          note={hearingNote(now)}
          to="/calls"
        />
        <Figure
          name="Messages corrected"
          value={now.messages.translated}
          note={`${now.messages.passed.toLocaleString()} passed as they were`}
          to="/calls"
        />
        <Figure name="Audio packets/s" value={packetsPerSecond(now)} note="both ways" />
      </dl>
      <Card title="The last calls" aside={<Link to="/calls">All calls</Link>}>
        {now.calls.length === 0 ? (
          <Empty>No call yet. It shows up here as soon as a phone rings.</Empty>
        ) : (
          <ul class="rows">
            {now.calls.slice(0, 4).map((call) => (
              <CallRow key={call.callId} call={call} now={now.now} />
            ))}
          </ul>
        )}
      </Card>
      <Card title="The last hour">
        <Chart samples={now.samples} />
      </Card>
      <Card title="Switches for one phone or provider" aside={<Link to="/phones">Details</Link>}>
        <Switches />
      </Card>
    </>
  );
}

function PowerCard({ now }: { readonly now: Overview }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(undefined);
  const on = now.switch === 'on';
  const state = !on ? 'off' : now.taking.active ? 'on' : 'resting';
  const words = {
    on: 'On: phone calls go through the gateway',
    off: 'Off: your router treats phones like everything else',
    resting: 'On, but calls go past the gateway at present',
  } as const;
  const turn = async (): Promise<void> => {
    setBusy(true);
    try {
      overview.value = await ask<Overview>('POST', '/switch', { position: on ? 'off' : 'on' });
      setError(undefined);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <section class={`card power ${state}`} aria-label="The switch">
      <div>
        <h2>{words[state]}</h2>
        <p class="muted">
          Since {now.now - now.since > 86_400_000 ? day(now.since) : clock(now.since)}
          {' · '}
          {now.taking.where}
        </p>
      </div>
      <button
        type="button"
        role="switch"
        aria-checked={on}
        aria-label="The whole gateway"
        class="switch"
        disabled={busy}
        onClick={() => void turn()}
      >
        <span class="knob" />
        <span class="label">{on ? 'On' : 'Off'}</span>
      </button>
      <p class="consequence">
        {on
          ? 'Switching it off is safe at any time: calls that run keep their audio, and it stays off over restarts until you switch it on.'
          : 'Nothing is changed in any message now. Phones may not be reachable from outside, and callers may not be heard.'}
      </p>
      <Failure error={error} />
    </section>
  );
}

/** For somebody who has never heard of it; it goes away when it has been read. */
function Introduction({ now }: { readonly now: Overview }) {
  const [known, setKnown] = useState(localStorage.getItem(KNOWN_KEY) !== null);
  if (known) return null;
  const last = now.calls.find((call) => call.edits > 0);
  return (
    <Card
      title="What is a SIP ALG?"
      class="introduction"
      aside={
        <button
          type="button"
          class="quiet"
          onClick={() => {
            localStorage.setItem(KNOWN_KEY, 'yes');
            setKnown(true);
          }}
        >
          I know
        </button>
      }
    >
      <div class="lesson">
        <ol>
          <li>
            <strong>The problem.</strong> A phone behind your router writes its own address into its messages,
            such as <code>192.168.1.10</code>. Nobody outside can reach that: calls do not ring, or nobody is
            heard.
          </li>
          <li>
            <strong>The idea.</strong> A SIP ALG (application layer gateway) corrects such addresses as
            messages pass. Most routers’ ALGs do it badly and break calls, which is why people are told to
            switch them off.
          </li>
          <li>
            <strong>This one</strong> changes only the addresses that have to change, each by a rule with its
            RFC section, and shows you every change.{' '}
            {last === undefined ? null : (
              <Link to={`/calls/${encodeURIComponent(last.callId)}`}>See what it did to the last call.</Link>
            )}
          </li>
        </ol>
        <figure aria-hidden="true">
          <div class="post">
            <span class="who">phone</span>
            <code>
              Contact: <del>192.168.1.10</del>
            </code>
          </div>
          <div class="arrow">↓ sipalg</div>
          <div class="post">
            <code>
              Contact: <ins>203.0.113.1</ins>
            </code>
            <span class="who">provider</span>
          </div>
        </figure>
      </div>
    </Card>
  );
}

function AttentionCard({ now }: { readonly now: Overview }) {
  if (now.attention.length === 0)
    return (
      <p class="all-well">
        <span class="dot live" /> Nothing needs your attention.
      </p>
    );
  return (
    <Card title="What needs attention">
      <ul class="attention">
        {now.attention.map(({ level, text, remedy, link }) => (
          <li key={text} class={level}>
            <span>
              <strong>{text}</strong> {remedy}
            </span>
            {link === undefined ? null : <Link to={link}>Look</Link>}
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Figure({
  name,
  value,
  note,
  to,
}: {
  readonly name: string;
  readonly value: number;
  readonly note: string;
  readonly to?: string;
}) {
  return (
    <div class="figure">
      <dt>{to === undefined ? name : <Link to={to}>{name}</Link>}</dt>
      <dd class="value">{value.toLocaleString()}</dd>
      <dd class="note">{note}</dd>
    </div>
  );
}

function hearingNote({ calls }: Overview): string {
  const talking = calls.filter((call) => call.state === 'talking');
  const bad = talking.filter((call) => call.hearing?.good === false).length;
  if (bad > 0) return `${count(bad, 'call')} with audio trouble`;
  return talking.length === 0 ? 'nobody is talking' : 'audio both ways';
}

function packetsPerSecond({ samples }: Overview): number {
  const [before, last] = [samples.at(-2), samples.at(-1)];
  if (before === undefined || last === undefined) return 0;
  return Math.round(last.packets / Math.max(1, (last.at - before.at) / 1000));
}
