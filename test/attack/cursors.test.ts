import fc from 'fast-check';
import { test } from 'tap';
import type { AuditPage, Problem } from '../../src/core/schemas.ts';
import { build } from '../support/app.ts';
import { connect } from '../support/client.ts';
import { noLimits } from '../support/limits.ts';
import { anyText, holds, mutated } from '../support/property.ts';

/** Queries whose first pages give cursors. */
const queries = [
  'limit=2',
  'limit=2&order=asc',
  'limit=1&user_id=alice',
  'limit=1&user_id=alice&user_id=bob&order=asc',
  'limit=2&room=lobby&from=-1h',
  'limit=1&action=MESSAGE_SENT&from=-2h&to=9999-01-01T00:00:00Z&order=asc',
];

const decode = (part: string): string => Buffer.from(part, 'base64url').toString();
const encode = (text: string): string => Buffer.from(text).toString('base64url');

/** A cursor whose content was changed, under the signature that it had. */
const rewritten = (cursor: string): fc.Arbitrary<string> => {
  const [payload = '', signature = ''] = cursor.split('.');
  return mutated(decode(payload)).map((changed) => `${encode(changed)}.${signature}`);
};

/** The beginning of one and the end of another. */
const spliced = (one: string, other: string): fc.Arbitrary<string> =>
  fc
    .tuple(fc.nat({ max: one.length }), fc.nat({ max: other.length }))
    .map(([a, b]) => one.slice(0, a) + other.slice(b));

test('a cursor that was changed, or is another query’s, is refused, and gives nobody a page', async (t) => {
  const server = await build(t, noLimits);
  for (const user of ['alice', 'bob']) {
    const client = await connect(t, server, user);
    for (let n = 0; n < 5; n += 1) await client.ask({ type: 'message', text: `${n}` });
  }
  const pages = await Promise.all(queries.map((query) => server.page(query)));
  const cursors = pages.map(({ next_cursor }) => next_cursor ?? '');
  t.equal(new Set(cursors).size, queries.length);
  const reads = async () => (await server.events('action=AUDIT_READ&user_id=mallory')).length;

  const authorization = `Bearer ${await server.token('mallory', 'audit:read')}`;
  const made = fc
    .record({
      query: fc.nat({ max: queries.length - 1 }),
      from: fc.nat({ max: queries.length - 1 }),
      other: fc.nat({ max: queries.length - 1 }),
    })
    .chain(({ query, from, other }) => {
      const cursor = cursors[from] ?? '';
      const changed = fc.oneof(
        mutated(cursor),
        mutated(cursor).chain(mutated),
        rewritten(cursor),
        spliced(cursor, cursors[other] ?? ''),
        anyText(100),
        fc.constant(cursor),
      );
      return fc.record({ query: fc.constant(query), text: changed });
    });
  await holds(made, async ({ query, text }) => {
    // The one that is good: this query's own.
    fc.pre(Buffer.from(text).toString() !== cursors[query]);
    const url = `/audit?${queries[query]}&cursor=${encodeURIComponent(Buffer.from(text).toString())}`;
    const answer = await server.get(url, { authorization });
    const problem = (await answer.json()) as Problem & AuditPage;
    const isRefused =
      (answer.status === 400 && problem.code === 'invalid_cursor' && problem.parameter === 'cursor') ||
      (answer.status === 410 && problem.code === 'expired');
    if (!isRefused || problem.data !== undefined) throw new Error(`${answer.status} ${problem.code}`);
  });
  t.equal(await reads(), 0, 'nobody read anything');
  for (const [index, query] of queries.entries()) {
    const { status } = await server.get(`/audit?${query}&cursor=${cursors[index]}`, { authorization });
    t.equal(status, 200, 'the cursors themselves are good still');
  }
});
