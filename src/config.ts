import { isIP, isIPv4 } from 'node:net';
import Type, { type Static } from 'typebox';
import { Compile } from 'typebox/compile';
import { canonicalAddress } from './core/address.ts';
import { SetupError } from './core/setup-error.ts';
import { type Limits, limitVariables, readLimits, WHOLE } from './limits.ts';

const Text = (description: string, preset?: string) =>
  Type.Optional(
    Type.String({ minLength: 1, description, ...(preset === undefined ? {} : { default: preset }) }),
  );

/**
 * Every environment variable that the server reads; `.env.example` and the table in docs/configuration.md
 * are made from it.
 */
export const Environment = Type.Object({
  HOST: Text(
    'The address to listen on; localhost is 127.0.0.1 alone. Beyond loopback, a key must be configured.',
    '127.0.0.1',
  ),
  PORT: Type.Optional(
    Type.String({
      pattern: WHOLE,
      description: 'The port to listen on; 0 picks a free one.',
      default: '3000',
    }),
  ),
  DATABASE_URL: Type.Optional(
    Type.String({
      pattern: '^postgres(ql)?://.+',
      description: 'Postgres 15 or newer. Unset: a Postgres of our own runs in DATA_DIR/postgres.',
    }),
  ),
  DATA_DIR: Text('Where the embedded Postgres and the development key live.', './data'),
  LOG_LEVEL: Type.Optional(
    Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], {
      description: 'The least severe log lines to print.',
      default: 'info',
    }),
  ),
  METRICS_PORT: Type.Optional(
    Type.String({
      pattern: WHOLE,
      description:
        'A port of its own for /metrics, on HOST, in plain HTTP and open to whoever reaches it; 0 picks a free one. Unset: ' +
        '/metrics is on PORT, for this machine only.',
    }),
  ),
  JWT_SECRET: Type.Optional(
    Type.String({
      minLength: 32,
      description:
        'The secret of HS256 tokens, at least 32 bytes (RFC 7518 3.2). Without any key: development mode.',
    }),
  ),
  JWT_PUBLIC_KEY: Text(
    'The public key of tokens signed by somebody else, as PEM (SPKI), or a file that holds it. Its kind decides ' +
      'the algorithms: RS256, PS256, ES256 or EdDSA.',
  ),
  JWKS_URL: Type.Optional(
    Type.String({
      pattern: '^https?://.+',
      description: 'Where the token issuer publishes its public keys (RFC 7517); http only on loopback.',
    }),
  ),
  JWT_ISSUER: Text('The `iss` that tokens must have.'),
  JWT_AUDIENCE: Text('The `aud` that tokens must have.'),
  ALLOWED_ORIGINS: Text(
    'The web origins whose pages may connect to /ws and call the API, separated by commas. Unset: the server’s own ' +
      'address.',
  ),
  TRUST_PROXY: Text(
    'The proxies whose X-Forwarded-For and X-Forwarded-Proto are believed: addresses or networks, separated by ' +
      'commas, such as 10.0.0.0/8. Unset: nobody’s.',
  ),
  TLS_CERT: Text(
    'The file of the TLS certificate chain, as PEM. With TLS_KEY the server speaks https and wss.',
  ),
  TLS_KEY: Text('The file of the private key of TLS_CERT, as PEM.'),
  ...limitVariables,
});
type Environment = Static<typeof Environment>;

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace' | 'silent';

/** What the server is told, checked and frozen. */
export type Config = {
  host: string;
  port: number;
  /** undefined: `/metrics` is served on `port`, to this machine only. */
  metricsPort: number | undefined;
  /** undefined: the embedded Postgres. */
  databaseUrl: string | undefined;
  dataDir: string;
  logLevel: LogLevel;
  /** The three ways to know a good token; none of them: development mode. */
  jwtSecret: string | undefined;
  /** PEM, or the path of a file that holds it. */
  jwtPublicKey: string | undefined;
  jwksUrl: string | undefined;
  jwtIssuer: string | undefined;
  jwtAudience: string | undefined;
  /** undefined: the server’s own address. */
  allowedOrigins: readonly string[] | undefined;
  /** Addresses and networks of proxies; undefined: none is trusted. */
  trustProxy: readonly string[] | undefined;
  /** The paths of two files; undefined: no TLS. */
  tls: { cert: string; key: string } | undefined;
  limits: Limits;
};

const validator = Compile(Environment);

/** What is looked at of a variable’s schema. */
type EnvironmentSchema = { description: string; enum?: string[] };

