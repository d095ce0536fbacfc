import { test } from 'tap';
import { SECRET } from './support/app.ts';
import { connect, until } from './support/client.ts';
import { act } from './support/moderation.ts';
import { createDatabase, query } from './support/postgres.ts';
import { startServer } from './support/server.ts';
import { tokenFor } from './support/token.ts';

const REASON = 'ended by an administrator';

type Row = { seq: string; action: string; late: boolean };

for (const how of ['kicked', 'banned'] as const) {
  test(`who sends as fast as they can and is ${how} by another process is not heard from then on`, async (t) => {
    const databaseUrl = await createDatabase(t);
    const env = {
      DATABASE_URL: databaseUrl,
      JWT_SECRET: SECRET,
      LIMIT_FRAMES_PER_SECOND: '0',
      LIMIT_FRAMES_PER_SECOND_USER: '0',
      LOG_LEVEL: 'error',
    };
    const [one, two] = await Promise.all([startServer(t, { env }), startServer(t, { env })]);
    const mallory = await connect(t, { url: two.url, token: tokenFor }, 'mallory');
    const bob = await connect(t, { url: two.url, token: tokenFor }, 'bob');
    const { session_id } = await mallory.next('welcome');
    await bob.next('welcome');

    let sent = 0;
    let over = false;
    void mallory.closed.then(() => {
      over = true;
    });
    /** Never waits for an answer, only for the socket. */
    const flood = async (): Promise<void> => {
      while (!over) {
        for (let n = 0; n < 50; n += 1) mallory.send(`${sent++}`);
        await new Promise((resolve) =>
          setTimeout(resolve, mallory.socket.bufferedAmount > 64 * 1024 ? 5 : 1),
        );
      }
    };
    const flooding = flood();
    await until('there is a flood', () => bob.all('message').length > 500);

    const since = performance.now();
    const { seq, timestamp } =
      how === 'kicked'
        ? await act(one, 'DELETE', `/sessions/${session_id}`)
        : await act(one, 'PUT', '/bans/mallory', { reason: 'spam' }).then(async () => {
            const [row] = await query<{ seq: string; timestamp: string }>(
              databaseUrl,
              `select seq, timestamp::text from audit_event where action = 'USER_BANNED'`,
            );
            return { seq: Number(row?.seq), timestamp: row?.timestamp ?? '' };
          });
    t.strictSame(await mallory.closed, { code: 4403, reason: REASON });
    const took = performance.now() - since;
    t.ok(took < 1_000, `its socket is closed within a second: ${took} ms`);
    await flooding;
    await bob.ask({ type: 'message', text: 'others are heard' });

    await until('the end is on record', async () => {
      const rows = await query(databaseUrl, `select from audit_event where action = 'DISCONNECTED'`);
      return rows.length === 1;
    });
    const rows = await query<Row>(
      databaseUrl,
      `select seq, action, timestamp > $2::timestamptz + interval '1 second' as late
       from audit_event where session_id = $1 and action in ('JOINED', 'MESSAGE_SENT') order by seq`,
      [session_id, timestamp],
    );
    t.comment(`${sent} sent, ${rows.length} on record, the last ${seq - Number(rows.at(-1)?.seq)} before`);
    t.ok(rows.length > 500);
    t.strictSame(
      rows.filter(({ late }) => late),
      [],
      'nothing is said more than a second after',
    );
    t.ok(Number(rows.at(-1)?.seq) < seq, 'nor, in fact, at all');
    t.strictSame(await query(databaseUrl, 'select * from chat_kick'), []);
  });
}
