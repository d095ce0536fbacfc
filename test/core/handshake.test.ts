import { test } from 'tap';
import { checkHandshake } from '../../src/core/handshake.ts';
import { thrownBy } from '../support/log.ts';

const good = {
  httpVersion: '1.1',
  headers: {
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  } as Record<string, string | string[] | undefined>,
};
const withHeader = (name: string, value: string | undefined) => ({
  ...good,
  headers: { ...good.headers, [name]: value },
});

test('a handshake to the letter passes, with or without protocols', async (t) => {
  for (const protocols of [undefined, 'a', 'minutebook.v1, ticket.abc', 'a,b', "!#$%&'*+-.^_`|~09Az"]) {
    t.doesNotThrow(() => checkHandshake(withHeader('sec-websocket-protocol', protocols)));
  }
  t.doesNotThrow(() => checkHandshake(withHeader('content-length', '0')));
});

test('what is no handshake is refused, and by its version when that is what is wrong', async (t) => {
  for (const [name, value, code] of [
    ['sec-websocket-version', '8', 'upgrade_required'],
    ['sec-websocket-version', '13, 13', 'upgrade_required'],
    ['sec-websocket-version', undefined, 'upgrade_required'],
    ['sec-websocket-key', undefined, 'bad_request'],
    ['sec-websocket-key', 'short', 'bad_request'],
    ['sec-websocket-protocol', '', 'bad_request'],
    ['sec-websocket-protocol', 'a b', 'bad_request'],
    ['sec-websocket-protocol', 'a,,b', 'bad_request'],
    ['sec-websocket-protocol', 'a, a', 'bad_request'],
    ['sec-websocket-protocol', 'a/b', 'bad_request'],
    ['content-length', '1', 'bad_request'],
    ['transfer-encoding', 'chunked', 'bad_request'],
  ] as const) {
    t.match(
      thrownBy(() => checkHandshake(withHeader(name, value))),
      { code },
      `${name}: ${value}`,
    );
  }
  t.match(
    thrownBy(() => checkHandshake({ ...good, httpVersion: '1.0' })),
    { code: 'bad_request' },
  );
});
