import fc from 'fast-check';
import { test } from 'tap';
import { type ExportFormat, exportFormats } from '../../src/core/actions.ts';
import { ExportWriter } from '../../src/core/export.ts';
import { ExportCheck, type ExportVerdict } from '../../src/core/export-check.ts';
import { pageOf } from '../support/export.ts';
import { eventAt } from '../support/log.ts';
import { anyText, holds } from '../support/property.ts';

function write(format: ExportFormat, messages: readonly string[]): Buffer {
  const writer = new ExportWriter(format);
  const events = messages.map((message, seq) => eventAt(seq, message));
  return Buffer.concat([writer.head(), ...writer.page(pageOf(events, format), 1_000), writer.end()]);
}

function check(format: ExportFormat, bytes: Uint8Array, pieceBytes = bytes.length): ExportVerdict {
  const verifier = new ExportCheck(format);
  for (let at = 0; at < bytes.length; at += pieceBytes) verifier.add(bytes.subarray(at, at + pieceBytes));
  return verifier.end();
}

const MESSAGES = ['hello', 'a "quote"', 'two\r\nlines', '#end,1,0,0,x', '{"end":true}\n', 'x'.repeat(2_000)];

test('a whole export is found whole, in whatever pieces it comes', async (t) => {
  for (const format of exportFormats) {
    for (const messages of [MESSAGES, [], ['one']]) {
      const bytes = write(format, messages);
      for (const size of [1, 7, 512, 513, 100_000]) {
        const verdict = check(format, bytes, size);
        t.match(verdict, { ok: true, trailer: { count: messages.length } }, `${format} by ${size}`);
      }
    }
  }
});

test('an export that is cut anywhere is found out', async (t) => {
  for (const format of exportFormats) {
    const bytes = write(format, MESSAGES);
    const passed = Array.from({ length: bytes.length }, (_, length) => length).filter(
      (length) => check(format, bytes.subarray(0, length)).ok,
    );
    t.strictSame(passed, [], format);
  }
});

test('an export in which one bit was changed is found out', async (t) => {
  for (const format of exportFormats) {
    const bytes = write(format, ['hello', 'world']);
    const passed: string[] = [];
    for (let at = 0; at < bytes.length; at += 1) {
      const changed = Buffer.from(bytes);
      changed[at] = (changed[at] ?? 0) ^ 1;
      if (check(format, changed).ok) passed.push(String.fromCharCode(bytes[at] ?? 0));
    }
    // The last line also names the first and the last seq, of which the hash is no proof.
    t.strictSame(passed, ['0', '1'], format);
  }
});

test('an export whose last line counts others than it holds is found out', async (t) => {
  for (const format of exportFormats) {
    const bytes = write(format, ['hello', 'world']).toString();
    const changed = bytes.replace('"count":2', '"count":3').replace('#end,2', '#end,3');
    t.match(check(format, Buffer.from(changed)), { ok: false, reason: 'it holds 2 events' });
  }
});

test('whatever is said, an export is whole, and without its last line it is not', async () => {
  const message = anyText().map((text) => text.replaceAll('\0', '').toWellFormed());
  await holds(fc.array(message, { maxLength: 5 }), (messages) => {
    for (const format of exportFormats) {
      const bytes = write(format, messages);
      if (!check(format, bytes).ok) throw new Error(`${format}: the whole one is not`);
      const cut = bytes.subarray(0, bytes.lastIndexOf(0x0a, -2) + 1);
      if (check(format, cut).ok) throw new Error(`${format}: the cut one is`);
    }
  });
});
