import type { FastifyInstance } from 'fastify';
import type { Instruments } from './instruments.ts';

/** The numbers of everything around the log: sockets, refusals, connections to the database, and what runs. */
export function measureServer(fastify: FastifyInstance, instruments: Instruments, version: string): void {
  const { audit, database, disk, refusalCounts, socketStats, streams, traffic } = fastify;

  instruments.gauges(
    'minutebook_build_info',
    'What runs; the value is always 1.',
    ['version', 'node', 'postgres'],
    () => [{ labels: { version, node: process.version, postgres: database.facts.version }, value: 1 }],
  );
  instruments.gauge(
    'minutebook_readiness_warnings',
    'Warnings that /health/ready shows.',
    () => audit.warnings().length + disk.warnings().length,
  );

  instruments.gauge('minutebook_sessions_open', 'Open WebSockets.', () => socketStats().open);
  instruments.counter(
    'minutebook_frames_received_total',
    'Frames received from clients, refused ones included.',
    () => traffic.framesReceived,
  );
  instruments.counter('minutebook_frames_sent_total', 'Frames sent to clients.', () => traffic.framesSent);
  instruments.counter(
    'minutebook_socket_received_bytes_total',
    'Bytes received through WebSocket connections.',
    () => socketStats().bytesReceived,
  );
  instruments.counter(
    'minutebook_socket_sent_bytes_total',
    'Bytes sent through WebSocket connections.',
    () => socketStats().bytesSent,
  );
  instruments.gauge(
    'minutebook_streams_open',
    'Live streams of the log, those that are being opened included.',
    () => streams.stats().open,
  );
  instruments.counter(
    'minutebook_streams_too_slow_total',
    'Live streams that were ended because their readers took nothing for too long.',
    () => streams.stats().tooSlow,
  );
  instruments.counters(
    'minutebook_refusals_total',
    'Refused frames, handshakes and requests; a series begins with its first refusal.',
    ['action', 'code'],
    () => [...refusalCounts()].map(({ action, code, count }) => ({ labels: { action, code }, value: count })),
  );

  const pools = () => Object.entries(database.pools());
  instruments.gauges(
    'minutebook_pool_connections',
    'Connections to the database.',
    ['purpose', 'state'],
    () =>
      pools().flatMap(([purpose, { open, idle }]) => [
        { labels: { purpose, state: 'idle' }, value: idle },
        { labels: { purpose, state: 'busy' }, value: open - idle },
      ]),
  );
  instruments.gauges(
    'minutebook_pool_waiting',
    'Callers that wait for a connection to the database.',
    ['purpose'],
    () => pools().map(([purpose, { waiting }]) => ({ labels: { purpose }, value: waiting })),
  );
}
