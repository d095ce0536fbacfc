import { isUtf8 } from 'node:buffer';
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

/** Refuses a body that Ajv would turn into what is asked for: a number into text, a list of one into its item. */
function checkBody(body: unknown, properties: Properties): void {
  if (properties === undefined || body === undefined) return;
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    throw new CodedError('bad_request', 'The body must be a JSON object.');
  }
  for (const [name, value] of Object.entries(body)) {
    if (properties[name]?.type === 'string' && typeof value !== 'string') {
      throw new CodedError('invalid_parameter', `“${name}” must be text.`, { parameter: name });
    }
  }
}

/** Strictness that JSON Schema cannot say; runs before the schema of the route. */
export default fp(
  async function validation(fastify: FastifyInstance) {
    const parseJson = fastify.getDefaultJsonParser('error', 'error');
    // RFC 8259 8.1. Fastify's own parser would put U+FFFD in the place of what is no UTF-8.
    fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
      if (isUtf8(body)) parseJson(request, body.toString(), done);
      else done(new CodedError('bad_request', 'The body is not UTF-8.'));
    });
    fastify.addHook('preValidation', async (request) => {
      checkEncoding(request);
      const { schema } = request.routeOptions;
      const propertiesOf = (part: unknown) => (part as { properties?: Properties } | undefined)?.properties;
      checkIntegers(request.query, propertiesOf(schema?.querystring));
      checkIntegers(request.params, propertiesOf(schema?.params));
      checkBody(request.body, propertiesOf(schema?.body));
    });
  },
  { name: 'validation', dependencies: ['errors'] },
);
