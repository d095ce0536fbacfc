import type { Random } from '../../bench/seed/random.ts';
import { parseFilter } from '../../src/core/filter.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { Candidate, compileFilter } from '../../src/core/search/matcher.ts';

/** Filters that are good, as query strings, of what is in the log and of what is not. */
const filters = [
  '',
  'room=lobby',
  'room=r%C3%A9',
  'action=MESSAGE_SENT&action=JOINED',
  'action=USER_BANNED',
  'user_id=fuzz-0',
  'user_id=fuzz-1&user_id=fuzz-2&room=trading',
  'involves=fuzz-3',
  'target_user_id=fuzz-0',
  'ip=127.0.0.10&action=CONNECTED',
  'session_id=0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
  'q=HELLO',
  'q=caf%C3%A9',
  'q=%F0%9F%98%80&room=lobby',
  'q=a&user_id=fuzz-0',
  'q=nobody%20says%20this',
];

export const filterOf = (random: Random): string => random.pick(filters);

/** How many of these events a filter does not match, whose interval is not looked at. */
export function strangers(query: string, events: readonly AuditEvent[]): number {
  const given: Record<string, string | string[]> = {};
  for (const [name, value] of new URLSearchParams(query)) {
    if (name !== 'action' && name !== 'user_id') given[name] = value;
    else given[name] = [...(given[name] ?? []), value];
  }
  const { matches } = compileFilter(parseFilter(given as Parameters<typeof parseFilter>[0]));
  return events.filter((event) => !matches(new Candidate(event))).length;
}
