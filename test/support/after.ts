import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { stopPostmaster } from '../../db/embedded/postmaster.ts';
import { testPostgres } from './postgres.ts';

const { dataDir } = testPostgres();
if (dataDir !== undefined) {
  await stopPostmaster(join(dataDir, 'postgres'));
  await rm(dataDir, { recursive: true, force: true });
}
