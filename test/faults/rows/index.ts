import type { Row } from '../row.ts';
import { clients } from './clients.ts';
import { crash } from './crash.ts';
import { database } from './database.ts';
import { disk } from './disk.ts';
import { instances } from './instances.ts';
import { latency } from './latency.ts';
import { machine } from './machine.ts';
import { network } from './network.ts';
import { none } from './none.ts';
import { restore } from './restore.ts';
import { settings } from './settings.ts';

const all = [
  none,
  crash,
  database,
  network,
  latency,
  settings,
  restore,
  disk,
  machine,
  clients,
  instances,
].flat();

/** Every fault that is tried, in the order of their numbers. */
export const rows: readonly Row[] = all.toSorted((one, other) =>
  one.id.localeCompare(other.id, 'en', { numeric: true }),
);
