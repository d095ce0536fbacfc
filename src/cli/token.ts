import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Scope } from '../../plugins/auth/principal.ts';
import { signToken } from '../../plugins/auth/tokens.ts';
import { readConfig } from '../config.ts';
import { isName } from '../core/text.ts';
import { developmentSecret } from '../development.ts';
import type { Context } from './context.ts';
import { CliError, exitCodes } from './exit.ts';
import { write } from './output.ts';

const scopes = ['chat', 'audit:read', 'admin'] as const satisfies readonly Scope[];

type TokenOptions = { scope: Scope[]; expires: string };

function user(text: string): string {
  if (!isName(text)) throw new InvalidArgumentError('It must be 1-128 bytes without control characters.');
  return text;
}

function lifetime(text: string): string {
  if (!/^[1-9]\d{0,4}[smhd]$/.test(text)) {
    throw new InvalidArgumentError('It must be a number and a unit (s, m, h, d), such as 12h.');
  }
  return text;
}

async function token(userId: string, options: TokenOptions, { environment }: Context): Promise<void> {
  // Nothing listens here, so nothing depends on the address that the server will have.
  const config = readConfig({ ...environment, HOST: undefined });
  const isDevelopment = [config.jwtSecret, config.jwtPublicKey, config.jwksUrl].every(
    (key) => key === undefined,
  );
  const secret = isDevelopment ? await developmentSecret(config.dataDir) : config.jwtSecret;
  if (secret === undefined) {
    throw new CliError(
      exitCodes.denied,
      'Tokens are signed by somebody else: only a public key (JWT_PUBLIC_KEY or JWKS_URL) is configured here, which can ' +
        'check tokens but not make them. Get one from there, or set JWT_SECRET.',
    );
  }
  const rules = { issuer: config.jwtIssuer, audience: config.jwtAudience };
  const claims = { userId, scopes: options.scope, lifetime: options.expires };
  await write(process.stdout, `${await signToken(secret, rules, claims)}\n`);
}

/** `token`. */
export function addTokenCommand(program: Command, context: Context): void {
  program
    .command('token')
    .summary('make a token for a user')
    .description(
      'Makes a token, signed with JWT_SECRET, or in development mode with the key in DATA_DIR, and prints it.',
    )
    // The user first: what follows --scope is taken for scopes.
    .usage('<user> --scope <scope...> [options]')
    .argument('<user>', 'whose token it is', user)
    .addOption(
      new Option('--scope <scope...>', 'what it gives the right to').choices(scopes).makeOptionMandatory(),
    )
    .option('--expires <time>', 'how long it is good: a number and a unit (s, m, h, d)', lifetime, '1h')
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook token alice --scope chat --expires 7d
  $ minutebook token carol --scope audit:read admin > carol.token && chmod 600 carol.token
  $ minutebook query --token-file carol.token`,
    )
    .action((userId: string, options: TokenOptions) => token(userId, options, context));
}
