import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import type { Obstacle } from '../linux/preflight.ts';
import { renderObstacles } from './preflight.ts';

const warning: Obstacle = { code: 'linux/a', severity: 'warning', what: 'slow', remedy: 'wait' };
const error: Obstacle = { code: 'linux/b', severity: 'error', what: 'broken', remedy: 'mend it' };

test('errors first, each with its remedy, and a last line that says whether it will work', () => {
  assert.deepEqual(stripVTControlCharacters(renderObstacles([warning, error])).split('\n'), [
    'error   linux/b: broken',
    '        mend it',
    'warning linux/a: slow',
    '        wait',
    'not ready: 1 obstacle',
    '',
  ]);
  assert.match(renderObstacles([warning]), /\nready, but for the warnings above\n$/);
  assert.equal(renderObstacles([]), 'ready: nothing stands in the way\n');
});
