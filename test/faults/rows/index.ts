import type { Row } from '../row.ts';
import { none } from './none.ts';

/** Every fault that is tried, in the order of the matrix. */
export const rows: readonly Row[] = [none];
