import { test } from 'tap';
import { build, problemIn } from '../support/app.ts';
import { until } from '../support/client.ts';
import { alterSystem, loosePostgres } from '../support/loose-postgres.ts';

test('what a start refuses, readiness refuses within seconds, for as long as it lasts', async (t) => {
  const { url } = await loosePostgres(t);
  const server = await build(t, { DATABASE_URL: url });
  const status = async (): Promise<number> => (await server.get('/health/ready', {})).status;
  t.equal(await status(), 200);
  await alterSystem(url, 'fsync', 'off');
  await until('it is not ready', async () => (await status()) === 503);
  const problem = await problemIn(await server.get('/health/ready', {}));
  t.match(problem, { code: 'not_ready', detail: /would lose what it commits in a crash/ });
  t.notMatch(problem.detail, /fsync|alter/, 'whoever may ask learns no more');
  t.match(await (await server.get('/metrics', {})).text(), '\nminutebook_log_durable 0\n');
  await alterSystem(url, 'fsync', 'on');
  await until('mended, it is ready', async () => (await status()) === 200);
});
