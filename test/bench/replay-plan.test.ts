import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { type Test, test } from 'tap';
import { type Plan, readPlan } from '../../bench/replay/plan.ts';

type Line = { kind: string; user: string; text?: string; to?: string; at?: string };

/** Lines a second apart. */
const record = (lines: Line[]): string =>
  lines
    .map((line, second) => `${JSON.stringify({ at: new Date(second * 1_000).toISOString(), ...line })}\n`)
    .join('');

const read = (t: Test, content: string | Buffer, name = 'record.ndjson'): Promise<Plan> =>
  readPlan(join(t.testdir({ [name]: content }), name));

/** The steps as text, by user. */
const stepsOf = ({ users }: Plan): Record<string, string[]> =>
  Object.fromEntries(
    [...users].map(([user, steps]) => [
      user,
      steps.map(({ kind, at, text }) => `${at / 1_000} ${kind}${text === '' ? '' : ` ${text}`}`),
    ]),
  );

const noFile = {
  lines: 0,
  messages: 0,
  joins: 0,
  leaves: 0,
  nicks: 0,
  messagesFromOutside: 0,
  usersOutside: 0,
  repeatedJoins: 0,
  leavesOutside: 0,
  blankTexts: 0,
};
const nothingAdded = { joinsOfSpeakers: 0, joinsOfNicks: 0, leavesOfNicks: 0 };
const nothingSkipped = { joins: 0, leaves: 0, texts: 0 };

test('a record without surprises is played as it stands', async (t) => {
  const plan = await read(
    t,
    record([
      { kind: 'join', user: 'alice' },
      { kind: 'join', user: 'bob' },
      { kind: 'message', user: 'alice', text: ' hi ' },
      { kind: 'message', user: 'bob', text: 'ho' },
      { kind: 'leave', user: 'alice' },
      { kind: 'join', user: 'alice' },
    ]),
  );
  t.strictSame(stepsOf(plan), {
    alice: ['0 join', '2 message  hi ', '4 leave', '5 join'],
    bob: ['1 join', '3 message ho'],
  });
  t.strictSame(plan.file, { ...noFile, lines: 6, messages: 2, joins: 3, leaves: 1 });
  t.strictSame(plan.played, { joins: 3, leaves: 1, messages: 2 });
  t.strictSame(plan.added, nothingAdded);
  t.strictSame(plan.skipped, nothingSkipped);
});

test('a speaker outside the room joins first, once', async (t) => {
  const plan = await read(
    t,
    record([
      { kind: 'message', user: 'alice', text: 'a' },
      { kind: 'message', user: 'alice', text: 'b' },
      { kind: 'message', user: 'bob', text: 'c' },
      { kind: 'leave', user: 'alice' },
      { kind: 'message', user: 'alice', text: 'd' },
    ]),
  );
  t.strictSame(stepsOf(plan), {
    alice: ['0 join', '0 message a', '1 message b', '3 leave', '4 join', '4 message d'],
    bob: ['2 join', '2 message c'],
  });
  t.strictSame(plan.added, { ...nothingAdded, joinsOfSpeakers: 3 });
  t.strictSame(plan.skipped, nothingSkipped);
  t.strictSame(plan.played, { joins: 3, leaves: 1, messages: 4 });
  // As the file stands, alice never joined, so that her leave is from outside and all she says is, too.
  t.strictSame(plan.file, {
    ...noFile,
    lines: 5,
    messages: 4,
    leaves: 1,
    messagesFromOutside: 4,
    usersOutside: 2,
    leavesOutside: 1,
  });
});

test('repeated joins, leaves from outside and blank texts are skipped and counted', async (t) => {
  const plan = await read(
    t,
    record([
      { kind: 'leave', user: 'alice' },
      { kind: 'join', user: 'alice' },
      { kind: 'join', user: 'alice' },
      { kind: 'message', user: 'alice', text: '' },
      { kind: 'message', user: 'alice', text: ' \t\u3000' },
      { kind: 'message', user: 'bob', text: ' ' },
      { kind: 'leave', user: 'alice' },
      { kind: 'leave', user: 'alice' },
    ]),
  );
  t.strictSame(stepsOf(plan), { alice: ['1 join', '6 leave'] });
  t.strictSame(plan.skipped, { joins: 1, leaves: 2, texts: 3 });
  t.strictSame(plan.added, nothingAdded);
  t.strictSame(plan.played, { joins: 1, leaves: 1, messages: 0 });
  t.strictSame(plan.file, {
    ...noFile,
    lines: 8,
    messages: 3,
    joins: 2,
    leaves: 3,
    repeatedJoins: 1,
    leavesOutside: 2,
    blankTexts: 3,
    messagesFromOutside: 1,
    usersOutside: 1,
  });
});

