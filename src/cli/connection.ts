import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { signToken } from '../../plugins/auth/tokens.ts';
import { isLoopback, readClientConfig } from '../config.ts';
import { existingDevelopmentSecret } from '../development.ts';
import { CliError, exitCodes } from './exit.ts';

/** How long a token that is made here is good; it is made anew for each connection. */
const LIFETIME = '1h';

/** Where the server is, and who asks. */
export type Connection = {
  /** The server’s address, without a slash at its end. */
  base: string;
  /** A token that is good now. @throws CliError */
  token: () => Promise<string>;
};

export type ConnectionOptions = { url?: string; tokenFile?: string };

/** The options of every command that asks a server. */
export const addConnectionOptions = (command: Command): Command =>
  command
    .option('--url <url>', 'where the server is (default: MINUTEBOOK_URL, or http://127.0.0.1:3000)')
    .option('--token-file <file>', 'a file that holds the token (default: MINUTEBOOK_TOKEN)');

function baseOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol)) {
    throw new CliError(exitCodes.usage, `“${text}” is not an address such as http://127.0.0.1:3000.`);
  }
  // Addresses stand in histories and lists of processes.
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new CliError(
      exitCodes.usage,
      'The address of the server holds no user, password or query; a token goes into a file or MINUTEBOOK_TOKEN.',
    );
  }
  return url.origin + url.pathname.replace(/\/+$/, '');
}

/** The token in a text. It is not shown where it is none, for it may be most of one. */
function tokenIn(text: string, where: string): string {
  const token = text.trim();
  if (/^[\w.-]+$/.test(token)) return token;
  throw new CliError(exitCodes.usage, `${where} does not hold a token, alone on one line.`);
}

async function tokenInFile(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new CliError(exitCodes.usage, `The token file ${file} cannot be read (${error.code}).`, error);
  });
  return tokenIn(text, file);
}

/** Finds out where to ask and as whom. @throws CliError */
export function openConnection(
  options: ConnectionOptions,
  environment: Record<string, string | undefined>,
): Connection {
  const config = readClientConfig(environment);
  const base = baseOf(options.url ?? config.url);
  async function token(): Promise<string> {
    const { tokenFile } = options;
    // Read again each time, for somebody may renew it.
    if (tokenFile !== undefined) return tokenInFile(tokenFile);
    if (config.token !== undefined) return tokenIn(config.token, 'MINUTEBOOK_TOKEN');
    const { developmentDir } = config;
    const isHere = isLoopback(new URL(base).hostname.replace(/^\[|\]$/g, ''));
    const secret =
      developmentDir !== undefined && isHere ? await existingDevelopmentSecret(developmentDir) : undefined;
    if (secret === undefined) {
      throw new CliError(
        exitCodes.denied,
        'There is no token. Name a file that holds one by --token-file, or set MINUTEBOOK_TOKEN; “minutebook token” ' +
          'makes one.',
      );
    }
    const rules = { issuer: config.jwtIssuer, audience: config.jwtAudience };
    return signToken(secret, rules, { userId: 'auditor', scopes: ['audit:read'], lifetime: LIFETIME });
  }
  return { base, token };
}
