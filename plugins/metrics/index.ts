import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { Instruments } from './instruments.ts';
import { measureLog } from './log.ts';
import { measureProcess } from './process.ts';
import { measureServer } from './server.ts';

export type MetricsOptions = { version: string };

declare module 'fastify' {
  interface FastifyInstance {
    /** All numbers for Prometheus as they are now, in its text format. Never waits long for the database. */
    readMetrics: () => Promise<string>;
  }
}

/** What the server measures about itself. It asks the other plugins, and none of them knows of it. */
export default fp(
  async function metrics(fastify: FastifyInstance, { version }: MetricsOptions) {
    const instruments = new Instruments();
    measureServer(fastify, instruments, version);
    const updateLog = measureLog(fastify, instruments);
    const own = await measureProcess(instruments);
    fastify.decorate('readMetrics', async () => {
      await Promise.all([updateLog(), own.update()]);
      return instruments.text();
    });
    fastify.addHook('onClose', async () => own.close());
  },
  {
    name: 'metrics',
    dependencies: ['database', 'disk', 'durability', 'audit', 'tail', 'websocket', 'refusals', 'streams'],
  },
);
