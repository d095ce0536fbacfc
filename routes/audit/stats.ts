import type { FastifyInstance, FastifyRequest } from 'fastify';
import { readLogState } from '../../db/events.ts';
import { read } from '../../db/read.ts';
import { countByTime, countByValue, type Interval, intervalOf } from '../../db/stats.ts';
import { CodedError } from '../../src/core/errors.ts';
import { checkInterval, parseFilter } from '../../src/core/filter.ts';
import type { Stats, StatsQuery } from '../../src/core/schemas.ts';
import { wholeRange } from './page.ts';
import { recordRead } from './record-read.ts';

const BUCKETS = 60;
const VALUES = 10;

/** Counts what matches, over time or by value, and records the read. */
export async function readStats(
  { audit, database }: FastifyInstance,
  request: FastifyRequest,
): Promise<Stats> {
  const given = request.query as StatsQuery;
  const { group_by, buckets, limit, ...query } = given;
  const stray = group_by === 'time' ? 'limit' : 'buckets';
  if (given[stray] !== undefined) {
    const message = `“${stray}” means nothing with group_by=${group_by}.`;
    throw new CodedError('invalid_parameter', message, { parameter: stray });
  }
  const filter = parseFilter(query);
  const state = await read(readLogState(database.read, filter));
  checkInterval(state.from, state.to);
  const range = wholeRange(state);
  let stats: Stats;
  if (group_by === 'time') {
    const interval = await read(intervalOf(database.read, range, state));
    checkParts(interval, state);
    const counts = await read(countByTime(database.read, filter, range, interval, buckets ?? BUCKETS));
    stats = { ...counts, ...interval };
  } else {
    const counts = await read(countByValue(database.read, filter, range, group_by, limit ?? VALUES));
    const { from, to } = state;
    stats = { ...counts, ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) };
  }
  const asked = Object.entries(given).filter(([, value]) => value !== undefined);
  const filters = Object.fromEntries(
    asked.map(([name, value]) => [name, typeof value === 'number' ? String(value) : value]),
  );
  await recordRead(audit, request, '/audit/stats', filters, stats.data.length);
  return stats;
}

/** Refuses an interval of which the bound that was not given leaves nothing to cut. */
function checkParts({ from, to }: Interval, asked: Partial<Interval>): void {
  if (from < to) return;
  if (asked.from === undefined) {
    const message =
      '“to” must be after the first event that is kept: without “from”, the interval begins there.';
    throw new CodedError('invalid_parameter', message, { parameter: 'to' });
  }
  const message = '“from” must be before now: without “to”, the interval ends there.';
  throw new CodedError('invalid_parameter', message, { parameter: 'from' });
}
