/** The detector: whether something between here and a reflector alters SIP; and which router that may be. */
import { useEffect, useState } from 'preact/hooks';
import type { CheckView, PastRun } from '../src/console/checks.ts';
import { ask, keepReflector, knownReflector } from './api.ts';
import { check } from './live.ts';
import { Badge, Card, Empty, Failure, Heading, Link, type Tone, useLoaded } from './parts.tsx';
import { clock, day } from './words.ts';

interface Finding {
  readonly fault: string;
  readonly title: string;
  readonly symptom: string;
  readonly explanation: string;
  readonly severity: number;
  readonly places: readonly string[];
  readonly seen: number;
  readonly of: number;
  readonly evidence?: { readonly lines: readonly string[] };
}

interface Report {
  readonly verdict: 'unaltered' | 'correct-alg' | 'faulty' | 'inconclusive';
  readonly headline: string;
  readonly findings: readonly Finding[];
  readonly edits: readonly Finding[];
  readonly advice: readonly {
    readonly what: string;
    readonly why: string;
    readonly recipes?: readonly { readonly id: string; readonly name: string }[];
  }[];
  readonly engine?: { readonly kind: string; readonly evidence: readonly string[] };
  readonly facts: readonly { readonly id: string; readonly text: string }[];
}

const tones: Readonly<Record<Report['verdict'], Tone>> = {
  unaltered: 'good',
  'correct-alg': 'good',
  faulty: 'bad',
  inconclusive: 'warn',
};

const verdictWords: Readonly<Record<Report['verdict'], string>> = {
  unaltered: 'nothing alters SIP',
  'correct-alg': 'an ALG without fault',
  faulty: 'something does harm',
  inconclusive: 'no answer',
};

export function CheckPage() {
  const first = useLoaded(() => ask<CheckView>('GET', '/check'), 'check');
  useEffect(() => {
    if (first.value !== undefined && check.value === undefined) check.value = first.value;
  }, [first.value]);
  const view = check.value ?? first.value;
  return (
    <>
      <Heading note="Finds out whether a router or line between here and the Internet tampers with phone calls.">
        Check
      </Heading>
      <Failure error={first.error} />
      <Start view={view} />
      {view?.report === undefined ? null : <ReportCard report={view.report as unknown as Report} />}
      {view === undefined || view.state === 'idle' ? null : <Progress view={view} />}
      <Identify />
      <History key={view?.endedAt ?? 0} />
    </>
  );
}

function Start({ view }: { readonly view: CheckView | undefined }) {
  const [reflector, setReflector] = useState(knownReflector());
  const [mode, setMode] = useState('quick');
  const [error, setError] = useState<unknown>(undefined);
  const runs = view?.state === 'running';
  const start = async (): Promise<void> => {
    try {
      check.value = await ask<CheckView>('POST', '/check', { reflector, mode });
      keepReflector(reflector);
      setError(undefined);
    } catch (problem) {
      setError(problem);
    }
  };
  return (
    <Card title="Check this line">
      <p>
        The check sends harmless SIP messages from here to a <em>reflector</em>, a helper on the Internet, and
        both ends compare what they saw, octet by octet. Whatever was changed on the way, something in between
        has done.
      </p>
      <form
        class="check-form"
        onSubmit={(event) => {
          event.preventDefault();
          void start();
        }}
      >
        <label for="reflector">Reflector</label>
        <input
          id="reflector"
          value={reflector}
          placeholder="HOST:PORT/TOKEN/PIN"
          autocomplete="off"
          spellcheck={false}
          onInput={(event) => setReflector(event.currentTarget.value)}
        />
        <div class="row">
          <label class="inline">
            <span>How thorough</span>
            <select value={mode} onChange={(event) => setMode(event.currentTarget.value)}>
              <option value="quick">Quick, about 15 s</option>
              <option value="standard">Standard, about 90 s</option>
            </select>
          </label>
          {runs ? (
            <button type="button" onClick={() => void ask('DELETE', '/check').catch(setError)}>
              Stop
            </button>
          ) : (
            <button type="submit" class="primary" disabled={reflector.trim() === ''}>
              Start the check
            </button>
          )}
        </div>
      </form>
      <details class="small">
        <summary>I have no reflector</summary>
        <p>
          On any host on the Internet run <code>sipalg reflector</code>. It prints one line,{' '}
          <code>HOST:PORT/TOKEN/PIN</code>, which belongs into the field above. Your provider’s support may
          have one for you.
        </p>
      </details>
      <Failure error={error} />
    </Card>
  );
}

function Progress({ view }: { readonly view: CheckView }) {
  const { state, steps, reflector, startedAt } = view;
  return (
    <Card
      title={
        state === 'running'
          ? 'The check runs'
          : state === 'failed'
            ? 'The check failed'
            : 'What was looked at'
      }
      aside={
        <span class="muted small">
          {reflector}
          {startedAt === undefined ? '' : `, ${clock(startedAt)}`}
        </span>
      }
    >
      {view.error === undefined ? null : (
        <p class="failure" role="alert">
          {view.error}
        </p>
      )}
      <ol class="steps" aria-live="polite">
        {steps.map((step) => (
          <li key={step.id} class={step.state}>
            <strong>{step.title}</strong>{' '}
            <span class="muted">
              {step.state === 'done' ? '' : 'not checked: '}
              {step.result}
            </span>
          </li>
        ))}
        {state === 'running' ? <li class="running">Waiting for the next answer…</li> : null}
      </ol>
    </Card>
  );
}

