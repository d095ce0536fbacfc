import pg from 'pg';
import { createClient } from '../../db/client.ts';
import { migrate } from '../../db/migrate.ts';
import { type FillOptions, fill, settle } from './fill.ts';

const APPLICATION = 'minutebook seed';

/**
 * Brings a database's schema up to date, fills its log, and leaves it as it would be after a quiet night.
 *
 * @throws SeedError when the log is not new, or a server runs on it
 */
export async function seedDatabase(url: string, options: FillOptions): Promise<void> {
  const db = createClient({
    url,
    applicationName: APPLICATION,
    purpose: 'migrate',
    onError: () => {},
  });
  const client = new pg.Client({ connectionString: url, application_name: APPLICATION });
  // A connection that breaks says so at the next statement.
  client.on('error', () => {});
  try {
    await migrate(db);
    await client.connect();
    await fill(client, options);
    // What the server makes of committed events afterwards goes here.
    await settle(client);
  } finally {
    await client.end();
    await db.destroy();
  }
}
