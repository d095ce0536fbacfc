import { NONCE } from '../../support/raw-client.ts';
import type { HandshakeRow } from './row.ts';

const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, n) => [`h${n.toString(36)}`, '1']));

const version: HandshakeRow[] = [
  { clause: '4.1', what: 'a handshake to the letter', status: 101 },
  ...['8', '0', '12', '14', '25', '255', '256', '-13', '013', '13.0', 'abc', ''].map((value) => ({
    clause: '4.4',
    what: `version “${value}”`,
    headers: { 'Sec-WebSocket-Version': value },
    status: 426,
    code: 'upgrade_required' as const,
  })),
  {
    clause: '4.4',
    what: 'no version',
    headers: { 'Sec-WebSocket-Version': undefined },
    status: 426,
    code: 'upgrade_required',
  },
  {
    clause: '4.4',
    what: 'versions in a list',
    headers: { 'Sec-WebSocket-Version': '8, 13' },
    status: 426,
    code: 'upgrade_required',
  },
  {
    clause: '11.3.5',
    what: 'the version twice',
    headers: { 'Sec-WebSocket-Version': ['13', '13'] },
    status: 426,
    code: 'upgrade_required',
  },
  {
    clause: '4.4',
    what: 'the version with blanks around it',
    headers: { 'Sec-WebSocket-Version': '  13  ' },
    status: 101,
  },
];

const key: HandshakeRow[] = [
  {
    clause: '4.2.1',
    what: 'no key',
    headers: { 'Sec-WebSocket-Key': undefined },
    status: 400,
    code: 'bad_request',
  },
  {
    clause: '11.3.1',
    what: 'two keys',
    headers: { 'Sec-WebSocket-Key': [NONCE, NONCE] },
    status: 400,
    code: 'bad_request',
  },
  ...Object.entries({
    empty: '',
    short: 'c2hvcnQ=',
    'of 15 bytes': Buffer.alloc(15, 1).toString('base64'),
    'of 17 bytes': Buffer.alloc(17, 1).toString('base64'),
    'of 1,000 bytes': Buffer.alloc(1_000, 1).toString('base64'),
    'in base64url': '-_-_-_-_-_-_-_-_-_-_-Q==',
    'without padding': NONCE.slice(0, -2),
    'with a blank inside': `${NONCE.slice(0, 9)} ${NONCE.slice(10)}`,
    'that is no base64': '!!!!!!!!!!!!!!!!!!!!!!==',
  }).map(([what, value]) => ({
    clause: '4.2.1',
    what: `a key ${what}`,
    headers: { 'Sec-WebSocket-Key': value },
    status: 400,
    code: 'bad_request' as const,
  })),
];

const request: HandshakeRow[] = [
  ...['POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'TRACE', 'QUERY'].map((method) => ({
    clause: '4.2.1',
    what: `the method ${method}`,
    method,
    status: 404,
    code: 'not_found' as const,
  })),
  { clause: '4.2.1', what: 'HTTP/1.0', version: 'HTTP/1.0', status: 400, code: 'bad_request' },
  {
    clause: '4.2.1',
    what: 'HTTP/2.0 on an HTTP/1.1 connection',
    version: 'HTTP/2.0',
    status: 400,
    code: 'bad_request',
  },
  { clause: '4.2.1', what: 'no Host', headers: { Host: undefined }, status: 400, code: 'bad_request' },
  {
    clause: '4.2.1',
    what: 'two Hosts',
    headers: { Host: ['127.0.0.1', 'evil.example'] },
    status: 400,
    code: 'bad_request',
  },
  {
    clause: '4.1',
    what: 'a body',
    headers: { 'Content-Length': '5' },
    body: 'hello',
    status: 400,
    code: 'bad_request',
  },
  {
    clause: '4.1',
    what: 'a body in chunks',
    headers: { 'Transfer-Encoding': 'chunked' },
    body: '5\r\nhello\r\n0\r\n\r\n',
    status: 400,
    code: 'bad_request',
  },
  { clause: '4.1', what: 'a body of no bytes', headers: { 'Content-Length': '0' }, status: 101 },
  {
    clause: 'RFC 9112 6.3',
    what: 'two lengths that contradict each other',
    headers: { 'Content-Length': '5', 'Transfer-Encoding': 'chunked' },
    body: '0\r\n\r\n',
    status: 400,
    code: 'bad_request',
    action: 'REQUEST_REFUSED',
  },
  {
    clause: 'RFC 9112 5',
    what: 'a blank before a colon',
    headers: { 'X-Odd ': '1' },
    status: 400,
    code: 'bad_request',
    action: 'REQUEST_REFUSED',
  },
  {
    clause: 'RFC 9112 5.2',
    what: 'a folded header',
    headers: { 'X-Odd': '1\r\n 2' },
    status: 400,
    code: 'bad_request',
    action: 'REQUEST_REFUSED',
  },
  {
    clause: 'RFC 9110 5.5',
    what: 'NUL in a header',
    headers: { 'X-Odd': 'a\0b' },
    status: 400,
    code: 'bad_request',
    action: 'REQUEST_REFUSED',
  },
  { clause: '10.4', what: '100 more headers', headers: many(100), status: 101 },
  {
    clause: '10.4',
    what: '2,100 more headers',
    headers: many(2_100),
    status: 431,
    code: 'headers_too_large',
    action: 'REQUEST_REFUSED',
  },
  {
    clause: '10.4',
    what: 'a header of 40,000 bytes',
    headers: { 'X-Long': 'x'.repeat(40_000) },
    status: 431,
    code: 'headers_too_large',
    action: 'REQUEST_REFUSED',
  },
];

export const handshakes: HandshakeRow[] = [...version, ...key, ...request];