function ReportCard({ report }: { readonly report: Report }) {
  return (
    <Card
      title="The verdict"
      aside={<Badge tone={tones[report.verdict]}>{verdictWords[report.verdict]}</Badge>}
    >
      <p class={`verdict big ${tones[report.verdict]}`}>{report.headline}</p>
      {report.engine === undefined ? null : <p>What does it: {report.engine.kind}.</p>}
      {report.findings.map((finding) => (
        <FindingView key={finding.fault} finding={finding} />
      ))}
      {report.advice.length === 0 ? null : (
        <>
          <h3>What to do, most promising first</h3>
          <ol class="advice">
            {report.advice.map(({ what, why, recipes = [] }) => (
              <li key={what}>
                <strong>{what}</strong> {why}
                {recipes.map(({ id, name }) => (
                  <span key={id}>
                    {' '}
                    <Link to={`/routers/${id}`}>{name}</Link>
                  </span>
                ))}
              </li>
            ))}
          </ol>
          <p>
            <Link to="/routers">Find your router’s steps</Link>
          </p>
        </>
      )}
      {report.edits.length === 0 ? null : (
        <details>
          <summary>Edits that an ALG without fault makes as well ({report.edits.length})</summary>
          {report.edits.map((finding) => (
            <FindingView key={finding.fault} finding={finding} />
          ))}
        </details>
      )}
      {report.facts.length === 0 ? null : (
        <details class="more">
          <summary>More about this line</summary>
          <ul class="small muted facts-list">
            {report.facts.map(({ id, text }) => (
              <li key={id}>{text}</li>
            ))}
          </ul>
        </details>
      )}
    </Card>
  );
}

function FindingView({ finding }: { readonly finding: Finding }) {
  return (
    <article class={`finding severity${finding.severity}`}>
      <h3>{finding.title}</h3>
      <p>{finding.symptom}</p>
      <p class="muted small">
        <code>{finding.fault}</code> {finding.explanation} Seen {finding.seen} of {finding.of} times
        {finding.places.length === 0 ? '' : `, in ${finding.places.join(', ')}`}.
      </p>
      {finding.evidence === undefined || finding.evidence.lines.length === 0 ? null : (
        <details>
          <summary>Evidence</summary>
          <div class="lines">
            {finding.evidence.lines.map((line, i) => (
              <div
                key={i}
                class={`line ${line.startsWith('-') ? 'before' : line.startsWith('+') ? 'after' : ''}`}
              >
                {line}
              </div>
            ))}
          </div>
        </details>
      )}
    </article>
  );
}

interface Identified {
  readonly host: string;
  readonly best: string | null;
  readonly evidence: readonly { readonly kind: string; readonly value: string; readonly where: string }[];
  readonly candidates: readonly {
    readonly recipe: string;
    readonly vendor: string;
    readonly model: string | null;
    readonly score: number;
  }[];
}

function Identify() {
  const [host, setHost] = useState('');
  const [busy, setBusy] = useState(false);
  const [found, setFound] = useState<Identified | undefined>(undefined);
  const [error, setError] = useState<unknown>(undefined);
  const run = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      setFound(await ask<Identified>('POST', '/identify', host.trim() === '' ? {} : { host: host.trim() }));
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(false);
    }
  };
  return (
    <Card title="Which router is it?">
      <p>
        Asks the next router towards the Internet what it says about itself. No password is sent, and nothing
        is changed.
      </p>
      <form
        class="row"
        onSubmit={(event) => {
          event.preventDefault();
          void run();
        }}
      >
        <label class="inline">
          <span>Address</span>
          <input
            value={host}
            placeholder="the default gateway"
            onInput={(event) => setHost(event.currentTarget.value)}
          />
        </label>
        <button type="submit" disabled={busy}>
          {busy ? 'Asking…' : 'Ask it'}
        </button>
      </form>
      <Failure error={error} />
      {found === undefined ? null : (
        <div role="status">
          <p>
            <code>{found.host}</code>{' '}
            {found.candidates.length === 0
              ? 'says nothing that fits a router in the catalogue.'
              : found.best === null
                ? 'does not say clearly which router it is. It may be:'
                : 'is most likely:'}
          </p>
          <ul class="rows">
            {found.candidates.slice(0, 5).map(({ recipe, vendor, model }) => (
              <li key={recipe}>
                <span>
                  <strong>{vendor}</strong> {model ?? ''}
                </span>
                <Link to={`/routers/${encodeURIComponent(recipe)}`}>Its steps</Link>
              </li>
            ))}
          </ul>
          {found.evidence.length === 0 ? null : (
            <ul class="small muted facts-list">
              {found.evidence.map(({ kind, value, where }) => (
                <li key={`${kind}${value}`}>
                  {kind}: {value} ({where})
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
    </Card>
  );
}

function History() {
  const { value, error } = useLoaded(() => ask<readonly PastRun[]>('GET', '/check/history'), 'history');
  return (
    <Card title="Earlier checks">
      <Failure error={error} />
      {value === undefined || value.length === 0 ? (
        <Empty>
          None yet. <code>sipalg monitor</code> checks again and again and tells when something has changed,
          after a router’s update for instance.
        </Empty>
      ) : (
        <ul class="rows">
          {value.slice(0, 30).map((run) => (
            <li key={`${run.at} ${run.reflector}`}>
              <span>
                <strong>{day(run.at)}</strong> <span class="muted">{run.reflector}</span>
                {run.titles.length === 0 ? null : (
                  <span class="small muted titles">{run.titles.join(' ')}</span>
                )}
              </span>
              <Badge tone={tones[run.verdict]}>{verdictWords[run.verdict]}</Badge>
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}
