import { createHash } from 'node:crypto';
import { test } from 'tap';
import { eventFields } from '../../src/core/event-fields.ts';
import { type ExportPage, ExportWriter } from '../../src/core/export.ts';
import { AuditEvent } from '../../src/core/schemas.ts';
import { parseCsv } from '../support/csv.ts';
import { pageOf } from '../support/export.ts';
import { eventsBetween } from '../support/log.ts';

const PIECE = 1_000;

/** A whole export, and all of it but its last line. */
function write(format: 'ndjson' | 'csv', pages: readonly ExportPage[]): { text: string; before: string } {
  const writer = new ExportWriter(format);
  const before = Buffer.concat([
    writer.head(),
    ...pages.flatMap((page) => [...writer.page(page, PIECE)]),
  ]).toString();
  return { text: before + writer.end().toString(), before };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

test('the fields are those of an event’s schema, in its order', async (t) => {
  t.strictSame([...eventFields], Object.keys(AuditEvent.properties));
});

test('NDJSON is the lines of its pages, and a last one that names how many, which, and the hash of all before', async (t) => {
  const events = eventsBetween(7, 10);
  const { text, before } = write('ndjson', [pageOf(events.slice(0, 2)), pageOf([]), pageOf(events.slice(2))]);
  t.equal(before, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  const last = `{"end":true,"count":3,"first_seq":7,"last_seq":9,"sha256":"${sha256(before)}"}\n`;
  t.equal(text, before + last);
});

test('CSV is a header, the records of its pages, and a last record as wide as the others', async (t) => {
  const page = { bytes: Buffer.from('7,,,,,,,,,,,,\r\n'), count: 1, firstSeq: 7, lastSeq: 7 };
  const { text, before } = write('csv', [page]);
  t.equal(
    before,
    'seq,timestamp,occurred_at,action,user_id,message,room,session_id,target_user_id,instance,ip,erased_by,details\r\n' +
      '7,,,,,,,,,,,,\r\n',
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

test('pieces are as large as asked for, but for the last, and all of them are all', async (t) => {
  const page = pageOf(eventsBetween(0, 50));
  const writer = new ExportWriter('ndjson');
  const pieces = [...writer.page(page, PIECE)];
  t.ok(pieces.length > 5);
  t.ok(pieces.slice(0, -1).every(({ length }) => length === PIECE));
  t.ok(Buffer.concat(pieces).equals(page.bytes));
  t.equal(writer.count, 50);
});
