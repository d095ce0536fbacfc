import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerOptions } from 'node:http';
import { join } from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import addresses from '../plugins/addresses.ts';
import auditPlugin from '../plugins/audit/index.ts';
import auth from '../plugins/auth/index.ts';
import chat from '../plugins/chat/index.ts';
import database from '../plugins/database.ts';
import disk from '../plugins/disk.ts';
import durability from '../plugins/durability.ts';
import errors, { isHandshake, toCodedError } from '../plugins/errors.ts';
import headers, { protect } from '../plugins/headers.ts';
import limits from '../plugins/limits.ts';
import metrics from '../plugins/metrics/index.ts';
import moderation from '../plugins/moderation.ts';
import openapi from '../plugins/openapi.ts';
import pace from '../plugins/pace/index.ts';
import refusals from '../plugins/refusals.ts';
import searchIndex from '../plugins/search-index.ts';
import streams from '../plugins/streams/index.ts';
import tail from '../plugins/tail.ts';
import tls from '../plugins/tls.ts';
import turns from '../plugins/turns.ts';
import unread from '../plugins/unread.ts';
import validation from '../plugins/validation.ts';
import websocket from '../plugins/websocket.ts';
import exportRoutes from '../routes/audit/export/index.ts';
import auditRoutes from '../routes/audit/index.ts';
import auditStreamRoutes from '../routes/audit/stream.ts';
import healthRoutes from '../routes/health.ts';
import metricsRoutes from '../routes/metrics.ts';
import moderationRoutes from '../routes/moderation/index.ts';
import pageRoutes from '../routes/pages.ts';
import sessionRoutes from '../routes/sessions.ts';
import ticketRoutes from '../routes/ticket.ts';
import type { Config } from './config.ts';
import { trustedProxies } from './core/proxies.ts';
import { developmentSecret } from './development.ts';
import { loggerOptions, RequestLog } from './logger.ts';
import { readTls, type TlsMaterial } from './tls.ts';
import { version } from './version.ts';

const KIB = 1024;
const SECOND_MS = 1_000;
/** How long a request may take to come, with its body. */
const REQUEST_MS = 15_000;
/** What a request may hold before its body: fifty users, each of 128 bytes, percent-encoded, and a token. */
const MAX_HEADER_BYTES = 32 * KIB;

/**
 * The whole server, plugin by plugin. The order is behaviour: what stands above is ready before what stands
 * below, and is closed after it (`onClose` runs from the bottom up).
 *
 * @param onCreated told of the server before anything is started, so that it can be closed at any time
 */
export async function buildApp(
  config: Config,
  onCreated: (app: FastifyInstance) => void = () => {},
): Promise<FastifyInstance> {
  const material = config.tls === undefined ? undefined : await readTls(config.tls);
  const app: FastifyInstance = Fastify({
    ...serverOptions(
      material,
      config.limits.handshakeSeconds * SECOND_MS,
      (request) => isHandshake(request) && app.mayUpgrade(request),
    ),
    logger: loggerOptions(config.logLevel),
    logController: new RequestLog(),
    genReqId: () => randomUUID(),
    bodyLimit: 64 * KIB,
    return503OnClosing: false,
    // What asks for nothing takes a place of its address. A proxy may use its connections for longer, and must not find
    // them closed: the usual ones let them idle for 60 s.
    keepAliveTimeout: config.trustProxy === undefined ? 10_000 : 72_000,
    ...(config.trustProxy === undefined ? {} : { trustProxy: trustedProxies(config.trustProxy) }),
    forceCloseConnections: true,
    clientErrorHandler: (error, socket) => app.refuseMalformed(error, socket),
    // A first start may have to initialise a database and migrate a large one.
    pluginTimeout: 600_000,
    routerOptions: { maxParamLength: 512 },
    ajv: {
      // Fastify's default drops unknown query parameters: a misspelt filter would give an unfiltered page.
      customOptions: { removeAdditional: false, coerceTypes: 'array', useDefaults: true, allErrors: false },
    },
    frameworkErrors: (error, request, reply) => {
      protect(request, reply);
      app.refuseUnrouted(toCodedError(error, request), request, reply);
    },
  });
  onCreated(app);
  try {
    await registerAll(app, config, material);
  } catch (error) {
    // What was started must not outlive a start that failed.
    await app.close();
    throw error;
  }
  return app;
}

