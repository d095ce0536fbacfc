import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { npmStart } from '../../bench/npm-start.ts';
import { SECRET } from '../support/app.ts';
import { readScrape } from '../support/exposition.ts';

const START_MS = 60_000;
/**
 * Lets the server collect its garbage when it is told to, and give back what it can, so that what is left is what it
 * holds. By a signal that neither Node nor close-with-grace takes for its own.
 */
const COLLECTOR =
  'data:text/javascript,process.on("SIGWINCH",()=>globalThis.gc({type:"major",execution:"sync",flavor:"last-resort"}))';
const MAX_ERRORS = 20;
/** A line of the server's log that is longer is looked at in pieces. */
const MAX_LINE = 100_000;
/**
 * On, and so high that traffic flows: who takes half of all, a user, an auditor and an address (see `unevenly`), meets
 * them now and then, and the others seldom.
 */
const limits = {
  LIMIT_FRAMES_PER_SECOND: '50',
  LIMIT_FRAMES_PER_SECOND_USER: '200',
  LIMIT_SESSIONS_PER_USER: '30',
  LIMIT_CONNECTIONS_PER_IP: '400',
  LIMIT_HANDSHAKES_PER_MINUTE_IP: '6000',
  LIMIT_QUERIES_PER_MINUTE: '1500',
};

/** What the process holds at a moment when nothing should be going on. */
export type Holdings = { rssMib: number; heapMib: number; files: number; sockets: number; streams: number };

/** The server under test, a process of its own. */
export type Target = {
  url: string;
  isAlive: () => boolean;
  /** Lines of its log that tell of an error, the first twenty. */
  errors: string[];
  /** Waits until its sockets are closed, as long as that may take, and collects. */
  measure: () => Promise<Holdings>;
  /** Ends it in good order; resolves with the exit code or signal. */
  stop: () => Promise<number | NodeJS.Signals>;
};

const MIB = 1024 * 1024;

/** Keeps the lines of a log that tell of an error (pino: from level 50 on), and whatever is no line of the log. */
function watch(child: ChildProcess, errors: string[], onAddress: (url: string) => void): void {
  for (const stream of [child.stdout, child.stderr]) {
    let rest = '';
    stream?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = (lines.pop() ?? '').slice(-MAX_LINE);
      for (const line of lines) {
        const url = /listening on (http:\/\/[^\s"]+)/.exec(line)?.[1];
        if (url !== undefined) onAddress(url);
        const level = Number(/"level":(\d+)/.exec(line)?.[1] ?? (stream === child.stderr ? 50 : 0));
        if (level >= 50 && errors.length < MAX_ERRORS) errors.push(line.slice(0, 500));
      }
    });
  }
}

/** Starts the server on a database. @throws Error when it does not come up */
export async function startTarget(databaseUrl: string, dataDir: string): Promise<Target> {
  const { PATH = '', HOME = '' } = process.env;
  const child = spawn(process.execPath, ['--expose-gc', '--import', COLLECTOR, ...npmStart.args], {
    env: {
      PATH,
      HOME,
      PORT: '0',
      DATA_DIR: dataDir,
      DATABASE_URL: databaseUrl,
      JWT_SECRET: SECRET,
      LOG_LEVEL: 'warn',
      // What glibc keeps of freed memory for each thread is no leak, and differs from run to run by tens of MiB.
      MALLOC_ARENA_MAX: '1',
      MALLOC_TRIM_THRESHOLD_: '131072',
      ...limits,
    },
    cwd: dataDir,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const errors: string[] = [];
  const exited = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'SIGKILL')),
  );
  const url = await Promise.race([
    new Promise<string>((resolve) => watch(child, errors, resolve)),
    exited.then((code) => `it ended with ${code}`),
    delay(START_MS, 'it took too long', { ref: false }),
  ]);
  const { pid } = child;
  if (!url.startsWith('http') || pid === undefined) {
    child.kill('SIGKILL');
    throw new Error(`The server did not start: ${url}\n${errors.join('\n')}`);
  }
  const isAlive = () => child.exitCode === null && child.signalCode === null;

  async function measure(): Promise<Holdings> {
    const scrape = async () => readScrape(await (await fetch(`${url}/metrics`)).text());
    const open = async () => {
      const scraped = await scrape();
      return {
        sockets: scraped.value('minutebook_sessions_open') ?? -1,
        streams: scraped.value('minutebook_streams_open') ?? -1,
      };
    };
    // Half-open connections are cut after 10 s, looked at every 5 s.
    const giveUp = performance.now() + 30_000;
    let { sockets, streams } = await open();
    while ((sockets !== 0 || streams !== 0) && performance.now() < giveUp) {
      await delay(500);
      ({ sockets, streams } = await open());
    }
    // What was refused is told apart for 10 s, and idle connections of HTTP are kept for as long as these.
    await delay(16_000);
    for (let turn = 0; turn < 3; turn += 1) {
      child.kill('SIGWINCH');
      await delay(700);
    }
    const heap = (await scrape()).value('nodejs_heap_size_used_bytes') ?? 0;
    const rss = Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
    const files = readdirSync(`/proc/${pid}/fd`).length;
    return { rssMib: rss / MIB, heapMib: heap / MIB, files, sockets, streams };
  }

  return {
    url,
    isAlive,
    errors,
    measure,
    stop: () => {
      child.kill('SIGTERM');
      return exited;
    },
  };
}
