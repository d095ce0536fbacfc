import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from './app.ts';
import { plainEnvironment } from './environment.ts';

const ROOT = join(import.meta.dirname, '../..');

export type RunningServer = {
  child: ChildProcess;
  /** http://127.0.0.1:PORT, as printed; https with TLS. */
  url: string;
  /** What it has printed so far, both streams. */
  output: () => string;
  /** Resolves with the exit code, or the signal that ended it. */
  exited: Promise<number | NodeJS.Signals | null>;
  dataDir: string;
};

export type ServerOptions = {
  env?: Record<string, string>;
  dataDir?: string;
  detached?: boolean;
  /** Another command line that starts the server, run in the project's folder. */
  command?: [file: string, ...parameters: string[]];
};

/** Starts `node src/server.ts` as a process of its own; resolves when it has printed where it listens, or ended. */
export async function startServer(
  t: Test,
  { env = {}, dataDir, detached, command }: ServerOptions = {},
): Promise<RunningServer> {
  const folder = dataDir ?? (await temporaryFolder(t));
  const [file, ...parameters] = command ?? [process.execPath, join(ROOT, 'src/server.ts')];
  const child = spawn(file, parameters, {
    env: { ...plainEnvironment(), PORT: '0', DATA_DIR: folder, ...env },
    cwd: command === undefined ? folder : ROOT,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: detached ?? false,
  });
  let text = '';
  let wake = (): void => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      wake();
    });
  }
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.on('exit', (code, signal) => {
      resolve(code ?? signal);
      wake();
    });
  });
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    await exited;
  });
  const address = (): string | undefined => /listening on (https?:\/\/\S+)/.exec(text)?.[1];
  let over = false;
  void exited.then(() => {
    over = true;
  });
  while (address() === undefined && !over)
    await new Promise<void>((resolve) => {
      wake = resolve;
    });
  return { child, url: address() ?? '', output: () => text, exited, dataDir: folder };
}

/** The token that the banner prints. */
export const bannerToken = (output: string): string =>
  /Authorization: Bearer (\S+?)"/.exec(output)?.[1] ?? '';
