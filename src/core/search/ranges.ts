export type Order = 'asc' | 'desc';

/** A range of whole numbers: `from` inclusive, `to` exclusive. */
export type Range = { from: number; to: number };

/** The first part of a range, in the order asked. */
export const part = ({ from, to }: Range, order: Order, count: number): Range =>
  order === 'asc' ? { from, to: Math.min(to, from + count) } : { from: Math.max(from, to - count), to };

/** What remains of a range when its first part was looked at. */
export const rest = ({ from, to }: Range, looked: Range, order: Order): Range =>
  order === 'asc' ? { from: looked.to, to } : { from, to: looked.from };

/** What remains of a range when everything up to one of it was looked at, in the order asked. */
export const after = ({ from, to }: Range, last: number, order: Order): Range =>
  order === 'asc' ? { from: last + 1, to } : { from, to: last };
