import closeWithGrace from 'close-with-grace';
import { buildApp } from './app.ts';
import { addressOf, developmentBanner } from './banner.ts';
import { readConfig } from './config.ts';
import { SetupError } from './core/setup-error.ts';

/** The whole shutdown, from the signal to the end of the process. */
const CLOSE_MS = 9_500;

async function main(): Promise<void> {
  const config = readConfig(process.env);
  const app = await buildApp(config);
  closeWithGrace({ delay: CLOSE_MS, logger: false }, async ({ err, signal }) => {
    if (err !== undefined) app.log.fatal({ err }, 'stopping after an unexpected error');
    else app.log.info({ signal }, 'stopping');
    await app.close();
  });
  try {
    await app.listen({ host: config.host, port: config.port });
  } catch (error) {
    await app.close();
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new SetupError(
      `Port ${config.port} on ${config.host} is in use. Set PORT to another, or to 0 for any.`,
    );
  }
  const address = addressOf(app, config.host);
  const banner = app.auth.development ? await developmentBanner(app, address) : '';
  console.log(`Minutebook is listening on ${address}\n${banner}`.trimEnd());
}

try {
  await main();
} catch (error) {
  if (error instanceof SetupError) console.error(error.message);
  else console.error(error);
  process.exit(1);
}
