import fc from 'fast-check';
import { CompiledQuery } from 'kysely';
import { type Test, test } from 'tap';
import { CopyTarget, type Db } from '../../db/client.ts';
import { listEvents, type SeqRange } from '../../db/events.ts';
import { type FoundPage, readExportPage } from '../../db/export.ts';
import type { ExportFormat } from '../../src/core/actions.ts';
import { eventFields } from '../../src/core/event-fields.ts';
import type { Filter } from '../../src/core/filter.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { parseCsv } from '../support/csv.ts';
import { joinLog, messages, openDb, uncheckedEvent } from '../support/log-store.ts';
import { createDatabase } from '../support/postgres.ts';
import { anyText, holds } from '../support/property.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** All but the first event, by which the log tells of its own beginning. */
const EVERYTHING = { from: 1, to: 1_000_000_000 };

/** A log, and what adds to it; the events of which are read from where the last were. */
async function openLog(t: Test) {
  const db = openDb(t, await createDatabase(t));
  await joinLog(db);
  // A writer of its own each time, for a lease ends after 10 s.
  const append = async (events: ReturnType<typeof messages>): Promise<number> => {
    const store = await joinLog(db);
    return (await store.append(1, events)).first_seq;
  };
  return { db, append };
}

/** A page with bytes of its own. */
async function readPage(db: Db, format: ExportFormat, filter: Filter, range: SeqRange): Promise<FoundPage> {
  return readExportPage(db, new CopyTarget(), format, filter, range);
}

const textOf = ({ bytes }: FoundPage): string => bytes.toString();

/** All pages of an export. */
async function pages(db: Db, format: ExportFormat): Promise<FoundPage[]> {
  const found: FoundPage[] = [];
  for (let { from } = EVERYTHING; ; ) {
    const page = await readPage(db, format, {}, { ...EVERYTHING, from });
    found.push(page);
    if (!page.hasMore) return found;
    from = (page.lastSeq ?? from) + 1;
  }
}

/** What a reader of the documentation does with a cell that holds text. */
const undo = (cell: string): string => (cell.startsWith("'") ? cell.slice(1) : cell);

/** An event read back from a record of the CSV. */
function eventOf(record: readonly string[]): Record<string, unknown> {
  const cells = eventFields.map((field, index) => {
    const cell = record[index] ?? '';
    if (field === 'seq' || field === 'erased_by') return [field, cell === '' ? null : Number(cell)];
    if (field === 'details') return [field, JSON.parse(undo(cell))];
    return [field, cell === '' ? null : undo(cell)];
  });
  return Object.fromEntries(cells);
}

test('pages hold every event once, in order, whatever their number and weight', async (t) => {
  const { db, append } = await openLog(t);
  await append(messages(1_100));
  await append(Array.from({ length: 60 }, () => messages(1, { message: 'é'.repeat(50 * KIB) })).flat());
  const found = await pages(db, 'ndjson');
  t.ok(found.length > 2);
  t.ok(found.every(({ bytes }) => bytes.length < 5 * MIB));
  const lines = found.map(textOf).join('').split('\n').slice(0, -1);
  t.strictSame(
    lines.map((line) => (JSON.parse(line) as AuditEvent).seq),
    lines.map((_, index) => index + 1),
  );
  t.equal(lines.length, 1_160);
  let next = 1;
  for (const { count, firstSeq, lastSeq } of found) {
    t.equal(firstSeq, next);
    t.equal(lastSeq, next + count - 1);
    next += count;
  }
});

test('a page is read into the place of the one before', async (t) => {
  const { db, append } = await openLog(t);
  await append(messages(3));
  const target = new CopyTarget();
  const first = await readExportPage(db, target, 'ndjson', {}, { from: 1, to: 3 });
  const taken = textOf(first);
  const second = await readExportPage(db, target, 'ndjson', {}, { from: 3, to: 4 });
  t.match(second, { count: 1, firstSeq: 3, lastSeq: 3 });
  t.equal(first.bytes.buffer, second.bytes.buffer);
  t.not(textOf(first), taken);
});

