import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { assess } from '../core/detect/assessment.ts';
import type { CheckFinding, CheckReport } from '../core/detect/check-report.ts';
import { octetsOf } from '../core/sip/octets.ts';
import { escapeHtml, reportHtml } from './check-html.ts';

const same = (text: string): string => text;
const HOSTILE = `"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;</style><!--`;

/** Hostile text in every place of a report that the wire can reach. */
function hostileReport(text: string): CheckReport {
  const empty = assess({ passages: [], observations: [], steps: [], facts: [], workarounds: [] });
  const finding: CheckFinding = {
    ...{
      fault: 'X-UNKNOWN',
      severity: 4,
      consistent: false,
      confidence: 'A',
      explanation: text,
      title: text,
    },
    ...{ symptom: text, places: [text], direction: 'to-server', portKinds: ['sip'], transports: ['udp'] },
    ...{ seen: 2, of: 3, repeated: true },
    evidence: {
      ...{ what: text, direction: 'to-server', transport: text, server: text },
      ...{
        sent: octetsOf(`INVITE ${text}\r\n\r\n`),
        received: octetsOf(`${text}\r\n\r\n`),
        where: undefined,
      },
    },
  };
  return {
    ...empty,
    headline: text,
    findings: [finding],
    edits: [{ ...finding, consistent: true }],
    facts: [{ id: 'a', text }],
    steps: [{ id: 'a', title: text, state: 'done', result: text }],
    workarounds: [{ remedy: 'tls', what: text, works: 'edited', result: text }],
    engine: { kind: 'helper', evidence: [text] },
  };
}

/** The page's markup with nothing in it: what remains of text must not add to it. */
function tagsOf(html: string): string[] {
  return (html.match(/<[^>]*>/g) ?? []).map((tag) => tag);
}

test('hostile text adds no markup to the page, wherever it stands', () => {
  const at = new Date(0);
  const plain = tagsOf(reportHtml(hostileReport('plain'), same, at));
  const html = reportHtml(hostileReport(HOSTILE), same, at);
  assert.deepEqual(tagsOf(html), plain);
  assert.ok(!html.includes('<script'));
  assert.match(html, /default-src 'none'/);
});

test('whatever the text, it adds no markup', () => {
  const plain = tagsOf(reportHtml(hostileReport('plain'), same, new Date(0)));
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('<', '>', '"', "'", '&', '!', '-', '/', 'a', ' ') }),
      (text) => {
        assert.deepEqual(tagsOf(reportHtml(hostileReport(text), same, new Date(0))), plain);
      },
    ),
    { numRuns: 60 },
  );
});

test('escaping leaves no character that means anything in HTML, and loses none', () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const escaped = escapeHtml(text);
      assert.doesNotMatch(escaped, /[<>"']/);
      const back = escaped.replace(/&#(\d+);/g, (_all, code: string) => String.fromCharCode(Number(code)));
      assert.equal(back, text);
    }),
  );
});
