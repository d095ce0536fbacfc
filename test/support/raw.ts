import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

/** An answer as it came over the wire; the names of headers in lower case. */
export type RawAnswer = { status: number; headers: Record<string, string>; body: string; text: string };

/** Reads an answer that ends with its connection. */
function parseAnswer(text: string): RawAnswer {
  const [head = '', ...rest] = text.split('\r\n\r\n');
  const [statusLine = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line) => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
  });
  return {
    status: Number(statusLine.split(' ')[1] ?? 0),
    headers: Object.fromEntries(headers),
    body: rest.join('\r\n\r\n'),
    text,
  };
}

/** Sends bytes, as no HTTP client would let one; resolves when the server has closed the connection. */
export function sendRaw(
  url: string,
  bytes: string | Buffer,
  options: ConnectionOptions = {},
): Promise<RawAnswer> {
  const { protocol, hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const target = { host: hostname, port: Number(port) };
    const socket = protocol === 'https:' ? connectTls({ ...target, ...options }) : connectTcp(target);
    let text = '';
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      text += chunk;
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(parseAnswer(text)));
    socket.write(bytes);
  });
}

/** The head of a request that closes its connection. */
export const head = (requestLine: string, headers: Record<string, string> = {}): string =>
  [
    `${requestLine} HTTP/1.1`,
    ...Object.entries({ host: 'localhost', connection: 'close', ...headers }).map((pair) => pair.join(': ')),
    '\r\n',
  ].join('\r\n');

/** The head of a handshake. */
export const handshake = (target: string, headers: Record<string, string> = {}): string =>
  head(`GET ${target}`, {
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
  });