/**
 * What Node's own server is told. With TLS there is `https` as well, which Fastify then takes; its types know a server
 * of either kind, and nothing here depends on which it is.
 */
function serverOptions(
  material: TlsMaterial | undefined,
  handshakeMs: number,
  shouldUpgradeCallback: (request: IncomingMessage) => boolean,
): { http: ServerOptions; requestTimeout: number } {
  // The whole of a request cannot take less than its headers.
  const requestTimeout = Math.max(REQUEST_MS, handshakeMs);
  const http: ServerOptions = {
    maxHeaderSize: MAX_HEADER_BYTES,
    headersTimeout: handshakeMs,
    requestTimeout,
    connectionsCheckingInterval: SECOND_MS,
    // Else Node answers by itself; plugins/errors.ts does it in its stead.
    requireHostHeader: false,
    // Else Node hands every Upgrade over, also the h2c that HTTP clients offer by habit.
    shouldUpgradeCallback,
  };
  if (material === undefined) return { http, requestTimeout };
  return Object.assign(
    { http, requestTimeout },
    { https: { ...http, ...material, handshakeTimeout: handshakeMs } },
  );
}

async function registerAll(
  app: FastifyInstance,
  config: Config,
  material: TlsMaterial | undefined,
): Promise<void> {
  const development = [config.jwtSecret, config.jwtPublicKey, config.jwksUrl].every(
    (key) => key === undefined,
  );

  await app.register(addresses, { isProxy: trustedProxies(config.trustProxy ?? []) });
  await app.register(tls, { files: config.tls, material });
  await app.register(headers, { allowedOrigins: config.allowedOrigins });
  await app.register(errors);
  await app.register(unread);
  await app.register(validation);
  await app.register(openapi, { version });
  await app.register(database, {
    url: config.databaseUrl,
    dataDir: config.dataDir,
    applicationName: `minutebook ${version}`,
    readMs: config.limits.readSeconds * SECOND_MS,
  });
  await app.register(disk, {
    folder: config.databaseUrl === undefined ? join(config.dataDir, 'postgres') : undefined,
  });
  await app.register(durability);
  await app.register(auth, {
    secret: development ? await developmentSecret(config.dataDir) : config.jwtSecret,
    publicKey: config.jwtPublicKey,
    jwksUrl: config.jwksUrl,
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    development,
    allowedOrigins: config.allowedOrigins,
  });
  await app.register(auditPlugin, { version, dataDir: config.dataDir });
  await app.register(tail);
  await app.register(moderation);
  await app.register(websocket, {
    maxFrameBytes: config.limits.frameBytes,
    maxFragments: config.limits.fragments,
    handshakeMs: config.limits.handshakeSeconds * SECOND_MS,
  });
  await app.register(refusals);
  await app.register(limits, { limits: config.limits });
  await app.register(turns);
  await app.register(pace, { perSecond: config.limits.refusalsPerSecondIp });
  await app.register(chat, { limits: config.limits });
  await app.register(searchIndex);
  await app.register(streams);
  await app.register(auditRoutes);
  await app.register(auditStreamRoutes);
  await app.register(exportRoutes);
  await app.register(sessionRoutes);
  await app.register(ticketRoutes);
  await app.register(moderationRoutes);
  await app.register(pageRoutes, { development });
  await app.register(healthRoutes);
  await app.register(metrics, { version });
  await app.register(metricsRoutes, { host: config.host, port: config.metricsPort });
}
