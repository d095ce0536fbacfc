import type { Migration } from 'kysely/migration';
import * as auditLog from './0001_audit_log.ts';
import * as instances from './0002_instances.ts';
import * as tickets from './0003_tickets.ts';
import * as moderation from './0004_moderation.ts';
import * as searchIndex from './0005_search_index.ts';
import * as bansWithinABatch from './0006_bans_within_a_batch.ts';
import * as indexCounts from './0007_index_counts.ts';

/** Every migration, by name; applied in the order of the names. Forward only: a back-up is the way back. */
export const migrations: Record<string, Migration> = {
  '0001_audit_log': auditLog,
  '0002_instances': instances,
  '0003_tickets': tickets,
  '0004_moderation': moderation,
  '0005_search_index': searchIndex,
  '0006_bans_within_a_batch': bansWithinABatch,
  '0007_index_counts': indexCounts,
};