test('a nick change is a leave, and a join under the new name', async (t) => {
  const plan = await read(
    t,
    record([
      { kind: 'join', user: 'alice' },
      { kind: 'nick', user: 'alice', to: 'alice_' },
      { kind: 'message', user: 'alice_', text: 'a' },
      // from outside: only the join
      { kind: 'nick', user: 'bob', to: 'robert' },
      // to a name that is in: only the leave
      { kind: 'nick', user: 'robert', to: 'alice_' },
      // and back to its own name: both
      { kind: 'nick', user: 'alice_', to: 'alice_' },
      { kind: 'leave', user: 'alice_' },
    ]),
  );
  t.strictSame(stepsOf(plan), {
    alice: ['0 join', '1 leave'],
    alice_: ['1 join', '2 message a', '5 leave', '5 join', '6 leave'],
    robert: ['3 join', '4 leave'],
  });
  t.strictSame(plan.added, { joinsOfSpeakers: 0, joinsOfNicks: 3, leavesOfNicks: 3 });
  t.strictSame(plan.played, { joins: 4, leaves: 4, messages: 1 });
  t.strictSame(
    plan.file,
    {
      ...noFile,
      lines: 7,
      messages: 1,
      joins: 1,
      leaves: 1,
      nicks: 4,
      messagesFromOutside: 1,
      usersOutside: 1,
      leavesOutside: 1,
    },
    'the file’s own counts leave nick changes out of account',
  );
});

test('what is played is what the file holds, plus what was added, less what was skipped', async (t) => {
  const lines: Line[] = [];
  const kinds = ['join', 'leave', 'message', 'message', 'message', 'nick'];
  // A fixed walk through all that may follow on each other.
  for (let step = 0, state = 1; step < 2_000; step += 1) {
    state = (state * 48_271) % 2_147_483_647;
    const kind = kinds[state % kinds.length] ?? '';
    const user = `user ${(state >> 8) % 5}`;
    lines.push({
      kind,
      user,
      text: state % 11 === 0 ? ' ' : `text ${step}`,
      to: `user ${(state >> 12) % 5}`,
    });
  }
  const { file, played, added, skipped, users } = await read(t, record(lines));
  t.equal(file.lines, 2_000);
  t.equal(file.joins + file.leaves + file.messages + file.nicks, file.lines);
  t.equal(played.joins, file.joins - skipped.joins + added.joinsOfSpeakers + added.joinsOfNicks);
  t.equal(played.leaves, file.leaves - skipped.leaves + added.leavesOfNicks);
  t.equal(played.messages, file.messages - skipped.texts);
  t.equal(file.blankTexts, skipped.texts);
  for (const count of [...Object.values(added), ...Object.values(skipped)]) t.ok(count > 0);

  // Nobody speaks or leaves outside the room, or joins within it.
  const wrong: string[] = [];
  for (const [user, steps] of users) {
    let isInside = false;
    for (const { kind, at } of steps) {
      if (isInside === (kind === 'join')) wrong.push(`${user} ${at} ${kind}`);
      isInside = kind !== 'leave';
    }
  }
  t.strictSame(wrong, []);
});

