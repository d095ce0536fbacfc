import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Test } from 'tap';
import { until } from '../support/client.ts';
import { type RunningServer, type ServerOptions, startServer } from '../support/server.ts';
import { isAlive, signal } from './cluster.ts';

const POLL_MS = 100;
const POLL_TIMEOUT_MS = 3_000;

/** What readiness said. `status` 0: no answer. */
export type Reading = { at: number; status: number; detail: string };

/** A server process under observation. */
export class Instance {
  readonly server: RunningServer;
  readonly readings: Reading[] = [];
  /** The name it has in the log; empty until it was ready once. */
  name = '';
  /** Whether the row means to end it. */
  doomed = false;
  #watching = true;

  private constructor(server: RunningServer) {
    this.server = server;
  }

  /** Starts a server; ended when the test ends, whatever state a fault has left it in. */
  static async start(t: Test, options: ServerOptions): Promise<Instance> {
    const server = await startServer(t, options);
    const instance = new Instance(server);
    // Runs before the teardown of startServer, which waits for its end.
    t.teardown(() => instance.#abandon());
    if (server.url === '') throw new Error(`the server did not start: ${server.output()}`);
    void instance.#watch();
    return instance;
  }

  get pid(): number {
    return this.server.child.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.server.child.exitCode === null && this.server.child.signalCode === null;
  }

  /** The last reading. */
  get ready(): Reading | undefined {
    return this.readings.at(-1);
  }

  /** Whether it said 503, with a reason, at or after a time. */
  wasUnreadySince(at: number): boolean {
    return this.readings.some(
      (reading) => reading.at >= at && reading.status === 503 && reading.detail !== '',
    );
  }

  async untilReady(): Promise<void> {
    const since = performance.now();
    await until(
      `${this.server.url} is ready`,
      () => this.readings.some(({ at, status }) => at > since && status === 200),
      20_000,
    );
  }

  /** kill -9; resolves when it is gone. */
  async kill(): Promise<void> {
    this.doomed = true;
    this.server.child.kill('SIGKILL');
    await this.server.exited;
  }

  /** SIGTERM; resolves with the exit code. */
  async stop(): Promise<number | NodeJS.Signals | null> {
    this.doomed = true;
    this.server.child.kill('SIGTERM');
    return this.server.exited;
  }

  /** A field of /proc/PID/status in KiB, such as VmHWM, the most that was ever resident. */
  async memory(field: 'VmHWM' | 'VmRSS'): Promise<number> {
    const text = await readFile(`/proc/${this.pid}/status`, 'utf8').catch(() => '');
    return Number(new RegExp(`${field}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
  }

  async #abandon(): Promise<void> {
    this.#watching = false;
    if (!isAlive(this.pid) || !this.isRunning) return;
    signal(this.pid, 'SIGCONT');
    const late = setTimeout(() => this.server.child.kill('SIGKILL'), 12_000);
    this.server.child.kill('SIGTERM');
    await this.server.exited;
    clearTimeout(late);
  }

  async #watch(): Promise<void> {
    while (this.#watching && this.isRunning) {
      this.readings.push(await this.#read());
      await delay(POLL_MS);
    }
  }

  async #read(): Promise<Reading> {
    try {
      const answer = await fetch(`${this.server.url}/health/ready`, {
        signal: AbortSignal.timeout(POLL_TIMEOUT_MS),
      });
      const body = (await answer.json()) as { detail?: string; instance?: string };
      this.name = body.instance ?? this.name;
      return { at: performance.now(), status: answer.status, detail: body.detail ?? '' };
    } catch {
      return { at: performance.now(), status: 0, detail: '' };
    }
  }
}
