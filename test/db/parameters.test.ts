import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';

const ROOT = join(import.meta.dirname, '../..');

/**
 * What is put into the text of a statement as it is: one of two words, numbers of ours (COPY takes no parameters), and
 * patterns that stand in our code.
 */
const literal = [
  ...Array(4).fill('sql.raw(order)'),
  'sql.lit(MAX_PAGE_BYTES)',
  'sql.lit(`{{found}}`)',
  'sql.lit(`{from}`)',
  'sql.lit(`{to}`)',
  'sql.lit(`{maxBytes}`)',
  'sql.lit(limit)',
  'sql.lit(limit + 1)',
  ...Array(3).fill('sql.lit(String.raw`'),
  'CompiledQuery.raw(copy.compile(db)',
];

async function sources(folder: string): Promise<[file: string, text: string][]> {
  const names = (await readdir(join(ROOT, folder), { recursive: true })).filter((name) =>
    name.endsWith('.ts'),
  );
  return Promise.all(
    names.map(async (name): Promise<[string, string]> => {
      const file = `${folder}/${name}`;
      return [file, await readFile(join(ROOT, file), 'utf8')];
    }),
  );
}

test('no text becomes SQL: values are parameters, and what is put in as it is, is ours', async (t) => {
  const found = (await sources('db'))
    .filter(([file]) => !file.startsWith('db/migrations/'))
    .flatMap(
      ([, text]) => text.match(/\b(?:sql\.(?:raw|lit)|CompiledQuery\.raw)\((?:String\.raw`|[^)]*\))/g) ?? [],
    );
  // Without the signs, which look like a mistake outside of a template.
  const plain = found.map((text) => text.replaceAll('$', ''));
  t.strictSame(plain.toSorted(), literal.toSorted());
});

test('SQL stands in db/ only', async (t) => {
  for (const folder of ['src', 'plugins', 'routes']) {
    for (const [file, text] of await sources(folder)) {
      t.notMatch(text, /\bsql`|from '(?:kysely|pg)'|\.query\(/, file);
    }
  }
});
