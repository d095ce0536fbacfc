import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError } from '../src/core/errors.ts';

const WHOLE = /^(0|[1-9]\d{0,15})$/;

type Properties = Record<string, { type?: string }> | undefined;

/** Refuses percent-encoding that is no UTF-8 (RFC 3986 2.1), which a parser would pass on undecoded. */
export function checkEncoding(request: FastifyRequest): void {
  const { url = '' } = request.raw;
  const start = url.indexOf('?');
  if (start === -1) return;
  try {
    decodeURIComponent(url.slice(start + 1));
  } catch (cause) {
    throw new CodedError('bad_request', 'The query string is not percent-encoded UTF-8.', { cause });
  }
}

/**
 * Refuses what Ajv's coercion would repair: for it `0x10`, `1e2` and ` 10` are integers, and an empty text
 * is 0. Values are still raw text here.
 */
function checkIntegers(values: unknown, properties: Properties): void {
  for (const [name, schema] of Object.entries(properties ?? {})) {
    const value = (values as Record<string, unknown>)[name];
    if (schema.type !== 'integer' || value === undefined) continue;
    if (typeof value !== 'string') {
      throw new CodedError('invalid_parameter', `“${name}” must be given once.`, { parameter: name });
    }
    if (!WHOLE.test(value) || !Number.isSafeInteger(Number(value))) {
      throw new CodedError('invalid_parameter', `“${name}” must be a whole number in decimal digits.`, {
        parameter: name,
      });
    }
  }
}

/** RFC 9112 3.2: one Host, no more; Node would take the first, and asks for none in a handshake. */
function checkHost({ raw }: FastifyRequest): void {
  // Names and values in turn.
  const isHost = (text: string, index: number) => index % 2 === 0 && text.toLowerCase() === 'host';
  const hosts = raw.rawHeaders.filter(isHost).length;
  if (hosts > 1 || (hosts === 0 && raw.httpVersion === '1.1')) {
    throw new CodedError('bad_request', 'A request has one Host header.');
  }
}

/** Strictness that JSON Schema cannot say; runs before the schema of the route. */
export default fp(
  async function validation(fastify: FastifyInstance) {
    fastify.addHook('onRequest', async (request) => checkHost(request));
    fastify.addHook('preValidation', async (request) => {
      checkEncoding(request);
      const { schema } = request.routeOptions;
      const propertiesOf = (part: unknown) => (part as { properties?: Properties } | undefined)?.properties;
      checkIntegers(request.query, propertiesOf(schema?.querystring));
      checkIntegers(request.params, propertiesOf(schema?.params));
    });
  },
  { name: 'validation', dependencies: ['errors'] },
);