test('a page that fails leaves its connection as good as it was', async (t) => {
  const { db, append } = await openLog(t);
  await append(messages(3));
  const target = new CopyTarget();
  await t.rejects(db.executeQuery(CompiledQuery.raw('copy (select 1/0) to stdout', [target])), {
    code: '22012',
  });
  t.match(await readExportPage(db, target, 'ndjson', {}, EVERYTHING), { count: 3, hasMore: false });
});

test('where nothing matches a page is empty', async (t) => {
  const { db, append } = await openLog(t);
  await append(messages(3));
  const none = { count: 0, firstSeq: null, lastSeq: null, hasMore: false };
  for (const filter of [{}, { room: 'nowhere' }]) {
    const page = await readPage(db, 'csv', filter, { from: 4, to: 9 });
    t.match(page, none);
    t.equal(page.bytes.length, 0);
  }
});

const word = anyText(20).map((text) => text.replaceAll('\0', '').toWellFormed());
const anyCell = fc.option(
  fc.oneof(
    word.filter((text) => text !== ''),
    fc
      .tuple(fc.constantFrom('=', "'", "''", '"', ',', '\r\n', '\n', '+', '\t', '＝', '#end,'), word)
      .map((parts) => parts.join('')),
  ),
);

test('whatever an event holds comes back from both formats, once the quotes of CSV are taken away', async (t) => {
  const { db, append } = await openLog(t);
  await holds(
    fc.array(
      fc.record({
        message: anyCell,
        user_id: anyCell,
        room: anyCell,
        target_user_id: anyCell,
        word,
        ip: fc.constantFrom(null, '::1'),
      }),
      { minLength: 1, maxLength: 5 },
    ),
    async (made) => {
      const from = await append(
        made.map(({ word: reason, ...fields }) =>
          uncheckedEvent({ action: 'AUDIT_READ', ...fields }, JSON.stringify({ reason, [reason]: 1.5 })),
        ),
      );
      const range = { from, to: from + made.length };
      const expected = (await listEvents(db, {}, range, 'asc', 10)).events;
      const lines = textOf(await readPage(db, 'ndjson', {}, range)).split('\n');
      const fromJson = lines.slice(0, -1).map((line) => JSON.parse(line) as AuditEvent);
      const fromCsv = parseCsv(textOf(await readPage(db, 'csv', {}, range))).map(eventOf);
      for (const back of [fromJson, fromCsv]) {
        if (JSON.stringify(back) !== JSON.stringify(expected))
          throw new Error(`${JSON.stringify(back)} came back for ${JSON.stringify(expected)}`);
      }
    },
  );
});

test('no cell with text starts like a formula, and the one quote before it is all that differs', async (t) => {
  const { db, append } = await openLog(t);
  const starts = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠', "'"];
  const harmless = ['a=1', '1-1', ' =1', 'é', '"=1"', '', 'a\n=1'];
  const said = [...starts.map((start) => `${start}1+1`), ...harmless];
  await append(said.flatMap((message) => messages(1, { message })));
  const records = parseCsv(textOf(await readPage(db, 'csv', {}, EVERYTHING)));
  t.strictSame(
    records.map((record) => record[5]),
    said.map((message) => (harmless.includes(message) ? message : `'${message}`)),
  );
});

test('an empty text is quoted, and null is not', async (t) => {
  const { db, append } = await openLog(t);
  await append([...messages(1, { message: '' }), ...messages(1, { message: null })]);
  const lines = textOf(await readPage(db, 'csv', {}, EVERYTHING)).split('\r\n');
  t.match(lines[0], /,alice,"",lobby,,,/);
  t.match(lines[1], /,alice,,lobby,,,/);
});

test('the fields of an event stand in the order of its schema', async (t) => {
  const { db, append } = await openLog(t);
  await append(messages(1));
  const line = textOf(await readPage(db, 'ndjson', {}, EVERYTHING));
  t.strictSame(Object.keys(JSON.parse(line)), [...eventFields]);
});
