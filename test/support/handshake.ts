import { connect, type Socket } from 'node:net';
import type { TestApp } from './app.ts';

/** The head of a WebSocket handshake, as bytes. */
export function handshakeBytes(
  { url }: Pick<TestApp, 'url'>,
  path: string,
  headers: Record<string, string> = {},
): string {
  const all = {
    Host: new URL(url).host,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join('')}\r\n`;
}

/** Opens a connection and sends some bytes; the socket is never closed from this side. */
export function speak({ url }: Pick<TestApp, 'url'>, bytes: string): Promise<Socket> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true }, () => {
      socket.write(bytes);
      resolve(socket);
    });
    socket.once('error', reject);
  });
}

/** Sends a handshake as raw bytes; the socket is never closed from this side. */
export const handshake = (
  target: Pick<TestApp, 'url'>,
  path: string,
  headers: Record<string, string> = {},
): Promise<Socket> => speak(target, handshakeBytes(target, path, headers));

/** What the server says until it ends the connection. */
export async function answerOf(socket: Socket): Promise<string> {
  let text = '';
  for await (const chunk of socket) text += chunk.toString();
  return text;
}
