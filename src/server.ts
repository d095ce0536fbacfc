import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.ts';
import { addressOf, developmentBanner } from './banner.ts';
import { isLoopback, readConfig } from './config.ts';
import { SetupError } from './core/setup-error.ts';
import { loadDotenv } from './dotenv.ts';

/** A signal came before the start was over; what the start then fails with is no news. */
let stopping = false;
/** The whole shutdown, from the signal to the end of the process. */
const CLOSE_MS = 9_500;

async function main(): Promise<void> {
  loadDotenv();
  const config = readConfig(process.env);
  const app = await buildApp(config, (started) => {
    // From the first moment on, for a start may take long, and a Postgres is started early.
    closeWithGrace({ delay: CLOSE_MS, logger: false }, async ({ err, signal }) => {
      stopping = true;
      if (err !== undefined) started.log.fatal({ err }, 'stopping after an unexpected error');
      else started.log.info({ signal }, 'stopping');
      await started.close();
    });
  });
  try {
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await app.close();
    if (error instanceof SetupError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new SetupError(
      code === 'EADDRINUSE'
        ? `Port ${config.port} on ${config.host} is in use. Set PORT to another, or to 0 for any.`
        : `The server cannot listen on HOST=${config.host} PORT=${config.port}: ${message}.`,
      error,
    );
  }
  if (!isLoopback(config.host) && config.tls === undefined && config.trustProxy === undefined) {
    app.log.warn(
      `HOST=${config.host} is served over plain HTTP: who is on the way can read and change tokens and messages. Set ` +
        'TLS_CERT and TLS_KEY, or name the proxy that ends TLS in TRUST_PROXY.',
    );
  }
  const address = addressOf(app, config.host);
  const banner = app.auth.development ? await developmentBanner(app, address) : '';
  console.log(`Minutebook is listening on ${address}\n${banner}`.trimEnd());
}

/** Starts the server, which runs until a signal ends it. What it cannot start with, it says, and ends the process. */
export async function serve(): Promise<void> {
  try {
    await main();
  } catch (error) {
    if (stopping) return;
    console.error(error instanceof SetupError ? error.message : error);
    process.exit(1);
  }
}

if (import.meta.main) await serve();
