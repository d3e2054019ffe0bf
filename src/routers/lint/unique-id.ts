/** The id is the path of the file, and nobody else's. */
import { idOfFile } from '../catalogue.ts';
import type { LintRule } from './rule.ts';

export const uniqueId: LintRule = {
  id: 'unique-id',
  holds:
    'The id is the path of the file (vendor/model.yaml is vendor-model), and procedures have ids of their own.',
  find({ file, files }) {
    const { recipe, path } = file;
    const wanted = idOfFile(path);
    const twins = files.filter((other) => other !== file && other.recipe.id === recipe.id);
    const procedures = recipe.procedures.map(({ id }) => id);
    const twice = procedures.filter((id, i) => procedures.indexOf(id) !== i);
    return [
      ...(recipe.id === wanted
        ? []
        : [{ what: `the id is ${recipe.id}`, remedy: `write id: ${wanted}, or rename the file` }]),
      ...(path.split('/').length === 2
        ? []
        : [
            {
              what: 'the file is not in a folder of its vendor',
              remedy: 'move it to recipes/VENDOR/MODEL.yaml',
            },
          ]),
      ...twins.map((twin) => ({ what: `${twin.path} has the same id`, remedy: 'give one of them another' })),
      ...twice.map((id) => ({
        what: `two procedures are called ${id}`,
        remedy: 'give one of them another id',
      })),
    ];
  },
};
