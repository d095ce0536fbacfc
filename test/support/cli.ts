import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from './app.ts';
import { plainEnvironment } from './environment.ts';

const MAIN = join(import.meta.dirname, '../../src/cli/main.ts');

export type CliResult = { code: number | NodeJS.Signals | null; stdout: string; stderr: string };

export type RunningCli = {
  child: ChildProcess;
  /** What it has printed so far. */
  stdout: () => string;
  stderr: () => string;
  /** Resolves when it has ended. */
  ended: Promise<CliResult>;
};

/** Starts the command line as a process of its own, in an empty folder; what it prints may go to a file instead. */
export async function startCli(
  t: Test,
  args: readonly string[],
  env: Record<string, string> = {},
  output?: string,
): Promise<RunningCli> {
  const file = output === undefined ? undefined : await open(output, 'w');
  const child = spawn(process.execPath, [MAIN, ...args], {
    cwd: await temporaryFolder(t),
    env: { ...plainEnvironment(), ...env },
    stdio: ['ignore', file?.fd ?? 'pipe', 'pipe'],
  });
  await file?.close();
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (chunk: string) => {
      text[name] += chunk;
    });
  }
  const ended = new Promise<CliResult>((resolve) => {
    child.on('close', (code, signal) => resolve({ code: code ?? signal, ...text }));
  });
  t.teardown(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
    await ended;
  });
  return { child, stdout: () => text.stdout, stderr: () => text.stderr, ended };
}

/** Runs the command line to its end. */
export const runCli = async (
  t: Test,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<CliResult> => (await startCli(t, args, env)).ended;
