import { once } from 'node:events';
import { test } from 'tap';
import { WebSocket } from 'ws';
import { build } from '../../support/app.ts';
import { Client, until } from '../../support/client.ts';

/** Pings go out every 30 s, and the second cuts who has not answered the first. */
const CUT_MS = 2 * 30_000 + 5_000;

test('who answers no ping and says nothing is cut within a minute; who does either stays, however idle', async (t) => {
  const server = await build(t);
  const come = async (user: string, autoPong: boolean): Promise<Client> => {
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws`, {
      headers: { authorization: `Bearer ${await server.token(user, 'chat')}` },
      autoPong,
    });
    t.teardown(() => socket.terminate());
    const client = new Client(socket);
    await client.next('welcome');
    return client;
  };
  const idle = await come('idle', true);
  const talker = await come('talker', false);
  const gone = await come('gone', false);
  let isCut = false;
  void gone.closed.then(() => {
    isCut = true;
  });
  await once(talker.socket, 'ping');
  talker.send('still here');
  await until('who is gone is cut', () => isCut, CUT_MS);
  t.match(await gone.closed, { code: 1006 }, 'without a goodbye that nobody would hear');
  await until('its end is on record', async () => (await server.events('action=DISCONNECTED')).length > 0);
  t.match(await server.events('action=DISCONNECTED'), [
    { user_id: 'gone', details: { code: 1006, reason: 'no answer to a ping' } },
  ]);
  for (const client of [idle, talker]) await client.ask({ type: 'message', text: 'served' });
});
