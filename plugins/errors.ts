import { type IncomingMessage, STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError, type ErrorCode, errorCodes } from '../src/core/errors.ts';
import { headerValues } from '../src/core/header-values.ts';
import type { Problem } from '../src/core/schemas.ts';
import { securityHeaders } from '../src/core/security-headers.ts';

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether the server has begun to stop. */
    isClosing: () => boolean;
  }
  interface FastifyReply {
    /** The error that this reply tells the client about; null while all is well. */
    refusal: CodedError | null;
  }
}

/** How long a peer who sent no request has to read the answer and to go. */
const LINGER_MS = 1_000;
const PROBLEM_TYPE = 'application/problem+json; charset=utf-8';

/** The problem document (RFC 9457) of an error. */
export function problemOf(error: CodedError): Problem {
  return {
    type: `urn:minutebook:problem:${error.code}`,
    title: errorCodes[error.code].title,
    status: error.status,
    detail: error.message,
    code: error.code,
    ...(error.parameter === undefined ? {} : { parameter: error.parameter }),
  };
}

/** What a problem of a status means to the reader of the API’s description. */
const meanings = {
  400: 'A parameter is not valid',
  401: 'No valid token',
  403: 'The token lacks the right, or its user is banned',
  404: 'There is no such thing',
  410: 'The log no longer keeps it',
  426: 'Not a WebSocket handshake',
  429: 'A limit is reached; Retry-After says when to ask again',
  500: 'Something went wrong on the server',
  503: 'The log cannot be written or read now',
} as const;

/** The error answers of a route, for its schema. */
export const problems = (...statuses: (keyof typeof meanings)[]) =>
  Object.fromEntries(
    statuses.map((status) => [
      status,
      {
        description: meanings[status],
        content: { 'application/problem+json': { schema: { $ref: 'Problem#' } } },
      },
    ]),
  );

/** Whether a request asks for a WebSocket. Upgrades to anything else are ignored, as RFC 9110 7.8 allows. */
export const isHandshake = ({ headers }: IncomingMessage): boolean =>
  headers.upgrade?.toLowerCase() === 'websocket';

/** Sends an error as a problem and remembers it for the audit. */
export function sendProblem(reply: FastifyReply, error: CodedError): FastifyReply {
  reply.refusal = error;
  if (error.retryAfter !== undefined) reply.header('retry-after', error.retryAfter);
  if (error.status === 401) reply.header('www-authenticate', 'Bearer');
  // A refused handshake leaves a connection that no HTTP parser reads any more.
  const { raw } = reply.request;
  if (isHandshake(raw)) {
    reply.raw.once('finish', () => raw.socket.destroySoon());
    reply.header('connection', 'close');
  }
  // RFC 9110 15.5.22, RFC 6455 4.4
  if (error.code === 'upgrade_required') {
    reply
      .header('upgrade', 'websocket')
      .header('connection', 'upgrade, close')
      .header('sec-websocket-version', '13');
  }
  return reply
    .code(error.status)
    .header('cache-control', 'no-store')
    .type(PROBLEM_TYPE)
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(problemOf(error));
}

/** The answer with an error, for where there is no reply to send it with; it closes the connection. */
export function plainAnswer(error: CodedError, isSecure: boolean) {
  const body = JSON.stringify(problemOf(error));
  const headers = {
    ...securityHeaders(isSecure),
    'content-type': PROBLEM_TYPE,
    'cache-control': 'no-store',
    'content-length': Buffer.byteLength(body),
    ...(error.retryAfter === undefined ? {} : { 'retry-after': String(error.retryAfter) }),
    connection: 'close',
  };
  return { status: error.status, headers, body };
}

/** An error of a connection, or of what came over it. */
export type SocketError = Error & { code?: string };

/** Who has not agreed on a key, be it for speaking plain HTTP, could not read an answer. */
const isGone = ({ code = '' }: SocketError): boolean => code === 'ECONNRESET' || /^ERR_(SSL|TLS)_/.test(code);

const malformed: Record<string, ErrorCode> = {
  HPE_HEADER_OVERFLOW: 'headers_too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'timeout',
};

/** What its sender can do about it; of the rest, the title says all there is to say. */
const cures: Record<string, string> = {
  HPE_INVALID_URL: 'The address is malformed; what is not ASCII in it must be percent-encoded.',
};

const malformedCode = (error: SocketError): ErrorCode => malformed[error.code ?? ''] ?? 'bad_request';

/**
 * As what bytes are refused that are no HTTP request, or not in time; undefined when nothing was asked, or the peer is
 * gone. Browsers open connections ahead of need; one that never asked for anything is refused nothing.
 */
export const codeOfMalformed = (error: SocketError, { bytesRead }: Socket): ErrorCode | undefined =>
  bytesRead === 0 || isGone(error) ? undefined : malformedCode(error);

