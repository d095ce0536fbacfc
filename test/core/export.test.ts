import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { test } from 'tap';
import { eventFields } from '../../src/core/event-fields.ts';
import { ExportWriter } from '../../src/core/export.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { parseCsv } from '../support/csv.ts';
import { eventAt, eventsBetween } from '../support/log.ts';
import { anyText, holds } from '../support/property.ts';

const PIECE = 1_000;

/** A whole export, and all of it but its last line. */
function write(format: 'ndjson' | 'csv', events: readonly AuditEvent[]): { text: string; before: string } {
  const writer = new ExportWriter(format);
  const before = Buffer.concat([writer.head(), ...writer.events(events, PIECE)]).toString();
  return { text: before + writer.end().toString(), before };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** What a reader of the documentation does with a cell that holds text. */
const undo = (cell: string): string => (cell.startsWith("'") ? cell.slice(1) : cell);

/** An event read back from a record of the CSV. */
function eventOf(record: readonly string[]): Record<string, unknown> {
  const cells = eventFields.map((column, index) => {
    const cell = record[index] ?? '';
    if (cell === '') return [column, null];
    if (column === 'seq' || column === 'erased_by') return [column, Number(cell)];
    return [column, column === 'details' ? JSON.parse(undo(cell)) : undo(cell)];
  });
  return Object.fromEntries(cells);
}

test('NDJSON is an event a line, and a last line that names how many, which, and the hash of all before', async (t) => {
  const events = eventsBetween(7, 10);
  const { text, before } = write('ndjson', events);
  t.equal(before, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const last = `{"end":true,"count":3,"first_seq":7,"last_seq":9,"sha256":"${sha256(before)}"}\n`;
  t.equal(text, before + last);
});

test('CSV is a header, a record an event, and a last record as wide as the others', async (t) => {
  const { text, before } = write('csv', [{ ...eventAt(7), details: { reason: 'a "b", c' } }]);
  t.equal(
    before,
    'seq,timestamp,occurred_at,action,user_id,message,room,session_id,target_user_id,instance,ip,erased_by,details\r\n' +
      '7,2026-11-22T09:30:00.123456Z,1970-01-01T00:00:00.000000Z,MESSAGE_SENT,alice,7,lobby,,,test,,,' +
      '"{""reason"":""a \\""b\\"", c""}"\r\n',
  );
  t.equal(text, `${before}#end,1,7,7,${sha256(before)},,,,,,,,\r\n`);
  t.strictSame(
    parseCsv(text).map(({ length }) => length),
    [13, 13, 13],
  );
});

test('an export of nothing is as whole as any other', async (t) => {
  const empty = sha256('');
  t.equal(
    write('ndjson', []).text,
    `{"end":true,"count":0,"first_seq":null,"last_seq":null,"sha256":"${empty}"}\n`,
  );
  const { text, before } = write('csv', []);
  t.equal(text, `${before}#end,0,,,${sha256(before)},,,,,,,,\r\n`);
});

test('no cell with text starts like a formula, and the one quote before it is all that differs', async (t) => {
  for (const start of ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠', "'"]) {
    const message = `${start}1+1`;
    const [, record = []] = parseCsv(write('csv', [eventAt(1, message)]).text);
    t.equal(record[5], `'${message}`, JSON.stringify(start));
  }
  for (const message of ['a=1', '1-1', ' =1', 'é', '"=1"', '']) {
    const [, record = []] = parseCsv(write('csv', [eventAt(1, message)]).text);
    t.equal(record[5], message, JSON.stringify(message));
  }
});

const word = anyText(20).map((text) => text.replaceAll('\0', '').toWellFormed());
const cell = fc.option(
  fc.oneof(
    word.filter((text) => text !== ''),
    fc
      .tuple(fc.constantFrom('=', "'", "''", '"', ',', '\r\n', '\n', '+', '#end,'), word)
      .map((parts) => parts.join('')),
  ),
);

test('whatever an event holds comes back from the CSV, once the quotes are taken away as documented', async () => {
  await holds(
    fc.array(
      fc.record({
        seq: fc.nat(),
        message: cell,
        user_id: cell,
        room: cell,
        erased_by: fc.option(fc.nat()),
        word,
      }),
      { maxLength: 5 },
    ),
    (made) => {
      const events = made.map(({ word: reason, ...fields }) => ({
        ...eventAt(0),
        ...fields,
        details: { reason },
      }));
      const [header, ...records] = parseCsv(write('csv', events).text);
      if (header?.join() !== eventFields.join()) throw new Error('the header is another');
      if (records.pop()?.[0] !== '#end') throw new Error('the last record is another');
      const back = JSON.stringify(records.map(eventOf));
      if (back !== JSON.stringify(events)) throw new Error(`${back} came back`);
    },
  );
});

test('pieces are no larger than asked for by more than one event, and all of them are all', async (t) => {
  const events = Array.from({ length: 50 }, (_, seq) => eventAt(seq, 'é'.repeat(100)));
  const writer = new ExportWriter('ndjson');
  const pieces = [...writer.events(events, PIECE)];
  t.ok(pieces.length > 10);
  t.ok(pieces.every(({ length }) => length < 2 * PIECE));
  t.equal(writer.count, 50);
});
