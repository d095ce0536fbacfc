import { addressOf, ConnectionError, callJson, ProblemError } from '../common/api.ts';
import { type Socket, type SocketEvents, TroubleError } from './connection.ts';
import { type Trouble, troubleOfRefusal } from './trouble.ts';

/** Who speaks: the bearer of the tab's token, or, in development mode, whoever says so. */
export type Speaker = { by: 'token'; userId: string } | { by: 'name'; userId: string };

const UNREACHABLE: Trouble = { what: 'The server cannot be reached.', cure: 'wait' };

const troubleOf = (error: unknown): Trouble => {
  if (error instanceof ProblemError) return troubleOfRefusal({ ...error, detail: error.message });
  if (error instanceof ConnectionError) return UNREACHABLE;
  throw error;
};

/** What a token is worth at this moment. @returns a ticket @throws TroubleError */
export async function getTicket(): Promise<string> {
  try {
    return (await callJson<{ ticket: string }>('/ws/ticket', { method: 'POST' })).ticket;
  } catch (error) {
    throw new TroubleError(troubleOf(error));
  }
}

/** A page cannot read why a handshake was refused; but it can ask whether anybody is there. */
async function troubleOfHandshake({ by, userId }: Speaker): Promise<Trouble> {
  const answer = await fetch(addressOf('/health/ready'), { cache: 'no-store' }).catch(() => undefined);
  if (answer === undefined) return UNREACHABLE;
  if (!answer.ok)
    return { what: 'The server is there, and not ready: it cannot write its log.', cure: 'wait' };
  const what =
    by === 'name'
      ? `The server refused the connection. It does not tell a page why: is “${userId}” banned, or connected too often?`
      : 'The server refused the connection.';
  return { what, cure: 'wait' };
}

/** Opens a socket for somebody, without a room. @throws TroubleError */
export async function openSocket(speaker: Speaker, { onText, onClosed }: SocketEvents): Promise<Socket> {
  const protocols = ['minutebook.v1'];
  if (speaker.by === 'token') protocols.push(`ticket.${await getTicket()}`);
  const query = { room: '', user: speaker.by === 'name' ? speaker.userId : undefined };
  const socket = new WebSocket(addressOf('/ws', query).replace(/^http/, 'ws'), protocols);
  return new Promise((resolve, reject) => {
    let wasOpen = false;
    socket.onopen = () => {
      wasOpen = true;
      resolve(socket);
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => onText(data);
    socket.onclose = ({ code }) => {
      if (wasOpen) onClosed(code);
      else troubleOfHandshake(speaker).then((trouble) => reject(new TroubleError(trouble)), reject);
    };
  });
}
