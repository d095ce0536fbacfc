import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { SignJWT } from 'jose';
import { readPlan } from './plan.ts';
import { play, type Tally } from './player.ts';
import { describePlan, describeResult, startProgress } from './report.ts';

const USAGE = `npm run replay -- FILE [--url ws://127.0.0.1:3000/ws] [--speed max|100x] [--room NAME] [--secret-file FILE]

Plays a chat record (.ndjson or .ndjson.gz; lines {at, kind: join|leave|message|nick, user, text | to}) through
real WebSocket clients, one per user, and exits with 1 if anything was not acknowledged.

  --url          where the server listens (default: ws://127.0.0.1:3000/ws)
  --speed        max, or so many times the speed of life (default: max)
  --room         the room to play it in (default: replay)
  --secret-file  a file with the server's JWT_SECRET, for a server that is not in development mode`;

class UsageError extends Error {}

function readArguments() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      url: { type: 'string', default: 'ws://127.0.0.1:3000/ws' },
      speed: { type: 'string', default: 'max' },
      room: { type: 'string', default: 'replay' },
      'secret-file': { type: 'string' },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const [file, ...rest] = positionals;
  if (file === undefined || rest.length > 0) throw new UsageError('One FILE is needed.');
  if (!URL.canParse(values.url)) throw new UsageError(`--url: “${values.url}” is not a URL.`);
  const factor =
    values.speed === 'max' ? Number.POSITIVE_INFINITY : Number(/^(\d+(?:\.\d+)?)x$/.exec(values.speed)?.[1]);
  if (!(factor > 0)) throw new UsageError('--speed must be “max” or a number followed by x, such as 100x.');
  return { file, url: values.url, room: values.room, factor, secretFile: values['secret-file'] };
}

async function tokenMaker(
  secretFile: string | undefined,
): Promise<(user: string) => Promise<string | undefined>> {
  if (secretFile === undefined) return async () => undefined;
  const secret = new TextEncoder().encode((await readFile(secretFile, 'utf8')).trim());
  return (user) =>
    new SignJWT({ scope: 'chat' })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(user)
      .setExpirationTime('12h')
      .sign(secret);
}

async function main(): Promise<void> {
  const options = readArguments();
  if (options === undefined) return console.log(USAGE);
  const { file, url, room, factor, secretFile } = options;
  const plan = await readPlan(file);
  const makeToken = await tokenMaker(secretFile);
  console.log(describePlan(plan));

  const tally: Tally = { sent: 0, acknowledged: 0, refused: 0, waited: 0, latencies: [], reasons: new Map() };
  const total = plan.played.joins + plan.played.leaves + plan.played.messages;
  const stopProgress = startProgress(tally, total);
  const startedAt = performance.now();
  const untilDue = (at: number): number =>
    factor === Number.POSITIVE_INFINITY ? 0 : startedAt + (at - plan.startsAt) / factor - performance.now();
  await Promise.all(
    [...plan.users].map(async ([user, steps]) =>
      play(user, steps, { url, room, token: await makeToken(user), tally, untilDue }),
    ),
  );
  stopProgress();
  console.log(describeResult(tally, (performance.now() - startedAt) / 1_000));
  if (tally.acknowledged !== total) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  const usage =
    error instanceof UsageError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS');
  console.error(error instanceof Error ? error.message : error);
  if (usage) console.error(`\n${USAGE}`);
  process.exitCode = 2;
}
