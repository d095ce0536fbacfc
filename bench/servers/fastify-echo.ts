import websocket from '@fastify/websocket';
import Fastify from 'fastify';

// Bare @fastify/websocket: sends every message back, and stores nothing.

const fastify = Fastify();
await fastify.register(websocket, { options: { perMessageDeflate: false } });
fastify.get('/ws', { websocket: true }, (socket) => {
  socket.on('message', (data, binary) => socket.send(data, { binary }));
});
console.log(`listening on ${await fastify.listen({ host: '127.0.0.1', port: 0 })}`);
process.once('SIGTERM', () => process.exit(0));
