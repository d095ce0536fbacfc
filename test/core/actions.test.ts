import { test } from 'tap';
import Type from 'typebox';
import { Check } from 'typebox/value';
import { actionNames, actions, isAction } from '../../src/core/actions.ts';
import { Action } from '../../src/core/schemas.ts';

/** Outside clients filter by these names, so that none may change or go. */
const NAMES = [
  'CONNECTED',
  'DISCONNECTED',
  'JOINED',
  'LEFT',
  'MESSAGE_SENT',
  'CONNECTION_REFUSED',
  'MESSAGE_REFUSED',
  'ACCESS_DENIED',
  'AUDIT_READ',
  'AUDIT_STREAMED',
  'AUDIT_EXPORTED',
  'USER_KICKED',
  'USER_BANNED',
  'USER_UNBANNED',
  'CONTENT_ERASED',
  'RETENTION_APPLIED',
  'HOLD_PLACED',
  'HOLD_RELEASED',
  'SERVER_STARTED',
  'SERVER_STOPPED',
  'INSTANCE_LOST',
  'EPOCH_STARTED',
  'LOG_DAMAGED',
  'REQUEST_REFUSED',
];

test('the registry is closed: these actions and no other', async (t) => {
  t.strictSame(actionNames.toSorted(), NAMES.toSorted());
  for (const name of NAMES) {
    t.ok(isAction(name), name);
    t.ok(Check(Action, name), `${name} passes the schema of the API`);
  }
  for (const name of ['', 'connected', 'MESSAGE_SENT ', 'MESSAGE_DELIVERED', 'toString', '__proto__']) {
    t.notOk(isAction(name), JSON.stringify(name));
    t.notOk(Check(Action, name), `${JSON.stringify(name)} does not pass the schema of the API`);
  }
});

test('every action says what it means, and describes an object', async (t) => {
  for (const name of actionNames) {
    const { description, details } = actions[name];
    t.match(description, /^[A-Z].*\.$/, name);
    t.ok(Type.IsObject(details), name);
  }
});

test('a folded refusal stands for one or more', async (t) => {
  const refusal = { code: 'bad_frame', since: '2026-11-22T09:30:00.000000Z' };
  for (const name of ['CONNECTION_REFUSED', 'MESSAGE_REFUSED'] as const) {
    t.ok(Check(actions[name].details, { ...refusal, count: 1 }));
    t.notOk(Check(actions[name].details, { ...refusal, count: 0 }));
    t.notOk(Check(actions[name].details, { ...refusal, count: 1.5 }));
  }
});
