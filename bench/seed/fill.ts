import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Db } from '../../db/client.ts';
import { BlockWriter } from './blocks.ts';
import { BATCH_COLUMNS, batchLine, EVENT_COLUMNS, eventLine } from './lines.ts';
import { SeedLog } from './log.ts';
import { Random } from './random.ts';

/** A new log holds its own beginning, and what a few starts of a server left. */
const MOST_BEFORE = 100;
/** Events of one commit. */
const PART = 50_000;
/** So much is handed to the socket at a time. */
const CHUNK_CHARACTERS = 64 * 1024;

/** This database cannot be seeded; the message says why. */
export class SeedError extends Error {}

export type FillOptions = {
  events: number;
  /** The same number makes the same events, but for the time they end at. */
  seed: number;
  /** Called after each commit, with how many events there are by now. */
  onProgress?: (done: number) => void;
};

type LogFacts = {
  /** The number that the next event gets. */
  next: number;
  /** When the newest event was; null when there is none. */
  newest: string | null;
  /** Of a partition, in events. */
  size: number;
  sessions: number;
  writers: number;
};

async function readFacts(client: Client): Promise<LogFacts> {
  const { rows } = await client.query<LogFacts>(`
    select coalesce(b.first_seq + b.count, 0)::float8 as next, b.timestamp::text as newest,
      l.partition_size::float8 as size,
      (select count(*) from public.chat_session)::float8 as sessions,
      (select count(*) from public.audit_writer where lease_until > clock_timestamp())::float8 as writers
    from public.audit_log l
      left join lateral (select * from public.audit_batch order by first_seq desc limit 1) b on true`);
  const [facts] = rows;
  if (facts === undefined) throw new SeedError('This database has no log.');
  return facts;
}

/** Refuses what is not a log that has only begun. */
function checkFresh({ next, sessions, writers }: LogFacts): void {
  if (next > MOST_BEFORE) {
    throw new SeedError(
      `This log holds ${next} events already. Only a new one can be filled, of ${MOST_BEFORE} at most.`,
    );
  }
  if (writers > 0 || sessions > 0) {
    throw new SeedError('A server runs on this database, or its sessions are open still. Stop it first.');
  }
}

/** Joins lines to pieces that are worth a call. */
function* chunks(lines: Iterable<string>): Generator<Buffer> {
  let text = '';
  for (const line of lines) {
    text += line;
    if (text.length < CHUNK_CHARACTERS) continue;
    yield Buffer.from(text);
    text = '';
  }
  if (text !== '') yield Buffer.from(text);
}

function* map<T>(items: Iterable<T>, line: (item: T) => string): Generator<string> {
  for (const item of items) yield line(item);
}

/** Lets all by, and shows each to somebody. */
function* shown<T>(items: Iterable<T>, show: (item: T) => void): Generator<T> {
  for (const item of items) {
    show(item);
    yield item;
  }
}

const copy = (client: Client, target: string, lines: Iterable<string>): Promise<void> =>
  pipeline(Readable.from(chunks(lines)), client.query(copyFrom(`copy public.${target} from stdin`)));

/**
 * Dates the events back that the log began with, for no event may be older than the one before, and what follows
 * happens in the past. Only the owner can, by switching off what refuses it, within the transaction.
 */
async function dateBack(client: Client, newest: string, start: string): Promise<void> {
  const shift = `($1::timestamptz - $2::timestamptz)`;
  for (const [table, times] of [
    ['audit_event', ['timestamp', 'occurred_at']],
    ['audit_batch', ['timestamp']],
  ] as const) {
    await client.query(`alter table public.${table} disable trigger audit_append_only`);
    const changes = times.map((time) => `${time} = ${time} + ${shift}`).join(', ');
    await client.query(`update public.${table} set ${changes}`, [start, newest]);
    await client.query(`alter table public.${table} enable trigger audit_append_only`);
  }
}

/**
 * Fills a new log with made-up events that end now, by COPY, some tens of thousands in each commit: the batches
 * first, which take the numbers, as the server does, then the events. The index of whole blocks is made from the
 * events as they go by, and written after their commit, while the next ones are made. Needs the rights of the owner.
 *
 * @param client for the log
 * @param db for its index
 * @throws SeedError when the log is not new, or a server runs on it
 */
export async function fill(client: Client, db: Db, { events, seed, onProgress }: FillOptions): Promise<void> {
  const facts = await readFacts(client);
  checkFresh(facts);
  const instance = `seed-${seed}`;
  const log = new SeedLog({
    events,
    instance,
    firstSeq: facts.next,
    end: Date.now() * 1_000,
    random: new Random(seed),
  });
  let blocks: BlockWriter | undefined;
  let written: Promise<void> = Promise.resolve();
  // The partition in use has two spare ones behind it, so that a part no larger than one always has room.
  const most = Math.min(PART, facts.size);
  let done = 0;
  for (let part = log.next(most); part !== undefined; part = log.next(most)) {
    await client.query('begin');
    if (done === 0 && facts.newest !== null) await dateBack(client, facts.newest, log.start);
    await copy(
      client,
      `audit_batch (${BATCH_COLUMNS})`,
      map(part.batches, (batch) => batchLine(instance, batch)),
    );
    blocks ??= await BlockWriter.begin(db, facts.next);
    const { add } = blocks;
    await copy(client, `audit_event (${EVENT_COLUMNS})`, map(shown(part.events(), add), eventLine));
    await client.query('commit');
    await client.query('select public.audit_make_partitions()');
    await written;
    written = blocks.write();
    // Awaited after the next part; until then it may fail without a word.
    written.catch(() => {});
    done += part.batches.reduce((sum, { count }) => sum + count, 0);
    onProgress?.(done);
  }
  await written;
}

/** What a database does by itself after a while, done now, so that it does not come in between. */
export async function settle(client: Client): Promise<void> {
  await client.query(
    'vacuum (analyze) public.audit_event, public.audit_batch, public.audit_posting, public.audit_gram',
  );
}
