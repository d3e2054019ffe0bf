/** Recipes as Markdown, for a provider's own help pages and for tickets. */
import type { Recipe } from '../routers/schema.ts';
import type { Block, Page } from './router-page.ts';
import { STAR, waysText } from './router-text.ts';

export function pageMarkdown(page: Page): string {
  return `# ${escapeMarkup(page.title)}\n\n${page.blocks.map(blockMarkdown).join('\n\n')}\n`;
}

function blockMarkdown(block: Block): string {
  if (block.kind === 'heading') return `${'#'.repeat(block.level)} ${escapeMarkup(block.text)}`;
  if (block.kind === 'text')
    return block.warning === true ? `**${escapeMarkup(block.text)}**` : escapeMarkup(block.text);
  if (block.kind === 'list') return block.items.map((item) => `- ${escapeMarkup(item)}`).join('\n');
  const steps = block.items.map(({ text, code, see }, i) =>
    [
      `${i + 1}. ${escapeMarkup(text)}`,
      ...(code === undefined
        ? []
        : ['', '   ```', ...code.split('\n').map((line) => `   ${line}`), '   ```', '']),
      ...(see === undefined ? [] : [`${code === undefined ? '   ' : '   '}*See:* ${escapeMarkup(see)}`]),
    ].join('\n'),
  );
  return `### ${escapeMarkup(block.title)}\n\n${steps.join('\n')}`;
}

/** A table of recipes; `link` gives the address of one, or nothing. */
export function listMarkdown(recipes: readonly Recipe[], link?: (recipe: Recipe) => string): string {
  const rows = recipes.map((recipe) => {
    const id = link === undefined ? `\`${recipe.id}\`` : `[\`${recipe.id}\`](${link(recipe)})`;
    return `| ${id} | ${escapeMarkup(recipe.vendor)} | ${escapeMarkup(recipe.names.slice(0, 4).join(', '))} | ${recipe.alg.default} | ${recipe.alg.canSwitchOff} | ${escapeMarkup(waysText(recipe).join(', ')) || '–'} | ${recipe.article?.verdict ?? '–'} | ${recipe.status} |`;
  });
  return `| id | vendor | names | as shipped | can be switched off | by | the article | status |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}

${escapeMarkup(STAR)}
`;
}

/** What would be markup. Texts between backquotes are code already and stay. */
function escapeMarkup(text: string): string {
  return text
    .split(/(`[^`]*`)/)
    .map((part, i) => (i % 2 === 1 ? part : part.replaceAll(/[\\*_<>|[\]#]/g, (char) => `\\${char}`)))
    .join('');
}
