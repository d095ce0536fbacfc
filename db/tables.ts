import type { ColumnType } from 'kysely';

/** A bigint column: pg reads it as text; our `seq` fits a JavaScript integer for thousands of years. */
type Bigint = ColumnType<string, number, number>;
/** A timestamptz column; always read through `utc()`, never as a Date, which has no microseconds. */
type Instant = ColumnType<Date, string, never>;

export type AuditLogTable = {
  /** Always true: the table has one row. */
  only_row: boolean;
  epoch: string;
  first_seq: Bigint;
  cursor_key: Buffer;
  partition_size: Bigint;
  partitioned_to: Bigint;
  system_identifier: Bigint | null;
  database_oid: number | null;
  timeline: number | null;
};

export type AuditWriterTable = {
  id: string;
  term: Bigint;
  lease_until: Instant;
  held_since: Instant;
  lost: boolean;
};

export type AuditBatchTable = {
  first_seq: Bigint;
  count: number;
  timestamp: Instant;
  writer: string;
  number: Bigint;
};

export type AuditEventTable = {
  seq: Bigint;
  timestamp: Instant;
  occurred_at: Instant;
  action: string;
  user_id: string | null;
  message: string | null;
  room: string | null;
  session_id: string | null;
  target_user_id: string | null;
  instance: string;
  ip: string | null;
  erased_by: Bigint | null;
  details: unknown | null;
};

export type ChatSessionTable = {
  session_id: string;
  user_id: string;
  instance: string;
  connected_seq: Bigint;
  connected_at: Instant;
  ip: string | null;
};

export type ChatSessionRoomTable = { session_id: string; room: string; joined_seq: Bigint };

export type ChatBanTable = {
  user_id: string;
  reason: string;
  until: Instant | null;
  banned_by: string | null;
  banned_seq: Bigint;
  banned_at: Instant;
};

export type ChatKickTable = { session_id: string; kicked_seq: Bigint };

export type AuditIndexTable = { only_row: boolean; next_block: number };

export type AuditPostingTable = {
  block: number;
  count: number;
  field: number;
  actions: Bigint;
  rooms: Bigint;
  value: string;
  list: Buffer;
};

/** `bits` reads as text of 0 and 1. */
export type AuditGramTable = { block: number; part: number; bits: string };

export type Database = {
  audit_log: AuditLogTable;
  audit_writer: AuditWriterTable;
  audit_batch: AuditBatchTable;
  audit_event: AuditEventTable;
  chat_session: ChatSessionTable;
  chat_session_room: ChatSessionRoomTable;
  chat_ban: ChatBanTable;
  chat_kick: ChatKickTable;
  audit_index: AuditIndexTable;
  audit_posting: AuditPostingTable;
  audit_gram: AuditGramTable;
};
