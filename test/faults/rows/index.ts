import type { Row } from '../row.ts';
import { crash } from './crash.ts';
import { database } from './database.ts';
import { disk } from './disk.ts';
import { network } from './network.ts';
import { none } from './none.ts';

/** Every fault that is tried. */
export const rows: readonly Row[] = [none, ...crash, ...database, ...network, ...disk];
