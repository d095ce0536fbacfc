import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { listen } from './listen.ts';

// Bare ws: sends every message to everybody, as its documentation shows it.

const server = createServer();
const sockets = new WebSocketServer({ server, perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket.on('message', (data, binary) => {
    for (const client of sockets.clients) {
      if (client.readyState === client.OPEN) client.send(data, { binary });
    }
  });
  socket.on('error', () => {});
});
listen(server);
