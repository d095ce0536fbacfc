import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { CodedError } from './errors.ts';

/** Where a walk through pages stands. */
export type Cursor = {
  /** The log that the walk is in. */
  epoch: string;
  order: 'asc' | 'desc';
  /** `filterKey` of the filters as given. */
  filters: string;
  /** asc: everything up to here was seen; desc: everything from here on was seen. */
  seq: number;
  /** The interval as the first page resolved it, so that `-15m` means the same on every page. */
  from?: string | undefined;
  to?: string | undefined;
  /** asc: the last seq when the walk began, which `has_more` is relative to; absent once it was reached. */
  head?: number | undefined;
};

type Wire = [1, string, 'a' | 'd', string, number, string | null, string | null, number | null];
const MAC_BYTES = 16;

const mac = (key: Buffer, payload: string): Buffer =>
  createHmac('sha256', key).update(payload).digest().subarray(0, MAC_BYTES);

/** Names a set of filters: the same for the same names and values in any order of the names. */
export function filterKey(query: Record<string, unknown>): string {
  const pairs = Object.entries(query)
    .filter(([, value]) => value !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(pairs)).digest('base64url').slice(0, 22);
}

/** Encodes a cursor as URL-safe text that only a holder of the key can make. */
export function encodeCursor(key: Buffer, cursor: Cursor): string {
  const wire: Wire = [
    1,
    cursor.epoch,
    cursor.order === 'asc' ? 'a' : 'd',
    cursor.filters,
    cursor.seq,
    cursor.from ?? null,
    cursor.to ?? null,
    cursor.head ?? null,
  ];
  const payload = Buffer.from(JSON.stringify(wire)).toString('base64url');
  return `${payload}.${mac(key, payload).toString('base64url')}`;
}

/** Refuses a cursor of another history. @throws CodedError `invalid_cursor` */
export function checkEpoch(cursor: Pick<Cursor, 'epoch'>, epoch: string): void {
  if (cursor.epoch === epoch) return;
  throw new CodedError(
    'invalid_cursor',
    'The cursor belongs to another history of this log (its epoch changed); start again without it.',
    { parameter: 'cursor' },
  );
}

/**
 * Reads a cursor and checks that it belongs to this log, order and filter.
 *
 * @throws CodedError `invalid_cursor`
 */
export function decodeCursor(
  key: Buffer,
  text: string,
  expected: { epoch: string; order: 'asc' | 'desc'; filters: string },
): Cursor {
  const refuse = (message: string): never => {
    throw new CodedError('invalid_cursor', message, { parameter: 'cursor' });
  };
  const [payload = '', given = '', ...rest] = text.split('.');
  const expectedMac = Buffer.from(mac(key, payload).toString('base64url'));
  const givenMac = Buffer.from(given);
  const same =
    rest.length === 0 && givenMac.length === expectedMac.length && timingSafeEqual(givenMac, expectedMac);
  if (!same) refuse('The cursor was not made by this log, or was changed.');
  const [, epoch, order, filters, seq, from, to, head] = JSON.parse(
    Buffer.from(payload, 'base64url').toString(),
  ) as Wire;
  checkEpoch({ epoch }, expected.epoch);
  if ((order === 'a' ? 'asc' : 'desc') !== expected.order)
    refuse('The cursor was made with another “order”.');
  if (filters !== expected.filters) refuse('The cursor was made with other filters.');
  return {
    epoch,
    order: expected.order,
    filters,
    seq,
    from: from ?? undefined,
    to: to ?? undefined,
    head: head ?? undefined,
  };
}
