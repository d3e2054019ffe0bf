/** A check where firewalls stand in the way of its control channel. Needs root. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namespaceObstacle } from '../../demo/namespace.ts';
import type { CheckReport } from '../../src/core/detect/check-report.ts';
import { BoxLab, type CheckRun } from './lab.ts';

const skip = namespaceObstacle() ?? false;

function checkBehind(ports: string): Promise<CheckRun> {
  const rule = `iifname "lan" tcp dport ${ports} reject with tcp reset`;
  const lab = new BoxLab({
    rules: `table ip wall {\n chain forward {\n type filter hook forward priority -5\n ${rule}\n }\n}\n`,
  });
  return lab
    .reflector()
    .then((invitation) => lab.check(invitation, '--json', '--patience', '200', '--only', 'dns'))
    .finally(() => lab.close());
}

test('where the ports of TLS are closed, the channel goes over another one, and the report says so', {
  skip,
}, async () => {
  const { code, stdout } = await checkBehind('{ 443, 8443, 5061 }');
  const { facts, verdict } = JSON.parse(stdout) as CheckReport;
  assert.deepEqual([code, verdict], [0, 'unaltered']);
  assert.match(
    facts.find(({ id }) => id === 'detour')?.text ?? '',
    /on port 443 .*; it goes over port 32060\./,
  );
});

test('where no port of the reflector answers, the error names them and says what can be done', {
  skip,
}, async () => {
  const { code, stdout, stderr } = await checkBehind('1-65535');
  assert.deepEqual([code, stdout], [3, '']);
  assert.match(stderr, /detector\/unreachable/);
  assert.match(stderr, /none of its TCP ports answers \(443, 8443, 5061, 32060/);
  assert.match(stderr, /sipalg check --server/);
});
