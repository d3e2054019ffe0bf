/**
 * The report of a check as one HTML file for a support ticket. It holds everything and loads nothing; what came from the
 * wire may hold anything, so all text is escaped, and the page forbids itself scripts.
 */
import type { CheckFinding, CheckReport } from '../core/detect/check-report.ts';
import { evidenceDiff, evidenceTitle, grades, severities, wayOf } from './check-evidence.ts';
import { placeOf, working } from './check-text.ts';

export function reportHtml(report: CheckReport, shown: (text: string) => string, at: Date): string {
  const text = (value: string): string => escapeHtml(shown(value));
  const list = (items: readonly string[]): string =>
    items.length === 0 ? '' : `<ul>${items.map((item) => `<li>${item}</li>`).join('')}</ul>`;
  const section = (title: string, body: string): string =>
    body === '' ? '' : `<h2>${title}</h2>\n${body}\n`;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>SIP on its way: ${text(report.verdict)}</title>
<style>${STYLE}</style></head>
<body class="${report.verdict}">
<h1>${text(report.headline)}</h1>
<p class="about">sipalg check, ${escapeHtml(at.toISOString())}; ${report.figures.messages} messages, ${report.figures.altered} altered.</p>
${report.findings.map((finding) => findingHtml(finding, text)).join('\n')}
${section('What to do, most promising first', report.advice.length === 0 ? '' : `<ol>${report.advice.map(({ what, why, recipes = [] }) => `<li><strong>${text(what)}</strong> ${text(why)}${recipes.map(({ id, name }) => `<br>${text(name)}: <code>sipalg router show ${text(id)}</code>`).join('')}</li>`).join('')}</ol>`)}
${section('What gets through here', list(report.workarounds.map(({ what, works, result }) => `<strong>${working[works]}</strong>: ${text(what)}: ${text(result)}`)))}
${section('Edits that an ALG without fault makes as well', list(report.edits.map((edit) => `${text(edit.fault)}: ${text(edit.title)} ${text(wayOf(edit))}`)))}
${section('What does it', report.engine === undefined ? '' : list([text(report.engine.kind), ...report.engine.evidence.map(text)]))}
${section('Where it sits', placeOf(report) === undefined ? '' : `<p>${text(placeOf(report)!)}</p>`)}
${section('What was looked at', list([...report.steps.map(({ title, state, result }) => `${state === 'done' ? '' : '<strong>not checked</strong>: '}${text(title)}: ${text(result)}`), ...report.facts.map((fact) => text(fact.text))]))}
</body></html>
`;
}

function findingHtml(finding: CheckFinding, text: (value: string) => string): string {
  const { fault, title, explanation, symptom, severity, confidence, evidence } = finding;
  const diff =
    evidence === undefined
      ? ''
      : `<p>${text(evidenceTitle(evidence))}</p><pre>${evidenceDiff(evidence)
          .map((line) => `<span class="${CLASSES[line.mark]}">${line.mark} ${text(line.text)}</span>`)
          .join('\n')}</pre>`;
  return `<section class="severity${severity}"><h3><code>${text(fault)}</code> ${text(title)}</h3>
<p>${text(explanation)}</p><p><em>What you notice: ${text(symptom)}</em></p>
<p class="about">${severities[severity]}; ${grades[confidence]}; ${text(wayOf(finding))}</p>${diff}</section>`;
}

const CLASSES = { '-': 'sent', '+': 'received', ' ': 'same' } as const;

export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

const STYLE = `
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{font-size:1.4rem;border-left:.5rem solid #888;padding-left:.8rem}
.unaltered h1,.correct-alg h1{border-color:#197a3e}.faulty h1{border-color:#b3261e}.inconclusive h1{border-color:#9a6700}
h2{font-size:1.1rem;margin-top:2rem}h3{font-size:1rem;margin:.2rem 0}
section{border:1px solid #ddd;border-left:.3rem solid #9a6700;padding:.6rem 1rem;margin:1rem 0}
.severity3,.severity4{border-left-color:#b3261e}
.about{color:#555;font-size:.9rem}
pre{overflow-x:auto;background:#f6f6f6;padding:.6rem}
.sent{color:#b3261e}.received{color:#197a3e}`;
