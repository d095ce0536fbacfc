import { readFile, writeFile } from 'node:fs/promises';
import { Environment } from './config.ts';

/** What the schema of one variable says, as far as it is told. */
type Variable = { description?: string; default?: string; enum?: string[] };

const root = new URL('../', import.meta.url);
const WRITE = 'npm run config:write';
const BEGIN = `<!-- variables: made by “${WRITE}” -->`;
const END = '<!-- end of variables -->';
const WIDTH = 110;

const variables = Object.entries(Environment.properties).map(([name, schema]): [string, Variable] => [
  name,
  // TypeBox keeps what it does not check out of a schema's type.
  schema as Variable,
]);

const describe = ({ description = '', enum: values }: Variable): string =>
  values === undefined ? description : `${description} One of: ${values.join(', ')}.`;

/** A text as comment lines, broken at the width of our prose. */
function comment(text: string): string {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(' ')) {
    if (line !== '#' && line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}

/** Every variable commented out, so that a copy of the file changes nothing until somebody edits it. */
function envExample(): string {
  const head = comment(
    `Made by “${WRITE}” from src/config.ts. Copy it to .env, which “npm start”, “npm run dev” and “npm run ` +
      'db:*” read; what the environment sets wins over the file.',
  );
  const entries = variables.map(
    ([name, variable]) => `${comment(describe(variable))}\n#${name}=${variable.default ?? ''}`,
  );
  return `${[head, ...entries].join('\n\n')}\n`;
}

function table(): string {
  const cell = (text: string): string => text.replaceAll('|', '\\|');
  const rows = variables.map(
    ([name, variable]) =>
      `| \`${name}\` | ${variable.default === undefined ? '' : `\`${variable.default}\``} | ${cell(describe(variable))} |`,
  );
  return ['| Variable | Default | Meaning |', '|---|---|---|', ...rows].join('\n');
}

/** The page as it stands, with the part between the marks made anew. */
async function configurationPage(): Promise<string> {
  const page = await readFile(new URL('docs/configuration.md', root), 'utf8');
  const [before, rest] = page.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) {
    throw new Error(`docs/configuration.md must hold the lines “${BEGIN}” and “${END}”.`);
  }
  return `${before}${BEGIN}\n\n${table()}\n\n${END}${after}`;
}

async function main(mode: string | undefined): Promise<void> {
  if (mode !== '--write' && mode !== '--check')
    throw new Error('usage: node src/config-docs.ts --write|--check');
  const files = { '.env.example': envExample(), 'docs/configuration.md': await configurationPage() };
  for (const [path, content] of Object.entries(files)) {
    const url = new URL(path, root);
    if (mode === '--write') await writeFile(url, content);
    else if ((await readFile(url, 'utf8').catch(() => '')) !== content) {
      throw new Error(`${path} differs from what src/config.ts says. To mend it: ${WRITE}`);
    }
  }
}

try {
  await main(process.argv[2]);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
