import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { assess } from '../core/detect/assessment.ts';
import { remedyById } from '../core/detect/remedies.ts';
import { loadCatalogue } from '../routers/catalogue.ts';
import { rankRecipes, toldApart } from '../routers/identify/rank.ts';
import { reportHtml } from './check-html.ts';
import { answerOf, asksForRouter, withRouter } from './check-router.ts';
import { reportText } from './check-text.ts';

const { recipes } = loadCatalogue(fileURLToPath(new URL('../../recipes', import.meta.url)));
const clean = assess({ passages: [], observations: [], steps: [], facts: [], workarounds: [] });
const altered = { ...clean, advice: [{ ...remedyById('switch-off'), against: [] }] };

function identified(...evidence: Parameters<typeof rankRecipes>[1]): Parameters<typeof answerOf>[0] {
  const candidates = rankRecipes(recipes, evidence);
  return { host: '192.168.1.1', mac: undefined, evidence, candidates, best: toldApart(candidates) };
}

test('a router that says who it is has its recipe named with the advice to switch its ALG off', () => {
  const answer = answerOf(
    identified({ kind: 'http-title', value: 'RouterOS router configuration page', where: 'tcp 80' }),
  );
  const report = withRouter(altered, answer);
  const [advice] = report.advice;
  assert.deepEqual(
    advice?.recipes?.map(({ id }) => id),
    ['mikrotik-routeros'],
  );
  assert.match(reportText(report, String, false), /sipalg router show mikrotik-routeros/);
  assert.match(reportHtml(report, String, new Date(0)), /<code>sipalg router show mikrotik-routeros<\/code>/);
  assert.equal(report.steps.at(-1)?.state, 'done');
});

test('a router that says nothing is not checked, and no recipe is guessed', () => {
  const { step, recipes: links } = answerOf(
    identified({ kind: 'mac-vendor', value: 'AVM', where: 'MAC address' }),
  );
  assert.equal(step.state, 'not-checked');
  assert.match(step.result, /router search/);
  assert.deepEqual(links, []);
});

test('it is asked only where something is to be switched off, and not behind the next router', () => {
  assert.equal(asksForRouter(clean), false);
  assert.equal(asksForRouter(altered), true);
  const location = { answer: 'yes', text: '', nearest: 2, farthest: 2 } as never;
  assert.equal(asksForRouter({ ...altered, location }), false);
});
