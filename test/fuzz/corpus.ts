import type { Random } from '../../bench/seed/random.ts';

/** Frames that are good. */
const frames = [
  '{"type":"message","text":"hello","ref":"1"}',
  '{"type":"message","room":"lobby","text":"naïve café 😀","ref":"2"}',
  '{"type":"join","room":"trading","ref":"3"}',
  '{"type":"join","room":"trading","ref":"4","since":{"epoch":"fb01d117-c742-4be6-9954-bb7642d252c0","seq":41}}',
  '{"type":"leave","room":"trading","ref":"5"}',
  'plain text',
  '  {"type":"leave","room":"lobby"}',
  '{"type":"message","text":"\\ud83d\\ude00 \\u2028"}',
];

/** Requests for everything there is. */
const paths = [
  '/audit',
  '/audit?user_id=fuzz-1&action=MESSAGE_SENT&limit=5',
  '/audit?room=lobby&from=-1h&order=asc&limit=3',
  '/audit?involves=fuzz-2&total=exact&limit=1',
  '/audit?session_id=0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11&ip=127.0.0.1',
  '/audit?cursor=WzEsImUtMSIsImQiLCJicXZlbnZSdjdXdWhfSUNSQ1BqdmlMIiw0MV0.8yIpN2T5gJZXdgj6GW0rGA',
  '/audit/0',
  '/audit/17',
  '/audit/999999999',
  '/audit/actions',
  '/audit?q=HELLO&limit=3',
  '/audit?q=%F0%9F%98%80%20caf%C3%A9&room=lobby&order=asc&limit=2',
  '/audit/me?action=MESSAGE_SENT&limit=3',
  '/audit/stats?group_by=time&buckets=12&from=-1m',
  '/audit/stats?group_by=action',
  '/audit/stats?group_by=user_id&limit=3&q=hello',
  '/audit/stats?group_by=room&from=-1m&to=-1s',
  '/audit/export?format=ndjson&from=-5s',
  '/audit/export?format=csv&user_id=fuzz-1&from=-1m',
  '/audit/stream?user_id=fuzz-1&from=-1m&to=-1s',
  '/audit/stream?room=lobby&after=fb01d117-c742-4be6-9954-bb7642d252c0:41',
  '/sessions?limit=2',
  '/sessions?user_id=fuzz-3&room=lobby',
  '/bans?limit=2',
  '/bans/fuzz-1',
  '/health/live',
  '/health/ready',
  '/metrics',
  '/docs',
  '/docs/json',
  '/openapi.json',
  '/openapi.yaml',
  '/ws',
  '/nowhere',
];
const methods = ['GET', 'GET', 'GET', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'];
const odd = [
  'Content-Type: application/json',
  'Transfer-Encoding: chunked',
  'Expect: 100-continue',
  'Upgrade: h2c',
  'Connection: Upgrade, HTTP2-Settings',
  'Range: bytes=0-1',
  'X-Forwarded-For: 6.6.6.6',
  'Origin: null',
  'Accept-Encoding: gzip',
  'If-None-Match: *',
  'Last-Event-ID: fb01d117-c742-4be6-9954-bb7642d252c0:41',
  'Content-Length: 3',
];

export const goodFrame = (random: Random): string => random.pick(frames);

/** A request that is good, or odd; the connection stays, so that more may follow. */
export function requestOf(random: Random, host: string, authorization: string): string {
  const lines = [`Host: ${host}`];
  if (random.chance(0.8)) lines.push(`Authorization: ${authorization}`);
  while (random.chance(0.3)) lines.push(random.pick(odd));
  const body = random.chance(0.1) ? '{"reason":"x"}' : '';
  if (body !== '') lines.push(`Content-Length: ${body.length}`);
  return `${random.pick(methods)} ${random.pick(paths)} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
}
