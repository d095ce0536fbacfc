import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { parse } from 'yaml';
import { temporaryFolder } from './support/app.ts';
import { until } from './support/client.ts';
import { parseExposition } from './support/exposition.ts';
import { createDatabase } from './support/postgres.ts';
import { bannerToken, startServer } from './support/server.ts';

const ROOT = join(import.meta.dirname, '..');

type Block = { file: string; text: string };

/** The shell commands of a document, block by block. */
async function blocksOf(file: string): Promise<Block[]> {
  const text = await readFile(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```/gm)].map(([, block]) => ({ file, text: block ?? '' }));
}

type Result = { code: number; output: string };

function run(command: string, env: Record<string, string> = {}): Promise<Result> {
  return new Promise((resolve) => {
    execFile('sh', ['-c', command], { cwd: ROOT, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
    );
  });
}

/**
 * Why a block is not run as it stands by the tests below. The first line of each block is named here or there, so
 * that a new command in a document fails until it is tried.
 */
const elsewhere: Record<string, string> = {
  'npm ci && npm start': 'npm ci: .ci/run; npm start: the test below, and test/server.test.ts',
  'npm ci && npm test': '.ci/run',
  'npm ci':
    '.ci/run calls these very commands; npm run format and dev only change what is written or watched',
  "npx node -e '": 'the same claims are signed in test/plugins/auth/index.test.ts',
  'for name in POSTGRES_PASSWORD MINUTEBOOK_OWNER_PASSWORD MINUTEBOOK_APP_PASSWORD JWT_SECRET; do':
    'needs a Docker engine',
  'pg_dump --format=custom --file=minutebook.dump \\':
    'needs the client programs of the server’s own version',
  'createdb minutebook_restored': 'the same',
  'pg_basebackup --pgdata=backup --wal-method=stream --checkpoint=fast --progress': 'the same',
  'npm run db:run -- pg_restore --exit-on-error --single-transaction --dbname=postgres minutebook.dump':
    'the same',
  'npm run db:run -- pg_dump --format=custom --file=minutebook.dump':
    'the same; db:run itself is tried below',
  'PGPASSWORD=$(cat data/postgres/minutebook-password) \\': 'the same',
  'mv data/postgres data/postgres-old': 'the same',
  'npm run bench': 'test/bench/bench.test.ts, in small',
  'npm run bench -- --only write --arms minutebook,seed --connections 50 --rounds 3': 'the same',
  'npm install openapi-fetch && npm install --save-dev openapi-typescript typescript@5':
    'test/client.test.ts, with the packages of tools/',
  'npm ci --prefix tools': '.ci/run; what it makes: test/client.test.ts',
  'npm run bench:read': 'test/bench/read-run.test.ts, in small',
  'npm run bench:read -- --requests 200': 'the same',
  'npm run seed -- --events 1000000': 'test/bench/seed.test.ts, in small',
  'cp -a data "data-$(date +%F)"': 'a copy of a folder',
  'curl -s "http://127.0.0.1:3000/bans/mallory" -X PUT -H "Authorization: Bearer ..." \\':
    'the same request is made in test/routes/moderation.test.ts',
};
const here = new Set([
  'npm run minutebook -- tail --follow',
  'npx wscat -c "ws://127.0.0.1:3000/ws?user=alice"',
  'npm run replay -- bench/replay/sample.ndjson',
  'curl -s "http://127.0.0.1:3000/audit?room=replay&user_id=marta&action=MESSAGE_SENT" -H "Authorization: Bearer ..."',
  'curl -sN "http://127.0.0.1:3000/audit/stream?room=replay&from=-1h" -H "Authorization: Bearer ..."',
  'export OWNER_PASSWORD=$(openssl rand -hex 24) APP_PASSWORD=$(openssl rand -hex 24)',
  'DATABASE_URL="postgres://minutebook_owner:$OWNER_PASSWORD@127.0.0.1:5432/minutebook" npm run db:migrate',
  'export DATABASE_URL="postgres://minutebook_app:$APP_PASSWORD@127.0.0.1:5432/minutebook"',
]);

test('every command in the documents is run by a test, or it is said why not', async (t) => {
  const docs = (await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
  const files = [
    'README.md',
    'ARCHITECTURE.md',
    'CONTRIBUTING.md',
    'SECURITY.md',
    ...docs.map((name) => `docs/${name}`),
  ];
  for (const { file, text } of (await Promise.all(files.map(blocksOf))).flat()) {
    const first = text.trim().split('\n')[0]?.replace(/ +#.*/, '') ?? '';
    // Of docs/cli.md every line is run, by test/cli/docs.test.ts.
    t.ok(file === 'docs/cli.md' || here.has(first) || first in elsewhere, `${file}: ${first}`);
  }
});

test('relative links in the documents lead somewhere', async (t) => {
  const decisions = await readdir(join(ROOT, 'docs/decisions'));
  const docs = (await readdir(join(ROOT, 'docs'))).filter((name) => name.endsWith('.md'));
  const files = [
    ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'],
    ...docs.map((name) => `docs/${name}`),
    ...decisions.map((name) => `docs/decisions/${name}`),
  ];
  for (const file of files) {
    const text = await readFile(join(ROOT, file), 'utf8');
    for (const [, link] of text.matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)) {
      t.ok(existsSync(join(ROOT, file, '..', link ?? '')), `${file}: ${link}`);
    }
  }
});

/** Every test of a file; where a part of its title is computed, anything may stand. */
async function titlesOf(file: string): Promise<RegExp[]> {
  const text = await readFile(join(ROOT, file), 'utf8').catch(() => '');
  return [...text.matchAll(/\btest\(\s*(['"`])((?:\\.|(?!\1).)*)\1/g)].map(([, , title = '']) => {
    const parts = title.split(/\$\{[^}]*\}/).map((part) => part.replace(/[^\p{L}\p{N}\s]/gu, '\\$&'));
    return new RegExp(`^${parts.join('.+')}$`);
  });
}

