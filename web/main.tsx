/** The console: its frame, and which page is in it. */
import { render } from 'preact';
import { useState } from 'preact/hooks';
import { giveToken, readToken, token } from './api.ts';
import { CallPage, CallsPage } from './calls.tsx';
import { CheckPage } from './check.tsx';
import { Icon, Logo } from './icons.tsx';
import { beginLive, connection, overview, wakeLive } from './live.ts';
import { OverviewPage } from './overview.tsx';
import { Link } from './parts.tsx';
import { PhonesPage } from './phones.tsx';
import { below, path } from './route.ts';
import { RouterPage, RoutersPage } from './routers.tsx';
import { SettingsPage } from './settings.tsx';
import './style.css';

const places = [
  ['/', 'overview', 'Overview'],
  ['/phones', 'phones', 'Phones'],
  ['/calls', 'calls', 'Calls'],
  ['/check', 'check', 'Check'],
  ['/routers', 'routers', 'Routers'],
  ['/settings', 'settings', 'Settings'],
] as const;

function Console() {
  if (token.value === undefined) return <Door />;
  const here = path.value;
  return (
    <div class="frame">
      <a class="skip" href="#content">
        To the content
      </a>
      <nav class="nav" aria-label="Pages">
        <div class="brand">
          <Logo />
          <span>sipalg</span>
        </div>
        <ul>
          {places.map(([to, icon, name]) => (
            <li key={to}>
              <Link to={to} current={to === '/' ? here === '/' : here === to || here.startsWith(`${to}/`)}>
                <Icon name={icon} />
                <span>{name}</span>
              </Link>
            </li>
          ))}
        </ul>
        <Connection />
      </nav>
      <main id="content" tabIndex={-1}>
        <Page />
      </main>
    </div>
  );
}

function Page() {
  const call = below('/calls');
  if (call !== undefined) return <CallPage key={call} callId={call} />;
  const router = below('/routers');
  if (router !== undefined) return <RouterPage key={router} id={router} />;
  switch (path.value) {
    case '/phones':
      return <PhonesPage />;
    case '/calls':
      return <CallsPage />;
    case '/check':
      return <CheckPage />;
    case '/routers':
      return <RoutersPage />;
    case '/settings':
      return <SettingsPage />;
    default:
      return <OverviewPage />;
  }
}

function Connection() {
  const words = {
    connecting: 'connecting',
    live: 'live',
    asking: 'live, every 2 s',
    gone: 'the gateway does not answer',
  } as const;
  return (
    <div class="connection" role="status">
      <span class={`dot ${connection.value}`} />
      {words[connection.value]}
      {overview.value === undefined ? null : <span class="version">{overview.value.version}</span>}
    </div>
  );
}

/** Without the token nothing is shown. */
function Door() {
  const [text, setText] = useState('');
  return (
    <main class="door">
      <Logo />
      <h1>Open the console with its address</h1>
      <p>
        It has a token in it, which only the gateway’s own machine knows. There, as the user that runs the
        gateway (usually with sudo):
      </p>
      <pre>sipalg console</pre>
      <p>Open what it prints, or paste it here.</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          giveToken(text);
          wakeLive();
        }}
      >
        <label for="token">Address or token</label>
        <div class="row">
          <input
            id="token"
            value={text}
            autocomplete="off"
            spellcheck={false}
            onInput={(event) => setText(event.currentTarget.value)}
          />
          <button type="submit" class="primary" disabled={text.trim() === ''}>
            Open
          </button>
        </div>
      </form>
    </main>
  );
}

readToken();
beginLive();
render(<Console />, document.querySelector('#page')!);
