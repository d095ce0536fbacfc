import { query } from '../support/postgres.ts';

/** What must be none in the log of a server that was stopped in good order, and how to count it. */
const mustBeNone: Record<string, string> = {
  'numbers that are missing': 'select coalesce(max(seq) + 1, 0) - count(*) as count from audit_event',
  'numbers that no batch gave':
    'select (select count(*) from audit_event) - (select coalesce(sum(count), 0) from audit_batch) as count',
  'times that go back':
    'select count(*) from (select timestamp < lag(timestamp) over (order by seq) as back from audit_event) as pairs where back',
  'sessions without an end, or with two': `
    select count(*) from (
      select session_id from audit_event where action in ('CONNECTED', 'DISCONNECTED') group by session_id
      having count(*) filter (where action = 'CONNECTED') <> 1 or count(*) filter (where action = 'DISCONNECTED') <> 1
    ) as odd`,
  'sessions that are open still': 'select count(*) from chat_session',
  'streams without an end, or with two': `
    select count(*) from (
      select 1 from audit_event where action = 'AUDIT_STREAMED'
      group by coalesce(details->>'opened_seq', seq::text) having count(*) <> 2
    ) as odd`,
  'exports without an end, or with two': `
    select count(*) from (
      select 1 from audit_event where action = 'AUDIT_EXPORTED'
      group by coalesce(details->>'started_seq', seq::text) having count(*) <> 2
    ) as odd`,
  'exports and streams that failed': `
    select count(*) from audit_event
    where action in ('AUDIT_EXPORTED', 'AUDIT_STREAMED') and (details->>'outcome' = 'failed' or details->>'reason' = 'failed')`,
  'messages of sessions that were kicked before': `
    select count(*) from audit_event kick join audit_event said on said.session_id = kick.session_id and said.seq > kick.seq
    where kick.action = 'USER_KICKED' and said.action in ('MESSAGE_SENT', 'JOINED')`,
  'acts of users while they were banned': `
    with ban as (
      select action, target_user_id, seq, details,
        coalesce(lead(seq) over (partition by target_user_id order by seq), 9223372036854775807) as until
      from audit_event where action in ('USER_BANNED', 'USER_UNBANNED')
    )
    select count(*) from ban join audit_event act on act.user_id = ban.target_user_id
    where ban.action = 'USER_BANNED' and ban.details->>'until' is null and act.seq > ban.seq and act.seq < ban.until
      and act.action in ('CONNECTED', 'MESSAGE_SENT', 'JOINED')`,
  'refusals because of a fault of ours': `select count(*) from audit_event where details->>'code' = 'internal'`,
  'messages without words or a room': `select count(*) from audit_event where action = 'MESSAGE_SENT' and (coalesce(message, '') = '' or room is null)`,
  'messages of refused frames': `select count(*) from audit_event where action = 'MESSAGE_REFUSED' and message is not null`,
};

export type LogFacts = { events: number; faults: string[] };

/** Reads the log as it is in the database. @param acknowledged texts that somebody was told are on record, by seq */
export async function checkLog(
  databaseUrl: string,
  acknowledged: ReadonlyMap<number, string>,
): Promise<LogFacts> {
  const faults: string[] = [];
  for (const [what, statement] of Object.entries(mustBeNone)) {
    const [row] = await query<{ count: string }>(databaseUrl, statement);
    if (row?.count !== '0') faults.push(`in the log: ${row?.count} ${what}`);
  }
  const said = await query<{ seq: string; message: string }>(
    databaseUrl,
    `select seq, message from audit_event where user_id = 'guest' and action = 'MESSAGE_SENT'`,
  );
  const bySeq = new Map(said.map(({ seq, message }) => [Number(seq), message]));
  for (const [seq, text] of acknowledged) {
    if (bySeq.get(seq) !== text) faults.push(`“${text}” was acknowledged as ${seq} and is not there`);
  }
  const [total] = await query<{ count: string }>(databaseUrl, 'select count(*) from audit_event');
  return { events: Number(total?.count), faults };
}