test('lines end with LF alone, whatever stands in a text', async (t) => {
  const texts = ['a\u2028b', 'a\u2029b', 'a\u0085b', 'a\u000bb', 'a\rb', 'a\nb', 'a\r\nb', '"}', '\ufeff'];
  const lines = texts.map((text) => ({ kind: 'message', user: 'alice', text }));
  // JSON leaves U+2028 and U+2029 as they are.
  t.match(record(lines), '\u2028');
  for (const content of [
    record(lines),
    record(lines).trimEnd(),
    record(lines).replaceAll('\n', '\r\n'),
    record(lines).replaceAll('\n', '\n\n \n'),
  ]) {
    const plan = await read(t, content);
    const said = plan.users.get('alice')?.filter(({ kind }) => kind === 'message');
    // A byte order mark is blank to JavaScript.
    t.strictSame(
      said?.map(({ text }) => text),
      texts.slice(0, -1),
    );
    t.equal(plan.file.lines, texts.length);
  }
});

test('a long record in any script is read whole, packed or not', async (t) => {
  // Three bytes to a character, so that some stand across the bounds of what is read at a time.
  const texts = Array.from({ length: 1_000 }, (_, number) => `${number} ${'漢'.repeat(200 + (number % 3))}`);
  const content = record(texts.map((text) => ({ kind: 'message', user: 'alice', text })));
  t.ok(Buffer.byteLength(content) > 500_000);
  for (const [name, bytes] of [
    ['record.ndjson', content],
    ['record.ndjson.gz', gzipSync(content)],
  ] as const) {
    const plan = await read(t, bytes, name);
    t.strictSame(
      plan.users
        .get('alice')
        ?.slice(1)
        .map(({ text }) => text),
      texts,
      name,
    );
    t.equal(plan.played.messages, 1_000);
  }
});

test('the plan starts at the earliest time, wherever it stands', async (t) => {
  const at = (text: string) => ({ kind: 'join', user: text, at: text });
  const plan = await read(
    t,
    record([at('2010-05-01T10:00:02Z'), at('2010-05-01T12:00:00+02:00'), at('2010-05-01T10:00:01Z')]),
  );
  t.equal(plan.startsAt, Date.UTC(2010, 4, 1, 10));
  t.strictSame(
    [...plan.users.values()].flat().map(({ at }) => at - plan.startsAt),
    [2_000, 0, 1_000],
    'each step keeps its own',
  );
});

test('an empty record is an empty plan', async (t) => {
  for (const content of ['', '\n', ' \n\n']) {
    const plan = await read(t, content);
    t.equal(plan.users.size, 0);
    t.strictSame(plan.file, noFile);
  }
});

test('a line that cannot be meant stops the reading, and its number is told', async (t) => {
  const good = record([{ kind: 'join', user: 'alice' }]);
  const at = '2010-05-01T10:00:00Z';
  for (const bad of [
    { at, kind: 'shout', user: 'a' },
    { at, user: 'a' },
    { at, kind: 'join' },
    { at, kind: 'join', user: 1 },
    { kind: 'join', user: 'a' },
    { at: 'noon', kind: 'join', user: 'a' },
    { at, kind: 'message', user: 'a' },
    { at, kind: 'message', user: 'a', text: null },
    { at, kind: 'nick', user: 'a' },
    { at, kind: 'nick', user: 'a', to: 1 },
    {},
    [],
    null,
    1,
    'join',
  ]) {
    const line = JSON.stringify(bad);
    await t.rejects(read(t, `${good}\n${line}\n${good}`), { message: /\bline 3\b/ }, line);
    await t.rejects(read(t, `${good}${line}`), { message: /\bline 2\b/ }, `${line} at the end`);
  }
  for (const line of ['{', 'join alice', '{"at":"a\u0001"}', '{}{}']) {
    await t.rejects(read(t, `${good}\n${line}\n${good}`), { message: /\bline 3\b/ }, JSON.stringify(line));
  }
});

test('a file that is not there, or not what its name says, is an error', async (t) => {
  await t.rejects(readPlan(join(t.testdir({}), 'none.ndjson')), { code: 'ENOENT' });
  await t.rejects(readPlan(join(t.testdir({}), 'none.ndjson.gz')), { code: 'ENOENT' });
  await t.rejects(read(t, record([{ kind: 'join', user: 'a' }]), 'plain.ndjson.gz'), {
    code: 'Z_DATA_ERROR',
  });
  const packed = gzipSync(record([{ kind: 'join', user: 'a' }]));
  await t.rejects(read(t, packed.subarray(0, -9), 'cut.ndjson.gz'), { code: 'Z_BUF_ERROR' });
});