/** Answers bytes that are no HTTP request, which no route or hook ever sees, with a problem all the same. */
export function answerMalformed(error: SocketError, socket: Socket): void {
  if (isGone(error) || !socket.writable) {
    socket.destroy();
    return;
  }
  const code = malformedCode(error);
  const { status, headers, body } = plainAnswer(
    new CodedError(code, cures[error.code ?? ''] ?? `${errorCodes[code].title}.`),
    socket instanceof TLSSocket,
  );
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  // Half-closed, a connection would stay for as long as its peer likes; closed at once, its reset may overtake the answer.
  const deadline = setTimeout(() => socket.destroy(), LINGER_MS).unref();
  socket.once('close', () => clearTimeout(deadline));
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`);
}

/** The closest of the known names, if one is close: at most two letters are wrong, and a third of them. */
function closest(name: string, known: readonly string[]): string | undefined {
  const distance = (a: string, b: string): number => {
    let row = Array.from({ length: b.length + 1 }, (_, index) => index);
    for (let i = 1; i <= a.length; i += 1) {
      const next = [i];
      for (let j = 1; j <= b.length; j += 1) {
        const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
        next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
      }
      row = next;
    }
    return row[b.length] ?? 0;
  };
  const [best] = known.map((word) => ({ word, d: distance(name, word) })).sort((x, y) => x.d - y.d);
  return best !== undefined && best.d <= Math.min(2, name.length / 3) ? best.word : undefined;
}

type SchemaWithProperties = { properties?: Record<string, unknown> } | undefined;

/** Turns Ajv’s first complaint into a sentence that names the parameter. */
function validationError(error: FastifyError, request: FastifyRequest): CodedError {
  const [first] = error.validation ?? [];
  const where = error.validationContext ?? 'request';
  if (first?.keyword === 'additionalProperties') {
    const name = String(first.params.additionalProperty);
    const schema = request.routeOptions.schema?.[where as 'querystring'] as SchemaWithProperties;
    const guess = closest(name, Object.keys(schema?.properties ?? {}));
    const hint = guess === undefined ? '' : ` Did you mean “${guess}”?`;
    return new CodedError('invalid_parameter', `There is no parameter “${name}”.${hint}`, {
      parameter: name,
    });
  }
  if (first?.keyword === 'required') {
    const name = String(first.params.missingProperty);
    return new CodedError('invalid_parameter', `“${name}” is missing.`, { parameter: name });
  }
  const parameter = first?.instancePath.split('/')[1] ?? '';
  if (parameter === '') return new CodedError('bad_request', `The ${where} is not valid.`);
  const allowed =
    first?.keyword === 'enum' ? `: ${(first.params.allowedValues as unknown[]).join(', ')}` : '';
  // Ajv turns a lone value into a list but not a list into one value: that one was given twice.
  const message =
    first?.keyword === 'type' && first.params.type === 'string'
      ? 'must be given once'
      : `${first?.message}${allowed}`;
  return new CodedError('invalid_parameter', `“${parameter}” ${message}.`, { parameter });
}

const byStatus: Partial<Record<number, ErrorCode>> = {
  404: 'not_found',
  413: 'too_large',
  415: 'unsupported_media_type',
  429: 'rate_limited',
  503: 'overloaded',
};

/** Any error as one that may be told outside: Fastify’s own by their status, ours as they are, the rest as 500. */
export function toCodedError(error: FastifyError, request: FastifyRequest): CodedError {
  if (error instanceof CodedError) return error;
  // Anything may be thrown, also null; failing here would hand over to Fastify, which tells what the failure was.
  if (error?.validation !== undefined) return validationError(error, request);
  const status = error?.statusCode ?? 500;
  if (status >= 500 && status !== 503) {
    return new CodedError('internal', 'Something went wrong; the server’s log says what.', { cause: error });
  }
  const code = byStatus[status] ?? 'bad_request';
  return new CodedError(code, `${STATUS_CODES[status] ?? 'Bad request'}.`, { cause: error });
}

/** RFC 9110 2.5: what another version means, we do not know; Node takes any. */
function checkVersion({ raw }: FastifyRequest): void {
  if (!raw.httpVersion.startsWith('1.')) throw new CodedError('bad_request', 'This server speaks HTTP/1.1.');
}

/**
 * RFC 9112 3.2: one Host, no more. Node would take the first of two, ask for none in a handshake, and answer with no
 * problem document (see requireHostHeader in src/app.ts).
 */
function checkHost({ raw }: FastifyRequest): void {
  const hosts = headerValues(raw.rawHeaders, 'host').length;
  if (hosts > 1 || (hosts === 0 && raw.httpVersion === '1.1')) {
    throw new CodedError('bad_request', 'A request has one Host header.');
  }
}

/** RFC 9112 3.2.4: the asterisk is a target of OPTIONS alone; the router would take it for the root. */
function checkTarget({ raw }: FastifyRequest): void {
  if (raw.url === '*') throw new CodedError('bad_request', 'The target of a request is an address.');
}

/** One way from an error to an answer: problem+json with a code from the closed list. */
export default fp(
  async function errors(fastify: FastifyInstance) {
    let closing = false;
    fastify.decorate('isClosing', () => closing);
    fastify.decorateReply('refusal', null);
    // Fastify's own answer while it closes is no problem document; readiness says the same by itself.
    fastify.addHook('preClose', async () => {
      closing = true;
    });
    // Node would answer this with a bare 417. RFC 9110 10.1.1: what is not understood may be passed over.
    fastify.server.on('checkExpectation', (request, response) => {
      fastify.server.emit('request', request, response);
    });
    fastify.addHook('onRequest', async (request) => {
      checkVersion(request);
      checkHost(request);
      checkTarget(request);
      // Probes are answered to the end, each by its own route.
      if (closing && !request.routeOptions.url?.startsWith('/health/')) {
        throw new CodedError('overloaded', 'The server is shutting down.');
      }
    });
    fastify.setErrorHandler((error: FastifyError, request, reply) => {
      const coded = toCodedError(error, request);
      if (coded.code === 'internal') request.log.error({ req: request, err: error }, 'request failed');
      return sendProblem(reply, coded);
    });
    fastify.setNotFoundHandler((_request, reply) =>
      sendProblem(reply, new CodedError('not_found', 'There is nothing at this address.')),
    );
  },
  { name: 'errors' },
);
