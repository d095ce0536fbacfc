import { tokenFor } from './token.ts';

/** A request with an administrator’s token, named `admin` unless told otherwise. */
export async function asAdmin(
  target: { url: string },
  method: string,
  path: string,
  body?: unknown,
  user = 'admin',
): Promise<Response> {
  return fetch(target.url + path, {
    method,
    headers: {
      authorization: `Bearer ${await tokenFor(user, 'admin')}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
}

/** What an act of an administrator was recorded as. */
export type Recorded = { seq: number; timestamp: string };

/** An act that must succeed. */
export async function act(
  target: { url: string },
  method: string,
  path: string,
  body?: unknown,
): Promise<Recorded> {
  const answer = await asAdmin(target, method, path, body);
  if (answer.status !== 200) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  return (await answer.json()) as Recorded;
}

/** A time so many milliseconds from now, by this machine’s clock, which the tests’ database shares. */
export const soon = (ms: number): string => new Date(Date.now() + ms).toISOString();
