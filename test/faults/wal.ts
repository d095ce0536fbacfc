import { basename } from 'node:path';
import type { Call } from './trace.ts';

/** strace -xx -y prints all text in hex, the paths of files as well. */
const FILE = /^\d+<((?:\\x[0-9a-f]{2})+)>/;
const WRITTEN = /, "((?:\\x[0-9a-f]{2})*)", \d+, (\d+)$/;
const WAL_FILE = /\/pg_wal\/[0-9A-F]{24}$/;
const PAGE = 8_192;
/** XLogLongPageHeaderData stands on the first page of a segment, XLogPageHeaderData on the others. */
const LONG_HEADER = 40;
const HEADER = 24;
/** Where XLogPageHeaderData says how many bytes of a record from the page before come first. */
const REMAINING_AT = 16;
/** XLogRecord: length, transaction, previous record, flags, resource manager, checksum. */
const RECORD_HEADER = 24;
const TRANSACTION_AT = 4;
const FLAGS_AT = 16;
const MANAGER_AT = 17;
const RM_XACT = 1;
const XACT_OPMASK = 0x70;
const XACT_COMMIT = 0x00;

const decode = (hex: string): Buffer => Buffer.from(hex.replaceAll('\\x', ''), 'hex');
const aligned = (at: number): number => Math.ceil(at / 8) * 8;

/** A system call on a file of the WAL; undefined on any other. */
function walFileOf({ words }: Call): string | undefined {
  const path = decode(FILE.exec(words)?.[1] ?? '').toString();
  return WAL_FILE.test(path) ? basename(path) : undefined;
}

/** The transactions whose whole commit record is on these pages, which begin at an offset of their file. */
export function commitsOn(pages: Buffer, offset: number): number[] {
  const parts: Buffer[] = [];
  for (let start = 0; start < pages.length; start += PAGE) {
    parts.push(pages.subarray(start + (offset + start === 0 ? LONG_HEADER : HEADER), start + PAGE));
  }
  const records = Buffer.concat(parts);
  const commits: number[] = [];
  for (let at = aligned(pages.readUInt32LE(REMAINING_AT)); at + RECORD_HEADER <= records.length; ) {
    const length = records.readUInt32LE(at);
    if (length < RECORD_HEADER || at + length > records.length) break;
    const operation = records.readUInt8(at + FLAGS_AT) & XACT_OPMASK;
    if (records.readUInt8(at + MANAGER_AT) === RM_XACT && operation === XACT_COMMIT) {
      commits.push(records.readUInt32LE(at + TRANSACTION_AT));
    }
    at = aligned(at + length);
  }
  return commits;
}

/**
 * When each transaction was durable, by the system calls of all of Postgres: its commit record was written to the
 * WAL, and after that a whole fdatasync of that file came and went. One without is missing.
 */
export function durableTimes(calls: readonly Call[]): Map<number, number> {
  const onWal = calls
    .flatMap((call) => {
      const file = call.result < 0 ? undefined : walFileOf(call);
      return file === undefined ? [] : [{ ...call, file }];
    })
    .sort((one, other) => one.endedAt - other.endedAt);
  /** What was written so far, by file and page: a record may go on from a page that was written before. */
  const written = new Map<string, Buffer>();
  const times = new Map<number, number>();
  for (const { name, words, file, result, endedAt } of onWal) {
    if (name !== 'pwrite64') continue;
    const [, hex = '', at = ''] = WRITTEN.exec(words) ?? [];
    const offset = Number(at);
    const pages = decode(hex).subarray(0, result);
    const before = written.get(`${file} ${offset - PAGE}`);
    for (let start = 0; start < pages.length; start += PAGE) {
      written.set(`${file} ${offset + start}`, pages.subarray(start, start + PAGE));
    }
    const covering = onWal.filter(
      (sync) => sync.name === 'fdatasync' && sync.file === file && sync.startedAt >= endedAt,
    );
    if (covering.length === 0) continue;
    const durableAt = Math.min(...covering.map((sync) => sync.endedAt));
    const [whole, from] =
      before === undefined ? [pages, offset] : [Buffer.concat([before, pages]), offset - PAGE];
    for (const transaction of commitsOn(whole, from)) {
      times.set(transaction, Math.min(durableAt, times.get(transaction) ?? durableAt));
    }
  }
  return times;
}
