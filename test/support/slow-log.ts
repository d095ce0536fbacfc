import type { TestApp } from './app.ts';
import { query } from './postgres.ts';

/** Makes it take so many seconds to read what the user `slow` did; a view stands in for a log of billions. */
export async function makeSlow({ app, databaseUrl }: TestApp, seconds: number): Promise<void> {
  await app.audit.record({ action: 'LEFT', room: 'lobby', user_id: 'slow' });
  await query(
    databaseUrl,
    `alter table audit_event rename to fast_event; create view audit_event as select * from fast_event
     where pg_sleep(case user_id when 'slow' then ${seconds} else 0 end) is not null`,
  );
}

/** Reads what takes long. */
export const readSlowly = async ({ url, token }: TestApp, user: string): Promise<Response> =>
  fetch(`${url}/audit?user_id=slow`, {
    headers: { authorization: `Bearer ${await token(user, 'audit:read')}` },
  });
