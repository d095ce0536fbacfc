import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';

const ROOT = join(import.meta.dirname, '../..');
/** A literal where an expression may begin, so that a division is none. */
const LITERAL =
  /(?:[=(,:?[!&|]|return|^)\s*\/((?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n*])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\[\n])*)\/([dgimsuvy]*)/gm;
/** JSON Schema’s patterns, as ours write them. */
const PATTERN = /(?:pattern: |(?:WHOLE|UUID) = )'((?:\\.|[^'\\\n])+)'/g;

type Found = { where: string; source: string; flags: string };

/** Comments hold no code. */
const withoutComments = (code: string): string => code.replace(/^\s*(?:\/\/|\/?\*).*$/gm, '');

async function allExpressions(): Promise<Found[]> {
  const found: Found[] = [];
  for (const folder of ['src', 'plugins', 'routes', 'db']) {
    for (const name of await readdir(join(ROOT, folder), { recursive: true })) {
      if (!name.endsWith('.ts')) continue;
      const code = withoutComments(await readFile(join(ROOT, folder, name), 'utf8'));
      for (const [, source = '', flags = ''] of code.matchAll(LITERAL)) {
        found.push({ where: `${folder}/${name}`, source, flags });
      }
      for (const [, source = ''] of code.matchAll(PATTERN)) {
        found.push({ where: `${folder}/${name}`, source: source.replaceAll('\\\\', '\\'), flags: 'u' });
      }
    }
  }
  return found;
}

/** What an expression may have to match before the part that is slow: its own words, and the usual ones. */
const beginnings = ({ source }: Found): string[] => [
  '',
  ...(source.match(/[A-Za-z:/@.-]{2,}/g) ?? []),
  'T',
  '-',
  '::ffff:',
  'Bearer ',
  'postgres://',
  'https://',
];
const repeated = [
  '0',
  'a',
  'A',
  '-',
  '.',
  ':',
  ' ',
  '+',
  '=',
  '\n',
  '_',
  ']',
  '[',
  'T',
  'é',
  '0.',
  'a.',
  '0:',
  ' 0',
  'T0',
  'T0 ',
  '00 00:00',
  '::',
  '\t ',
  '/*',
  'Bearer ',
];
const endings = ['', '!', '\0', '\n'];

/** The milliseconds that a search takes. */
function timeOf(expression: RegExp, text: string): number {
  const startedAt = performance.now();
  expression.lastIndex = 0;
  expression.exec(text);
  return performance.now() - startedAt;
}

test('no regular expression takes more than linear time, whatever it is given', async (t) => {
  const expressions = await allExpressions();
  const sources = expressions.map(({ source }) => source).join('\n');
  t.ok(expressions.length >= 20, `${expressions.length} expressions`);
  for (const part of ['Bearer ', '::ffff:', '[smhdw]', '\\d{4}', '[0-9A-Fa-f]{8}'])
    t.ok(sources.includes(part), part);
  for (const one of expressions) {
    const expression = new RegExp(one.source, one.flags);
    let worst = { ms: 0, text: '' };
    for (const beginning of new Set(beginnings(one))) {
      for (const unit of repeated) {
        for (const ending of endings) {
          const text = beginning + unit.repeat(20_000 / unit.length) + ending;
          const ms = timeOf(expression, text);
          // Once more, so that a pause of ours is not taken for one of the expression’s.
          const again = ms > worst.ms ? Math.min(ms, timeOf(expression, text)) : 0;
          if (again > worst.ms) worst = { ms: again, text: `${beginning}(${unit})*${ending}` };
        }
      }
    }
    // Quadratic would be 20,000 x 20,000 / 2 steps: some 200 ms and more.
    t.ok(
      worst.ms < 20,
      `${one.where}: ${one.source}: ${worst.ms.toFixed(2)} ms for ${JSON.stringify(worst.text)}`,
    );
  }
});
