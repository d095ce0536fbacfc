import type { Test } from 'tap';
import { WebSocket } from 'ws';
import type { TestApp } from './app.ts';
import { Client } from './client.ts';

/** What a ticket is sold as. */
export type Ticket = { ticket: string; expires_at: string };
type Target = Pick<TestApp, 'url'>;

/** Asks for a ticket. */
export const order = (
  target: Target,
  token?: string,
  headers: Record<string, string> = {},
): Promise<Response> =>
  fetch(`${target.url}/ws/ticket`, {
    method: 'POST',
    headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...headers },
  });

/** Buys a ticket, which must succeed. */
export async function buy(target: Target, token: string): Promise<string> {
  const answer = await order(target, token);
  if (answer.status !== 201) throw new Error(`${answer.status}: ${await answer.text()}`);
  return ((await answer.json()) as Ticket).ticket;
}

/** Opens a WebSocket as a browser would: by subprotocols alone. */
export async function open(
  t: Test,
  { url }: Target,
  protocols: string[],
  { headers = {}, search = '' }: { headers?: Record<string, string>; search?: string } = {},
): Promise<Client> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws${search}`, protocols, { headers });
  t.teardown(() => socket.terminate());
  const client = new Client(socket);
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, response) =>
      reject(new Error(`refused: ${response.statusCode}`)),
    );
  });
  return client;
}

/** The subprotocols that a ticket is offered with. */
export const withTicket = (ticket: string): string[] => ['minutebook.v1', `ticket.${ticket}`];
