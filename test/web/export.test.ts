import { test } from 'tap';
import { type ExportFormat, exportFormats } from '../../src/core/actions.ts';
import { ExportWriter } from '../../src/core/export.ts';
import {
  bytesWords,
  CutError,
  nameIn,
  type Progress,
  type Sink,
  saveExport,
} from '../../web/console/export/save.ts';
import { pageOf } from '../support/export.ts';
import { eventAt } from '../support/log.ts';

/** A file that is only remembered. */
class Remembered implements Sink {
  written: Uint8Array[] = [];
  end = 'open';
  async write(chunk: Uint8Array): Promise<void> {
    this.written.push(chunk);
  }
  async close(name: string): Promise<void> {
    this.end = name;
  }
  async abort(): Promise<void> {
    this.end = 'aborted';
  }
}

function exported(format: ExportFormat): Uint8Array<ArrayBuffer> {
  const writer = new ExportWriter(format);
  const events = Array.from({ length: 200 }, (_, seq) => eventAt(seq, `a "quote",\r\nand ${seq}`));
  return Uint8Array.from(
    Buffer.concat([writer.head(), ...writer.page(pageOf(events, format), 1_000), writer.end()]),
  );
}

const headers = new Headers({ 'content-disposition': 'attachment; filename="minutebook-0-199.ndjson"' });

/** An answer in pieces, which then ends or breaks. */
function answer(bytes: Uint8Array<ArrayBuffer>, breaks = false): Pick<Response, 'body' | 'headers'> {
  let at = 0;
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    pull(controller) {
      const piece = bytes.subarray(at, at + 700);
      at += piece.length;
      if (piece.length > 0) controller.enqueue(piece);
      else if (breaks) controller.error(new TypeError('network error'));
      else controller.close();
    },
  });
  return { body, headers };
}

const options = (onProgress: (is: Progress) => void = () => {}, signal = new AbortController().signal) => ({
  name: 'given.ndjson',
  signal,
  onProgress,
});

test('an export that is whole becomes a file, and its last line is told', async (t) => {
  for (const format of exportFormats) {
    const bytes = exported(format);
    const sink = new Remembered();
    const seen: Progress[] = [];
    const told = await saveExport(
      answer(bytes),
      format,
      sink,
      options((is) => seen.push(is)),
    );
    t.match(told, { count: 200, first_seq: 0, last_seq: 199, sha256: /^[0-9a-f]{64}$/, bytes: bytes.length });
    t.equal(sink.end, 'minutebook-0-199.ndjson', 'by the name that the server gives it');
    t.strictSame(Buffer.concat(sink.written), Buffer.from(bytes), 'byte for byte');
    t.ok(
      seen.length > 10 && seen.every(({ events }, at) => at === 0 || events >= (seen[at - 1]?.events ?? 0)),
    );
    t.ok((seen.at(-1)?.events ?? 0) > 190, 'progress is counted in events');
  }
});

test('an export that is cut is no file, whether the connection breaks or ends', async (t) => {
  for (const format of exportFormats) {
    const bytes = exported(format);
    for (const [cut, breaks] of [
      [bytes.length, true],
      [bytes.length - 1, false],
      [bytes.lastIndexOf(0x0a, -2) + 1, false],
      [0, false],
    ] as const) {
      const sink = new Remembered();
      const saved = saveExport(answer(bytes.subarray(0, cut), breaks), format, sink, options());
      await t.rejects(saved, CutError, `${format} ${cut}`);
      t.equal(sink.end, 'aborted');
    }
  }
});

test('one that is cancelled is no file either, and is not called cut', async (t) => {
  const controller = new AbortController();
  const sink = new Remembered();
  const saved = saveExport(
    answer(exported('csv')),
    'csv',
    sink,
    options(() => controller.abort(), controller.signal),
  );
  await t.rejects(saved, { name: 'AbortError' });
  t.equal(sink.end, 'aborted');
});

test('a file that cannot be written is told as such', async (t) => {
  const full = Object.assign(new Remembered(), { write: () => Promise.reject(new Error('disk full')) });
  await t.rejects(saveExport(answer(exported('csv')), 'csv', full, options()), { message: 'disk full' });
  t.equal(full.end, 'aborted');
});

test('names and sizes', async (t) => {
  t.equal(nameIn('attachment; filename="minutebook-0-9.csv"'), 'minutebook-0-9.csv');
  t.equal(nameIn('attachment; filename="../x"'), undefined);
  t.equal(nameIn(null), undefined);
  t.strictSame([0, 999, 1_000, 1_234_567].map(bytesWords), ['0 bytes', '999 bytes', '1.0 kB', '1.2 MB']);
});
