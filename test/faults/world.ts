import { SignJWT } from 'jose';
import pg from 'pg';
import type { Test } from 'tap';
import { ratesOff, SECRET } from '../support/app.ts';
import { until } from '../support/client.ts';
import { databaseUrl, query } from '../support/postgres.ts';
import { type Proxy as DatabaseProxy, proxy } from '../support/proxy.ts';
import type { ServerOptions } from '../support/server.ts';
import { Cluster, type ClusterOptions } from './cluster.ts';
import { dumpLog } from './dump.ts';
import { type Entry, History, type Log } from './history.ts';
import { Instance } from './instance.ts';
import { Load, type LoadOptions } from './load.ts';

export type WorldOptions = {
  /** Servers on the one database. */
  instances?: number;
  /** Whether they reach it through a proxy of ours. */
  proxied?: boolean;
  /** Makes what a cluster of its own needs, in place of the one given; `disk`: where its files are, to be filled. */
  cluster?: (t: Test) => Promise<ClusterOptions & { disk?: string }>;
  /** Environment variables of the servers. */
  env?: Record<string, string>;
  load?: Pick<LoadOptions, 'clients' | 'rate' | 'fillerLength'>;
};

const EXPIRES = '24h';

/** What every server is told, beside where its database is. */
export const SERVER_ENV = {
  JWT_SECRET: SECRET,
  LOG_LEVEL: 'warn',
  ...ratesOff,
  // All of them come from one address, and come again several times a second while a server is away.
  LIMIT_HANDSHAKES_PER_MINUTE_IP: '0',
};

export const tokenFor = (user: string, scope = 'chat'): Promise<string> =>
  new SignJWT({ scope })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setExpirationTime(EXPIRES)
    .sign(new TextEncoder().encode(SECRET));

/** What happened under one history of the log, and that log. `open`: its sessions went on beyond its end. */
export type Chapter = { entries: Entry[]; log: Log; open: boolean };

let databases = 0;

/** What a fault strikes: a Postgres, servers on it, and people who talk through them. */
export class World {
  readonly t: Test;
  readonly cluster: Cluster;
  /** The database itself, past any proxy. */
  readonly url: string;
  readonly history = new History();
  readonly instances: Instance[] = [];
  /** Histories that are over, because the database was put back. */
  readonly chapters: Chapter[] = [];
  /** Where the files of a cluster of its own are; empty for a shared one. */
  disk = '';
  /** What undoes the fault, in the order of doing it. */
  readonly #healers: (() => Promise<unknown>)[] = [];
  readonly #proxy: DatabaseProxy | undefined;
  readonly #env: Record<string, string>;
  #load: Load | undefined;

  private constructor(
    t: Test,
    cluster: Cluster,
    url: string,
    between: DatabaseProxy | undefined,
    env: Record<string, string>,
  ) {
    this.t = t;
    this.cluster = cluster;
    this.url = url;
    this.#proxy = between;
    this.#env = env;
  }

  /** Builds it, and lets people talk until all are in their rooms. */
  static async create(t: Test, shared: Cluster | undefined, options: WorldOptions = {}): Promise<World> {
    const own = await options.cluster?.(t);
    const cluster = own === undefined && shared !== undefined ? shared : await Cluster.create(t, own);
    const name = `faults_${++databases}`;
    await query(cluster.url, `create database ${name} template template0`);
    const url = databaseUrl(name, cluster.url);
    const between = options.proxied === true ? await proxy(t, url) : undefined;
    const world = new World(t, cluster, url, between, options.env ?? {});
    world.disk = own?.disk ?? '';
    for (let n = 0; n < (options.instances ?? 1); n += 1) await world.startInstance();
    const { history } = world;
    world.#load = await Load.start({ ...options.load, history, tokenFor, targets: () => world.targets });
    t.teardown(() => world.load.stop());
    await world.load.settled();
    return world;
  }

  /** Says how a part of the fault is undone. */
  onHeal(undo: () => Promise<unknown>): void {
    this.#healers.push(undo);
  }

  /** Undoes the fault, the last part first. */
  async heal(): Promise<void> {
    for (const undo of this.#healers.splice(0).reverse()) await undo();
  }

  get load(): Load {
    if (this.#load === undefined) throw new Error('nobody talks yet');
    return this.#load;
  }

  get proxy(): DatabaseProxy {
    if (this.#proxy === undefined) throw new Error('this row did not ask for a proxy');
    return this.#proxy;
  }

  /** The first of the servers. */
  get instance(): Instance {
    const [first] = this.instances;
    if (first === undefined) throw new Error('there is no server');
    return first;
  }

  get running(): Instance[] {
    return this.instances.filter(({ isRunning }) => isRunning);
  }

  /** Where people connect. */
  get targets(): string[] {
    return this.running.filter(({ doomed }) => !doomed).map(({ server }) => server.url);
  }

  /** One server more; people learn of it by themselves. */
  async startInstance({ env = {}, ...options }: ServerOptions = {}): Promise<Instance> {
    const all = {
      DATABASE_URL: this.#proxy?.url ?? this.url,
      ...SERVER_ENV,
      ...this.#env,
      ...env,
    };
    const instance = await Instance.start(this.t, { ...options, env: all });
    this.instances.push(instance);
    await instance.untilReady();
    return instance;
  }

  /** Asks the database, past any proxy. */
  sql<Row extends pg.QueryResultRow = Record<string, string>>(
    text: string,
    values: unknown[] = [],
  ): Promise<Row[]> {
    return query<Row>(this.url, text, values);
  }

  /** Sets what happened so far aside, with the log as it is now; what follows belongs to another history. */
  async endChapter({ open }: Pick<Chapter, 'open'>): Promise<void> {
    const log = await dumpLog(this);
    this.chapters.push({ entries: this.history.entries.splice(0), log, open });
  }

  /** A connection of our own to the database, for as long as the row lasts. */
  async connection(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => {});
    await client.connect();
    this.t.teardown(() => client.end().catch(() => {}));
    return client;
  }

  /** The processes that serve the servers' connections; those that append first. */
  async backends(): Promise<number[]> {
    const rows = await this.sql<{ pid: number }>(
      `select pid from pg_stat_activity where application_name like 'minutebook%' and datname = current_database()
       order by query like '%audit_append%' desc, pid`,
    );
    return rows.map(({ pid }) => pid);
  }

  /** Resolves when so many messages that were sent from now on are acknowledged. */
  async acknowledged(count: number, timeoutMs = 10_000): Promise<void> {
    const since = performance.now();
    await until(
      `${count} more messages are acknowledged`,
      () => this.load.acknowledgedSince(since) >= count,
      timeoutMs,
    );
  }
}
