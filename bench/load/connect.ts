import { SignJWT } from 'jose';
import { Client } from './client.ts';
import { clientFrame, TEXT } from './frames.ts';
import type { Target } from './orders.ts';

/** How many handshakes are under way at a time. */
const AT_ONCE = 50;
/** Each message is of so many bytes, the JSON around the text included. */
const MESSAGE_BYTES = 100;

export function tokenFor(user: string, secret: string, scope = 'chat'): Promise<string> {
  return new SignJWT({ scope })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime('12h')
    .sign(new TextEncoder().encode(secret));
}

/** The user of each connection. */
export const userOf = (index: number): string => `user-${index}`;

/** Opens connections of one user each. @param roomOf the room of each; empty: none */
export async function connectAll(
  { ports, secret, chat }: Target,
  count: number,
  roomOf: (index: number) => string,
): Promise<Client[]> {
  const clients: Client[] = [];
  let next = 0;
  const connectSome = async (): Promise<void> => {
    while (next < count) {
      const index = next;
      next += 1;
      const token = secret === null ? undefined : await tokenFor(userOf(index), secret);
      const room = roomOf(index);
      const readyAt = chat ? (room === '' ? 'w' : 'j') : undefined;
      const port = ports[index % ports.length] ?? 0;
      const client = new Client({ port, path: `/ws?room=${room}`, token, readyAt });
      clients[index] = client;
      await client.opened;
    }
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, count) }, connectSome));
  } catch (error) {
    await closeAll(clients);
    throw error;
  }
  return clients;
}

export const closeAll = async (clients: readonly Client[]): Promise<void> => {
  await Promise.all(clients.map((client) => client.close()));
};

/** A text frame of Minutebook's protocol; the other arms echo it as it is. */
export const frameOf = (content: object): Buffer => clientFrame(TEXT, Buffer.from(JSON.stringify(content)));

/** A message frame with a text that fills it up to the usual size. */
export function messageFrame(index: number): Buffer {
  const around = JSON.stringify({ type: 'message', text: '' }).length;
  const text = `Message of connection ${index}. `.padEnd(
    MESSAGE_BYTES - around,
    'abcdefghijklmnopqrstuvwxyz ',
  );
  return frameOf({ type: 'message', text });
}
