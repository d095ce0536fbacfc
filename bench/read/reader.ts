import { Agent, type IncomingMessage, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { tokenFor } from '../load/connect.ts';

export type Answer = {
  status: number;
  /** From before the request is sent until all of the answer is there, in milliseconds. */
  ms: number;
  body: string;
};

/** An administrator: one connection that is kept, one request at a time. */
export class Reader {
  readonly #port: number;
  readonly #token: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #sent = 0;

  private constructor(port: number, token: string) {
    this.#port = port;
    this.#token = token;
  }

  static async open(port: number, secret: string, user: string): Promise<Reader> {
    return new Reader(port, await tokenFor(user, secret, 'audit:read'));
  }

  /** How many requests it has sent. */
  get sent(): number {
    return this.#sent;
  }

  /** Resolves when the answer begins. */
  send(path: string): Promise<IncomingMessage> {
    this.#sent += 1;
    return new Promise((resolve, reject) => {
      const sent = request({
        host: '127.0.0.1',
        port: this.#port,
        path,
        agent: this.#agent,
        headers: { authorization: `Bearer ${this.#token}` },
      });
      sent.on('response', resolve);
      sent.on('error', reject);
      sent.end();
    });
  }

  async get(path: string): Promise<Answer> {
    const startedAt = performance.now();
    const response = await this.send(path);
    const body = await text(response);
    return { status: response.statusCode ?? 0, ms: performance.now() - startedAt, body };
  }

  close(): void {
    this.#agent.destroy();
  }
}
