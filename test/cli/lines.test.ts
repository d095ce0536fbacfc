import { test } from 'tap';
import { eventLine, visible } from '../../src/cli/lines.ts';
import { eventAt } from '../support/log.ts';
import { anyText, holds } from '../support/property.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
const OBEYED = /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

test('an event is a line, with what matters of it', async (t) => {
  const plain = { json: false, colours: false };
  t.equal(
    eventLine(eventAt(1042, 'hello'), plain),
    '   1042  2026-11-22 09:30:00.123  MESSAGE_SENT        alice  #lobby  hello',
  );
  const banned = {
    ...eventAt(7),
    action: 'USER_BANNED' as const,
    user_id: 'admin',
    target_user_id: 'bob',
    room: null,
    message: null,
    details: { reason: 'spam', until: null },
  };
  t.equal(
    eventLine(banned, plain),
    '      7  2026-11-22 09:30:00.123  USER_BANNED         admin  -> bob  {"reason":"spam","until":null}',
  );
  t.match(eventLine({ ...banned, user_id: null }, plain), '  -  -> bob');
});

test('colours are there only when they are asked for', async (t) => {
  const esc = String.fromCharCode(27);
  t.ok(eventLine(eventAt(1), { json: false, colours: true }).includes(esc));
  t.notOk(eventLine(eventAt(1), { json: false, colours: false }).includes(esc));
  t.notOk(eventLine(eventAt(1), { json: true, colours: true }).includes(esc));
});

test('what somebody said cannot speak to the terminal', async (t) => {
  t.equal(visible('a\u001b[2Jb\nc\u009b31m\u202etxt.exe'), 'a\\u001b[2Jb\\nc\\u009b31m\\u202etxt.exe');
  t.equal(visible('é 漢字 😀 ไทย'), 'é 漢字 😀 ไทย');
  await holds(anyText(), (text) => {
    const event = { ...eventAt(0), message: text, user_id: text, room: text, details: { text } };
    for (const json of [false, true]) {
      const line = eventLine(event, { json, colours: false });
      if (OBEYED.test(line)) throw new Error(JSON.stringify(line));
      if (json && JSON.stringify(JSON.parse(line)) !== JSON.stringify(event)) throw new Error(line);
    }
  });
});