/** Whether a host name or address reaches this machine only. A name such as 127.example.org does not. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'));

function checkOrigin(origin: string): string {
  if (!URL.canParse(origin) || new URL(origin).origin !== origin) {
    throw new SetupError(
      `ALLOWED_ORIGINS: “${origin}” is not an origin; write it as browsers do, such as https://chat.example.org.`,
    );
  }
  return origin;
}

function checkNetwork(network: string): string {
  const [address = '', bits, ...rest] = network.split('/');
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  const isGood = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) >= 1 && Number(bits) <= most);
  if (most === -1 || !isGood || rest.length > 0) {
    throw new SetupError(`TRUST_PROXY: “${network}” is neither an address nor a network such as 10.0.0.0/8.`);
  }
  // Whether /8 then counts from the front of IPv6 or of IPv4 was once a way to be trusted from anywhere (CVE-2026-92395).
  if (bits !== undefined && isIP(address) === 6 && isIPv4(canonicalAddress(address) ?? '')) {
    throw new SetupError(
      `TRUST_PROXY: “${network}” is a network of IPv4; write it as such, like 10.0.0.0/8.`,
    );
  }
  return network;
}

function tlsOf({ TLS_CERT: cert, TLS_KEY: key }: Environment): Config['tls'] {
  if (cert === undefined && key === undefined) return undefined;
  if (cert !== undefined && key !== undefined) return Object.freeze({ cert, key });
  throw new SetupError('TLS_CERT and TLS_KEY belong together; one of them is not set.');
}

function checkPort(name: string, text: string): number {
  const port = Number(text);
  if (port > 65_535) throw new SetupError(`${name} must be at most 65535.`);
  return port;
}

/**
 * Reads the configuration. An empty variable counts as unset.
 *
 * @throws SetupError naming the variable that is wrong
 */
export function readConfig(environment: Record<string, string | undefined>): Config {
  const given: Record<string, string> = {};
  for (const [name, schema] of Object.entries(Environment.properties)) {
    const value = environment[name] || (schema as { default?: string }).default;
    if (value !== undefined) given[name] = value;
  }
  if (!validator.Check(given)) {
    const [error] = validator.Errors(given);
    const name = error?.instancePath.slice(1) ?? '';
    const schema: object = Environment.properties[name as keyof Environment];
    const { description, enum: values } = schema as EnvironmentSchema;
    const allowed = values === undefined ? '' : ` One of: ${values.join(', ')}.`;
    // Never the value: it may be a secret.
    throw new SetupError(`${name} is not valid. ${description}${allowed}`);
  }
  const env: Environment = given;
  // Fastify would listen to both addresses that the name has, with a second server that knows none of our limits.
  const host = env.HOST === 'localhost' ? '127.0.0.1' : (env.HOST ?? '');
  const hasKey = [env.JWT_SECRET, env.JWT_PUBLIC_KEY, env.JWKS_URL].some((key) => key !== undefined);
  if (!hasKey && !isLoopback(host)) {
    throw new SetupError(
      `HOST=${host} can be reached from other machines, but no key is configured, and without one anybody could ` +
        'speak as anybody. Set JWT_SECRET (for example to the output of “openssl rand -base64 32”), ' +
        'JWT_PUBLIC_KEY or JWKS_URL, or HOST=127.0.0.1.',
    );
  }
  const port = checkPort('PORT', env.PORT ?? '');
  const metricsPort =
    env.METRICS_PORT === undefined ? undefined : checkPort('METRICS_PORT', env.METRICS_PORT);
  if (metricsPort === port && port !== 0) {
    throw new SetupError(
      `METRICS_PORT and PORT are both ${port}. Set METRICS_PORT to another, or leave it unset to have /metrics on PORT.`,
    );
  }
  return Object.freeze({
    host,
    port,
    metricsPort,
    databaseUrl: env.DATABASE_URL,
    dataDir: env.DATA_DIR ?? '',
    logLevel: env.LOG_LEVEL as LogLevel,
    jwtSecret: env.JWT_SECRET,
    jwtPublicKey: env.JWT_PUBLIC_KEY,
    jwksUrl: env.JWKS_URL,
    jwtIssuer: env.JWT_ISSUER,
    jwtAudience: env.JWT_AUDIENCE,
    allowedOrigins: env.ALLOWED_ORIGINS?.split(',').map((origin) => checkOrigin(origin.trim())),
    trustProxy: env.TRUST_PROXY?.split(',').map((proxy) => checkNetwork(proxy.trim())),
    tls: tlsOf(env),
    limits: readLimits(env),
  });
}

/** What the command line is told by the environment. */
export type ClientConfig = {
  /** Where the server is. */
  url: string;
  /** Undefined: a file has it, or in development mode it can be made. */
  token: string | undefined;
  /** Where the key of development mode is; undefined: another key is configured. */
  developmentDir: string | undefined;
  /** What such a token must say. */
  jwtIssuer: string | undefined;
  jwtAudience: string | undefined;
};

/** Reads what a client needs. An empty variable counts as unset. */
export function readClientConfig(environment: Record<string, string | undefined>): ClientConfig {
  const { MINUTEBOOK_URL, MINUTEBOOK_TOKEN, PORT, DATA_DIR } = environment;
  const hasKey = [environment.JWT_SECRET, environment.JWT_PUBLIC_KEY, environment.JWKS_URL].some(Boolean);
  const { default: port } = Environment.properties.PORT as { default?: string };
  const { default: dataDir } = Environment.properties.DATA_DIR as { default?: string };
  return {
    url: MINUTEBOOK_URL || `http://127.0.0.1:${PORT || port}`,
    token: MINUTEBOOK_TOKEN || undefined,
    developmentDir: hasKey ? undefined : DATA_DIR || dataDir,
    jwtIssuer: environment.JWT_ISSUER || undefined,
    jwtAudience: environment.JWT_AUDIENCE || undefined,
  };
}
