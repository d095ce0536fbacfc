import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import Fastify, { type FastifyInstance } from 'fastify';
import auditPlugin from '../plugins/audit/index.ts';
import auth from '../plugins/auth/index.ts';
import chat from '../plugins/chat/index.ts';
import database from '../plugins/database.ts';
import disk from '../plugins/disk.ts';
import errors, { answerMalformed, isHandshake, sendProblem, toCodedError } from '../plugins/errors.ts';
import metrics from '../plugins/metrics/index.ts';
import openapi from '../plugins/openapi.ts';
import refusals from '../plugins/refusals.ts';
import tail from '../plugins/tail.ts';
import validation from '../plugins/validation.ts';
import websocket from '../plugins/websocket.ts';
import auditRoutes from '../routes/audit.ts';
import healthRoutes from '../routes/health.ts';
import metricsRoutes from '../routes/metrics.ts';
import sessionRoutes from '../routes/sessions.ts';
import type { Config } from './config.ts';
import { developmentSecret } from './development.ts';
import { loggerOptions } from './logger.ts';
import { version } from './version.ts';

const KIB = 1024;

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
  const app: FastifyInstance = Fastify({
    logger: loggerOptions(config.logLevel),
    genReqId: () => randomUUID(),
    bodyLimit: 64 * KIB,
    return503OnClosing: false,
    requestTimeout: 15_000,
    http: {
      headersTimeout: 10_000,
      connectionsCheckingInterval: 5_000,
      // Else Node hands every Upgrade over, also the h2c that HTTP clients offer by habit.
      shouldUpgradeCallback: isHandshake,
      // Node's own answer is no problem document; see the validation plugin.
      requireHostHeader: false,
    },
    forceCloseConnections: true,
    clientErrorHandler: answerMalformed,
    // A first start may have to initialise a database and migrate a large one.
    pluginTimeout: 600_000,
    routerOptions: { maxParamLength: 512 },
    ajv: {
      // Fastify's default drops unknown query parameters: a misspelt filter would give an unfiltered page.
      customOptions: { removeAdditional: false, coerceTypes: 'array', useDefaults: true, allErrors: false },
    },
    frameworkErrors: (error, request, reply) => {
      sendProblem(reply, toCodedError(error, request));
      app.noteRefusal(request, reply);
    },
  });
  onCreated(app);
  try {
    await registerAll(app, config);
  } catch (error) {
    // What was started must not outlive a start that failed.
    await app.close();
    throw error;
  }
  return app;
}

async function registerAll(app: FastifyInstance, config: Config): Promise<void> {
  const development = [config.jwtSecret, config.jwtPublicKey, config.jwksUrl].every(
    (key) => key === undefined,
  );

  await app.register(errors);
  await app.register(validation);
  await app.register(openapi, { version });
  await app.register(database, {
    url: config.databaseUrl,
    dataDir: config.dataDir,
    applicationName: `minutebook ${version}`,
  });
  await app.register(disk, {
    folder: config.databaseUrl === undefined ? join(config.dataDir, 'postgres') : undefined,
  });
  await app.register(auth, {
    secret: new TextEncoder().encode(config.jwtSecret ?? (await developmentSecret(config.dataDir))),
    issuer: config.jwtIssuer,
    audience: config.jwtAudience,
    development,
    allowedOrigins: config.allowedOrigins,
  });
  await app.register(auditPlugin, { version, dataDir: config.dataDir });
  await app.register(tail);
  await app.register(websocket, { maxFrameBytes: config.limits.frameBytes });
  await app.register(refusals);
  await app.register(chat, { limits: config.limits });
  await app.register(auditRoutes);
  await app.register(sessionRoutes);
  await app.register(healthRoutes);
  await app.register(metrics, { version });
  await app.register(metricsRoutes, { host: config.host, port: config.metricsPort });
}
