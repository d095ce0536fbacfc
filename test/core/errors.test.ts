import { test } from 'tap';
import { CodedError, type ErrorCode, errorCodes, OutcomeUnknownError } from '../../src/core/errors.ts';

const codes = Object.keys(errorCodes) as ErrorCode[];

test('every code has the status of an error and a title in plain words', async (t) => {
  for (const code of codes) {
    const { status, title } = errorCodes[code];
    t.match(code, /^[a-z]+(_[a-z]+)*$/);
    t.ok(Number.isInteger(status) && status >= 400 && status < 600, code);
    t.match(title, /^[A-Z].*[^.]$/, code);
  }
});

test('the codes that chat clients know are in the list, with these statuses', async (t) => {
  const known: Partial<Record<ErrorCode, number>> = {
    bad_frame: 400,
    invalid_text: 400,
    too_large: 413,
    not_in_room: 403,
    forbidden: 403,
    rate_limited: 429,
    overloaded: 503,
    audit_unavailable: 503,
    outcome_unknown: 503,
  };
  for (const [code, status] of Object.entries(known)) {
    t.equal(new CodedError(code as ErrorCode, '').status, status, code);
  }
});

test('an error carries its code, its words, the parameter and the cause', async (t) => {
  const cause = new Error('cause');
  const error = new CodedError('invalid_parameter', 'Not so.', { parameter: 'from', cause });
  t.type(error, Error);
  t.match(error, {
    name: 'CodedError',
    code: 'invalid_parameter',
    message: 'Not so.',
    parameter: 'from',
    status: 400,
  });
  t.equal(error.cause, cause);
  const plain = new CodedError('not_found', 'Nothing.');
  t.equal(plain.parameter, undefined);
  t.notOk('cause' in plain);
});

test('an unknown outcome is settled late, either way', async (t) => {
  const cause = new Error('no answer');
  const receipt = { seq: 41, timestamp: '2026-11-22T09:30:00.123456Z' };
  const kept = new OutcomeUnknownError(Promise.resolve(receipt), cause);
  t.type(kept, CodedError);
  t.match(kept, { name: 'OutcomeUnknownError', code: 'outcome_unknown', status: 503 });
  t.equal(kept.cause, cause);
  t.equal(await kept.settled, receipt);
  const refusal = new CodedError('audit_unavailable', 'Not on record.');
  await t.rejects(new OutcomeUnknownError(Promise.reject(refusal), cause).settled, refusal);
});

test('nobody needs to care for the late truth', async (t) => {
  const unhandled: unknown[] = [];
  const listener = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', listener);
  t.teardown(() => process.off('unhandledRejection', listener));
  new OutcomeUnknownError(Promise.reject(new CodedError('audit_unavailable', 'Not on record.')), undefined);
  // Node tells of unhandled rejections once the microtasks are done.
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(unhandled, []);
});
