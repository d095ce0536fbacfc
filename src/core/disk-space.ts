const GIB = 1024 ** 3;

/** Bytes of a disk: what an ordinary process may still take, and the whole. */
export type DiskSpace = { free: number; size: number };

/**
 * Below this much free space a disk is short. At least 1 GiB, because Postgres lets its write-ahead log grow by
 * about that much between two checkpoints (`max_wal_size`). Else 5 % of the disk, but no more than 20 GiB, which
 * leaves time enough on disks of any size.
 */
export const shortBelow = ({ size }: DiskSpace): number => Math.max(1 * GIB, Math.min(0.05 * size, 20 * GIB));

/** A disk that was short is so until there is a tenth more, lest it go to and fro at the mark. */
const ENOUGH = 1.1;

/** Whether a disk is short of space, given whether it was. */
export const isShort = (space: DiskSpace, wasShort: boolean): boolean =>
  space.free < shortBelow(space) * (wasShort ? ENOUGH : 1);
