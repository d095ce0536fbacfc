import { existsSync } from 'node:fs';

/** Reads `.env` of the working directory, when there is one; what the environment holds already stays. */
export function loadDotenv(): void {
  if (existsSync('.env')) process.loadEnvFile('.env');
}
