import { startEmbedded } from '../../db/embedded/index.ts';

// A process that runs the Postgres of a data folder until it is killed, as a server would.
try {
  const { url } = await startEmbedded(process.argv[2] ?? '');
  console.log(url);
  setInterval(() => {}, 60_000);
} catch (error) {
  console.error(String(error));
  process.exitCode = 1;
}
