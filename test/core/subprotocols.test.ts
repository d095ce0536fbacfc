import { test } from 'tap';
import { offeredTicket } from '../../src/core/subprotocols.ts';
import { thrownBy } from '../support/log.ts';

test('a ticket is found among the offers, wherever it stands', async (t) => {
  for (const header of [
    'minutebook.v1, ticket.abc',
    'ticket.abc,minutebook.v1',
    'chat,\tticket.abc ,minutebook.v1, soap',
  ]) {
    t.equal(offeredTicket(header), 'abc', header);
  }
  t.equal(offeredTicket('minutebook.v1, ticket.'), '', 'an empty one is one, and no good');
});

test('without a ticket anything may be offered, or nothing', async (t) => {
  for (const header of [undefined, 'minutebook.v1', 'chat, soap', 'ticket', 'Ticket.abc', 'xticket.abc']) {
    t.equal(offeredTicket(header), undefined, header ?? 'nothing');
  }
});

test('what is malformed is refused, and never quoted', async (t) => {
  for (const header of [
    '',
    ',',
    'minutebook.v1,',
    'minutebook.v1,,ticket.secret',
    'minutebook.v1 ticket.secret',
    'minutebook.v1, ticket.sec/ret',
    'minutebook.v1, ticket.secret, ticket.secret',
    'minutebook.v1, ticket.secret, ticket.other',
    'ticket.secret',
    'chat, ticket.secret',
    'MINUTEBOOK.V1, ticket.secret',
    `${'a '.repeat(8_000)}a`,
  ]) {
    const error = thrownBy(() => offeredTicket(header));
    t.match(error, { code: 'bad_request' }, header.slice(0, 60));
    t.notMatch((error as Error).message, /secret|sec\/ret/);
  }
});
