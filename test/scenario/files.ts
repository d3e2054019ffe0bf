/** Every scenario of the project, in the order of its chapters. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseScenario, type Scenario } from './scenario.ts';

export const scenarioFolder: string = fileURLToPath(new URL('.', import.meta.url));

/** Paths below test/scenario, `chapter/sentence.scenario`. */
export function scenarioPaths(): string[] {
  return readdirSync(scenarioFolder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.scenario'))
    .map((entry) => join(entry.parentPath, entry.name).slice(scenarioFolder.length).replaceAll('\\', '/'))
    .sort();
}

export function readScenario(path: string): Scenario {
  return parseScenario(path, readFileSync(join(scenarioFolder, path), 'utf8'));
}

/** The reasons of its gaps, as the file says. */
export function gapsOf(scenario: Scenario): string[] {
  return scenario.steps.flatMap((step) =>
    step.checks.flatMap((check) => (check.gap === undefined ? [] : [check.gap])),
  );
}
