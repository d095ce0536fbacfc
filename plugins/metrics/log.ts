import type { FastifyInstance } from 'fastify';
import { readLogSize } from '../../db/log-size.ts';
import { type Action, actionNames } from '../../src/core/actions.ts';
import { appendFailures } from '../../src/core/commit-batch.ts';
import { Sampled } from '../../src/core/sampled.ts';
import type { Instruments } from './instruments.ts';

/** The size of the log is asked for at most so often, and a scrape waits no longer than this for it. */
const SIZE_EVERY_MS = 30_000;
const SIZE_PATIENCE_MS = 250;

const BATCH_BUCKETS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const COMMIT_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** Zero for every name of a closed list, so that a series is there before its first event. */
const zeros = <Name extends string>(names: readonly Name[]): Record<Name, number> =>
  Object.fromEntries(names.map((name) => [name, 0])) as Record<Name, number>;

const byName = (label: string, counts: Record<string, number>) => () =>
  Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }));

/**
 * The numbers of the log: what was written, what waits, how far it is read, and how much of it there is.
 *
 * @returns brings the numbers up to date that the database alone knows; never waits long, never rejects
 */
export function measureLog(fastify: FastifyInstance, instruments: Instruments): () => Promise<void> {
  const { audit, database, durability, tail, disk } = fastify;

  // ---- what was written, told batch by batch

  const recorded = zeros<Action>(actionNames);
  const failures = zeros(appendFailures);
  /** The number after the last event that this instance has committed. */
  let committed = 0;
  const observeBatch = instruments.histogram(
    'minutebook_batch_events',
    'Events per batch that this instance has committed.',
    BATCH_BUCKETS,
  );
  const observeCommit = instruments.histogram(
    'minutebook_commit_seconds',
    'From sending a batch to the database until it is known to be durable.',
    COMMIT_BUCKETS,
  );
  audit.onCommit((events) => {
    for (const { action } of events) recorded[action as Action] += 1;
    observeBatch(events.length);
    committed = (events.at(-1)?.seq ?? -1) + 1;
  });
  audit.onNewEpoch(() => {
    committed = 0;
  });
  audit.onAttempt(({ ms, failure }) => {
    if (failure === null) observeCommit(ms / 1_000);
    else failures[failure] += 1;
  });
  instruments.counters(
    'minutebook_events_recorded_total',
    'Events that this instance has put on record.',
    ['action'],
    byName('action', recorded),
  );
  instruments.counters(
    'minutebook_commit_failures_total',
    'Attempts to commit a batch that failed, by what followed (ARCHITECTURE.md).',
    ['kind'],
    byName('kind', failures),
  );

  // ---- what waits

  const seconds = (ms: number): number => ms / 1_000;
  instruments.gauge('minutebook_log_writable', '1 while nothing tells that the log cannot be written.', () =>
    audit.isTroubled() ? 0 : 1,
  );
  instruments.gauge(
    'minutebook_log_durable',
    '1 while the database is not known to lose what it commits in a crash; at most 5 s old.',
    () => Number(durability.isGiven()),
  );
  instruments.gauge(
    'minutebook_queue_events',
    'Events that wait for their batch.',
    () => audit.stats().queuedEvents,
  );
  instruments.gauge(
    'minutebook_queue_bytes',
    'Bytes of the events that wait for their batch.',
    () => audit.stats().queuedBytes,
  );
  instruments.counter(
    'minutebook_queue_refused_total',
    'Events refused as overloaded because the queue was full.',
    () => audit.stats().queueRefused,
  );
  instruments.gauge(
    'minutebook_queue_oldest_seconds',
    'How long the oldest unanswered event has waited, queued or in the batch under way.',
    () => seconds(audit.stats().oldestWaitMs),
  );
  instruments.gauge(
    'minutebook_lease_left_seconds',
    'How long this instance may write without another renewal of its lease.',
    () => seconds(audit.stats().leaseLeftMs),
  );
  instruments.gauge('minutebook_lease_held', '1 while this instance may write.', () =>
    audit.stats().leaseLeftMs > 0 ? 1 : 0,
  );

  // ---- how far it is read

  const size = new Sampled({
    read: () => readLogSize(database.read),
    everyMs: SIZE_EVERY_MS,
    patienceMs: SIZE_PATIENCE_MS,
    onError: (error) =>
      fastify.log.warn({ code: (error as { code?: string }).code }, 'the size of the log cannot be read'),
  });
  /** The number after the last event that is known to be committed, by whichever instance. */
  const head = (): number => Math.max(tail.next, committed, size.value?.nextSeq ?? 0);
  instruments.gauge(
    'minutebook_tail_next_seq',
    'The number of the next event to be delivered.',
    () => tail.next,
  );
  instruments.gauge(
    'minutebook_tail_lag_events',
    'Events known to be committed and not delivered yet.',
    () => head() - tail.next,
  );
  instruments.gauge(
    'minutebook_tail_read_age_seconds',
    'How long ago the database last answered the tail, which asks twice a second.',
    () => seconds(tail.readAgeMs),
  );
  instruments.gauge(
    'minutebook_index_lag_events',
    'Events that are not indexed yet, at most 30 s ago: fewer than 16,384 where all is well, and read as they are.',
    () => (size.value === undefined ? undefined : size.value.nextSeq - size.value.indexedTo),
  );
  instruments.gauge('minutebook_tail_subscriptions', 'Followers of the log.', () => tail.subscriptions);

  // ---- how much there is

  instruments.gauge(
    'minutebook_log_next_seq',
    'The number that the next event will get, as far as known.',
    head,
  );
  instruments.gauge(
    'minutebook_log_bytes',
    'The log on disk, with its indexes; at most 30 s old, and as last known while the database is away.',
    () => size.value?.bytes,
  );
  instruments.gauge(
    'minutebook_log_spare_partitions',
    'Partitions beyond the one in use; without one, nothing can be written past it.',
    () => audit.stats().sparePartitions,
  );
  instruments.gauge(
    'minutebook_disk_free_bytes',
    'Free on the disk of the embedded Postgres.',
    () => disk.space()?.free,
  );
  instruments.gauge(
    'minutebook_disk_size_bytes',
    'The size of the disk of the embedded Postgres.',
    () => disk.space()?.size,
  );
  instruments.gauge('minutebook_disk_short', '1 while that disk runs short, as readiness warns.', () =>
    disk.space() === undefined ? undefined : Number(disk.isShort()),
  );

  return () => size.refresh();
}
