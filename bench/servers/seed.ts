import { createServer } from 'node:http';
import pg from 'pg';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { listen } from './listen.ts';
import { OnDemandPool, type Pool } from './on-demand-pool.ts';

// The usual way to keep a log: one INSERT for each message, awaited, then the echo. A connection's next message
// is read when its last is done. By the environment: DATABASE_URL, and POOL, a number of connections, or
// “on-demand N” for at most N of them opened when needed, two of them kept.

const { DATABASE_URL: url = '', POOL: wanted = '' } = process.env;
const [kind, most] = wanted.split(' ');
const pool: Pool =
  kind === 'on-demand'
    ? new OnDemandPool({ url, maxIdle: 2, maxOpen: Number(most) })
    : new pg.Pool({ connectionString: url, max: Number(kind) });

const INSERT = 'insert into message ("user", message) values ($1, $2)';

/** Handles the messages of one connection, one after the other. */
function serve(socket: WebSocket, user: string): void {
  let last = Promise.resolve();
  const handle = async (data: RawData): Promise<void> => {
    const text = data.toString();
    await pool.query(INSERT, [user, text]);
    socket.send(text);
  };
  socket.on('message', (data) => {
    last = last
      .then(() => handle(data))
      .catch((error: Error) => {
        console.error(error.message);
        socket.close(1011);
      });
  });
  socket.on('error', () => {});
}

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false, clientTracking: false });
let users = 0;
sockets.on('connection', (socket) => {
  users += 1;
  serve(socket, `user-${users}`);
});
listen(server);