/** The names that a cell gives: one, some, or from one to another. */
function namesIn(cell: string): string[] {
  return cell.split(', ').flatMap((part) => {
    const [from = '', to] = part.split(' to ');
    const [, kind = '', first = '1'] = /^(\S+?)-(\d+)$/.exec(from) ?? [];
    const last = to === undefined ? Number(first) : Number(to.split('-').at(-1));
    return Array.from({ length: last - Number(first) + 1 }, (_, n) => `${kind}-${Number(first) + n}`);
  });
}

test('docs/security.md names a test for each attack, and each of these tests is there', async (t) => {
  const text = await readFile(join(ROOT, 'docs/security.md'), 'utf8');
  const rows = [...text.matchAll(/^\| (T-[^|]+) \| [^|]+ \| ([^|]+) \|$/gm)];
  for (const [, attack = '', proof = ''] of rows) {
    if (/^does not apply: \S/.test(proof)) continue;
    for (const part of proof.split(/; (?=`test\/)/)) {
      const [, file = '', title = ''] = /^`(test\/[^`]+)`: (.+?)(?: \([^()]+\))?$/.exec(part) ?? [];
      const titles = await titlesOf(file);
      t.ok(
        titles.some((known) => known.test(title)),
        `${attack}: ${part}`,
      );
    }
  }
  const count = { WS: 10, FR: 6, UN: 12, API: 15, AZ: 6, TK: 6, SSE: 5, LOG: 4, CSV: 1, DB: 3, DOS: 5 };
  const all = Object.entries(count).flatMap(([kind, last]) => namesIn(`T-${kind}-1 to T-${kind}-${last}`));
  t.strictSame(
    rows.flatMap(([, attack = '']) => namesIn(attack)).toSorted(),
    all.toSorted(),
    'none is missing',
  );
});

test('each requirement in docs/security.md that is met names a proof, and each proof is there', async (t) => {
  const text = await readFile(join(ROOT, 'docs/security.md'), 'utf8');
  const rows = [...text.matchAll(/^\| (\d+\.\d+\.\d+[^|]*) \| [^|]+ \| ([^|]+) \|$/gm)];
  t.ok(rows.length > 60, `${rows.length} rows`);
  for (const [, id, state = ''] of rows) {
    if (state.startsWith('Met')) t.match(state, /`test\//, `${id} names a test`);
    else t.match(state, /^(Not applicable|Differs|Open|Partly).{20}/, `${id} says why not`);
  }
  for (const [, path = ''] of text.matchAll(/`(test\/[^`]+)`/g)) t.ok(existsSync(join(ROOT, path)), path);
  t.notMatch(text, /`(?!test\/)[\w/-]+\.test\.ts`/, 'a test is named with its folder');
});

test('every dependency has its reason in the README', async (t) => {
  const manifest = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Record<string, object>;
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8');
  for (const kind of ['dependencies', 'devDependencies', 'optionalDependencies']) {
    for (const name of Object.keys(manifest[kind] ?? {})) t.ok(readme.includes(`\`${name}\``), name);
  }
});

type Rule = { alert: string; expr: string; annotations: { summary: string; action: string } };

test('the alerts of docs/operations.md ask for numbers that there are, and each says what to do', async (t) => {
  const text = await readFile(join(ROOT, 'docs/operations.md'), 'utf8');
  const block = /<!-- alerts[^\n]*-->\n+```yaml\n([\s\S]*?)^```/m.exec(text)?.[1] ?? '';
  const { groups } = parse(block) as { groups: { rules: Rule[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  t.ok(rules.length > 10);
  // With the embedded Postgres, whose disk has numbers of its own.
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn' } });
  await fetch(`${server.url}/nowhere`);
  const scrape = async () => {
    const families = parseExposition(await (await fetch(`${server.url}/metrics`)).text());
    return [...families.values()].flatMap(({ samples }) => samples);
  };
  let series = await scrape();
  await until('the size of the log has been measured', async () => {
    series = await scrape();
    return series.some(({ name }) => name === 'minutebook_log_bytes');
  });
  const isThere = (name: string, label?: string) =>
    series.some((sample) => sample.name === name && (label === undefined || label in sample.labels));
  for (const { alert, expr, annotations } of rules) {
    t.ok(annotations.summary && annotations.action, alert);
    for (const [, name = '', labels = ''] of expr.matchAll(
      /\b((?:minutebook|nodejs|process)_\w+)(?:\{([^}]*)\})?/g,
    )) {
      t.ok(isThere(name), `${alert}: ${name}`);
      for (const [, label = ''] of labels.matchAll(/(\w+)[!=]/g)) {
        t.ok(label === 'job' || isThere(name, label), `${alert}: ${name}{${label}}`);
      }
    }
  }
  for (const [, name = ''] of text.matchAll(/`[^`\n]*\b(minutebook_(?!owner|app|restored)\w+)/g)) {
    t.ok(isThere(name), `in the text: ${name}`);
  }
});

test('the README’s commands do what it says', async (t) => {
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn' }, command: ['npm', 'start'] });
  const adapt = (command: string): string =>
    command.replaceAll('http://127.0.0.1:3000', server.url).replaceAll('127.0.0.1:3000', server.url.slice(7));
  const chat = await run(`${adapt('npx wscat -c "ws://127.0.0.1:3000/ws?user=alice"')} -x hello -w 1`);
  t.match(chat.output, '"type":"message","room":"lobby","user_id":"alice","text":"hello"');
  const ws = `${server.url.replace('http', 'ws')}/ws`;
  const replay = await run(`npm run replay -- bench/replay/sample.ndjson --url ${ws}`);
  t.equal(replay.code, 0, replay.output);
  const [page = '', stream = ''] = [...here]
    .filter((command) => command.startsWith('curl'))
    .map((command) => adapt(command).replace('Bearer ...', `Bearer ${bannerToken(server.output())}`));
  const { data } = JSON.parse((await run(page)).output) as { data: unknown[] };
  t.ok(data.length > 0, 'marta said something');
  // It goes on until somebody ends it.
  const followed = await run(`${stream} --max-time 3`);
  t.match(followed.output, /^event: open\nid: [\s\S]*\nevent: audit\nid: .*\ndata: .*"room":"replay"/);
  // The server has the folder; a short task reaches its Postgres all the same.
  const env = { DATA_DIR: server.dataDir };
  t.match((await run('npm run db:status', env)).output, 'pending: none');
  t.match((await run('npm run db:migrate', env)).output, 'The schema is up to date.');
  t.match((await run('npm run db:run -- printenv PGUSER', env)).output, 'minutebook');
});

test('a Postgres of one’s own, with two roles, as docs/operations.md says', async (t) => {
  if ((await run('command -v psql')).code !== 0) {
    t.comment('skipped: there is no psql on this machine');
    t.pass();
    return;
  }
  const url = new URL(await createDatabase(t, { empty: true }));
  const blocks = await blocksOf('docs/operations.md');
  const find = (start: string): string => blocks.find(({ text }) => text.startsWith(start))?.text ?? '';
  // Roles belong to the whole server and this test to one database of it, so they get names of their own.
  const suffix = url.pathname.slice(1);
  const rename = (text: string): string =>
    text
      .replaceAll('127.0.0.1:5432/minutebook', `127.0.0.1:${url.port}/${suffix}`)
      .replaceAll('minutebook_owner', `owner_${suffix}`)
      .replaceAll('minutebook_app', `app_${suffix}`);
  const roles = join(await temporaryFolder(t), 'roles.sql');
  const { writeFile } = await import('node:fs/promises');
  await writeFile(roles, rename(await readFile(join(ROOT, 'db/roles.sql'), 'utf8')));
  const env = {
    PGHOST: url.hostname,
    PGPORT: url.port,
    PGUSER: url.username,
    PGPASSWORD: url.password,
    PGDATABASE: suffix,
  };
  const passwords = { OWNER_PASSWORD: 'owner-secret', APP_PASSWORD: 'app-secret' };
  const makeRoles = find('export OWNER_PASSWORD')
    .replace(/^export OWNER_PASSWORD.*$/m, '')
    .replace('createdb minutebook', '')
    .replace(' minutebook <<', ' <<')
    .replace('\\i db/roles.sql', `\\i ${roles}`);
  const made = await run(makeRoles, { ...env, ...passwords });
  t.equal(made.code, 0, made.output);
  t.teardown(() =>
    run(
      `psql -c "drop owned by owner_${suffix}, app_${suffix} cascade" -c "drop role owner_${suffix}, app_${suffix}"`,
      env,
    ),
  );
  const migrated = await run(rename(find('DATABASE_URL=')), passwords);
  t.match(migrated.output, 'Applied: 0001_audit_log');
  const appUrl = rename(`postgres://minutebook_app:app-secret@127.0.0.1:5432/minutebook`);
  const server = await startServer(t, { env: { DATABASE_URL: appUrl, LOG_LEVEL: 'warn' } });
  const chat = await run(`npx wscat -c "${server.url.replace('http', 'ws')}/ws?user=alice" -x hello -w 1`);
  t.match(chat.output, '"text":"hello"', 'the server works with the rights of the app’s role alone');
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
});
