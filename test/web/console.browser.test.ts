import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Page } from 'playwright-core';
import { type Test, test } from 'tap';
import { build } from '../support/app.ts';
import {
  endVisits,
  openPage,
  screenshot,
  skipWithoutBrowser,
  startBrowser,
  type TestPage,
  widths,
} from '../support/browser.ts';
import { connect, until } from '../support/client.ts';
import { look } from '../support/look.ts';

/** What Chromium itself writes when an answer is no success, as some are here on purpose. */
const EXPECTED = /Failed to load resource/;
/** What the page asks for to show a filter. */
const READS = /\/audit(\/stats)?\?/;
const HOSTILE = `<img src=x onerror="document.title='run'">\u202etxt.exe ${'long'.repeat(15_000)}`;

test('the console, at a log of real events', { skip: skipWithoutBrowser }, async (t) => {
  const browser = await startBrowser(t);
  const server = await build(t);
  const ann = await connect(t, server, 'ann', { room: 'trading' });
  const bob = await connect(t, server, 'bob', { room: 'lobby' });
  await ann.ask({ type: 'join', room: 'lobby' });
  for (let n = 1; n <= 5; n += 1) await ann.ask({ type: 'message', room: 'trading', text: `buy ${n}` });
  await ann.ask({ type: 'message', room: 'lobby', text: 'good morning' });
  await bob.ask({ type: 'message', text: HOSTILE });
  bob.send({ type: 'message', room: 'trading', text: 'not a member' });
  await bob.next('error');

  let visits: TestPage[] = [];
  async function visit(fragment = '', width: number = widths.wide): Promise<Page> {
    const opened = await openPage(browser, { viewport: { width, height: 800 } });
    visits.push(opened);
    opened.page.setDefaultTimeout(60_000);
    const token = await server.token('carol', 'audit:read', 'admin');
    await opened.page.goto(`${server.url}/console#token=${token}&${fragment}`);
    return opened.page;
  }
  const part = (name: string, run: (t: Test) => Promise<void>) =>
    t.test(name, async (t) => {
      visits = [];
      await run(t);
      await endVisits(t, visits, { expected: EXPECTED, url: server.url });
    });
  const rows = (page: Page) => page.locator('tr[data-seq]');
  const total = (page: Page, words: string) => page.locator('.total', { hasText: words }).waitFor();
  const filter = (page: Page) => page.getByRole('combobox', { name: /Filter/ });
  await part(
    'what one user did in one room is found by typing, and the address shows it to another',
    async (t) => {
      const page = await visit();
      await rows(page).first().waitFor();
      await look(t, page, 'console-list', { isMain: true });
      await page.keyboard.press('/');
      await page.keyboard.type('user_id:an');
      await page.getByRole('option', { name: /user_id:ann/ }).waitFor();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('Enter');
      await filter(page).fill('room:trading');
      await page.keyboard.press('Enter');
      await total(page, '6 events');
      t.equal(await rows(page).count(), 6, 'JOINED and five messages');
      await rows(page).getByText('buy 5').waitFor();

      const other = await visit(new URL(page.url()).hash.slice(1));
      await total(other, '6 events');
      t.equal(await rows(other).count(), 6);

      await filter(page).focus();
      await page.keyboard.press('Backspace');
      t.equal(await filter(page).inputValue(), 'room:trading', 'the last chip is edited');
      await page.goBack();
      await page.waitForFunction("!location.hash.includes('room=')");
    },
  );

  await part('where it is narrow, one row holds what is done often, and a menu the rest', async (t) => {
    const page = await visit('zone=utc', widths.narrow);
    await rows(page).first().waitFor();
    const heights = await page.evaluate<number[]>(
      "[document.querySelector('.top').offsetHeight, document.querySelector('.live').offsetHeight]",
    );
    t.ok((heights[0] ?? 0) < 2.5 * (heights[1] ?? 0), `${heights}`);
    await page.locator('.more > summary').press('Enter');
    await page.getByRole('button', { name: 'Times in UTC' }).waitFor();
    t.equal(await page.getByRole('link', { name: 'Chat' }).getAttribute('href'), './');
    await screenshot(page, `console-menu-light-${widths.narrow}`);
    await page.getByRole('button', { name: 'Sessions' }).press('Enter');
    await page.getByRole('dialog', { name: 'Sessions' }).waitFor();
    t.equal(await page.locator('.more[open]').count(), 0);
    await page.keyboard.press('Escape');
    await page.locator('.more > summary:focus').waitFor();
  });

  await part('facets count, filter, and add', async (t) => {
    const page = await visit('action=MESSAGE_SENT');
    const facets = page.getByRole('complementary');
    await facets.getByRole('button', { name: /^ann\s*6$/ }).click();
    await total(page, '6 events');
    await facets.getByRole('button', { name: 'Add bob' }).click();
    await total(page, '7 events');
    t.match(page.url(), /user_id=ann&user_id=bob/);
    await facets.getByRole('button', { name: /^ann/ }).click();
    await facets.getByRole('button', { name: /^bob/ }).click();
    await page.waitForFunction("!location.hash.includes('user_id')");
  });

  await part('an interval is dragged over, and zoomed out of', async (t) => {
    const page = await visit('user_id=ann');
    await total(page, 'events');
    const plot = page.getByRole('slider');
    const box = await plot.boundingBox();
    if (box === null) throw new Error('the histogram is not seen');
    await page.mouse.move(box.x + 2, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width / 2, box.y + 30, { steps: 4 });
    await page.mouse.up();
    await page.waitForURL(/from=.*&to=/);
    await plot.dblclick();
    await page.waitForFunction("!location.hash.includes('from=')");
    await plot.focus();
    await page.keyboard.press('Shift+ArrowLeft');
    await page.keyboard.press('Enter');
    await page.waitForURL(/from=.*&to=/);
    t.pass('by the mouse and by the keyboard');
  });

  await part('by the keyboard alone: rows, the event, the zone, the interval, help', async (t) => {
    const page = await visit('user_id=ann&room=trading');
    await total(page, '6 events');
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.locator('tr[data-seq]:nth-of-type(3) a:focus').waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByText('buy 4').waitFor();
    t.match(page.url(), /event=\d+/);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    const time = () => rows(page).first().locator('time').textContent();
    const local = await time();
    await page.keyboard.press('z');
    await page.getByRole('button', { name: 'Times in UTC' }).waitFor();
    t.not(await time(), local, 'UTC is not the time in Paris');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await look(t, page, 'console-help');
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.keyboard.press('[');
    await page.getByRole('heading', { name: 'No event matches' }).waitFor();
    await page.keyboard.press(']');
    await total(page, '6 events');
  });

  await part('older rows are read while one scrolls, and few are drawn', async (t) => {
    const carl = await connect(t, server, 'carl', { room: 'mass' });
    for (let n = 1; n <= 250; n += 1) carl.send({ type: 'message', text: `said ${n}` });
    await carl.ask({ type: 'message', text: 'the last' });
    const page = await visit('user_id=carl&action=MESSAGE_SENT');
    await total(page, '251 events');
    const first = rows(page).getByText('said 1', { exact: true });
    await until('the oldest is reached', async () => {
      await page.evaluate("document.querySelector('.list').scrollTo(0, 1e6)");
      return (await first.count()) === 1;
    });
    t.ok((await rows(page).count()) < 80, 'of 251 rows');
    await page.getByText('That is all that matches.').waitFor();
  });

  await part('text of users is only text', async (t) => {
    const page = await visit('user_id=bob&action=MESSAGE_SENT');
    const summary = rows(page).first().locator('.summary');
    await summary.waitFor();
    t.match(await summary.textContent(), /^<img src=x .*U\+202Etxt\.exe/);
    t.equal(await page.locator('.list img').count(), 0);
    t.not(await page.title(), 'run');
    t.ok(((await rows(page).first().boundingBox())?.height ?? 99) < 40, 'one line, however long it is');
  });

  await part(
    'live, it shows what comes, pauses, and says how many wait; reading is not followed by reading',
    async (t) => {
      const page = await visit('room=lobby&live=on');
      await page.getByRole('button', { name: 'Live', pressed: true }).waitFor();
      await rows(page).first().waitFor();
      await bob.ask({ type: 'message', text: 'as it happens' });
      await rows(page).getByText('as it happens').waitFor();

      await page.keyboard.press('Space');
      await page.getByRole('button', { name: 'Paused', pressed: true }).waitFor();
      for (let n = 1; n <= 3; n += 1) await bob.ask({ type: 'message', text: `meanwhile ${n}` });
      const pill = page.getByRole('button', { name: '3 new events' });
      await pill.waitFor();
      t.equal(await rows(page).getByText('meanwhile').count(), 0);
      await look(t, page, 'console-live', { isMain: true });
      await pill.click();
      await rows(page).getByText('meanwhile 3').waitFor();

      // Everything, its own reads included.
      const all = await visit('live=on');
      await rows(all)
        .getByText(/began to follow/)
        .first()
        .waitFor();
      const reads = () => visits.at(-1)?.requests.filter((address) => address.includes('/audit')).length ?? 0;
      await until(
        'all is read',
        async () => (await all.locator('.facets section:last-child li').count()) > 0,
      );
      const before = reads();
      await bob.ask({ type: 'message', text: 'one more' });
      await rows(all).getByText('one more').waitFor();
      t.equal(reads(), before);
    },
  );

  await part('a log in which nobody has been leads to the chat', async (t) => {
    const fresh = await build(t);
    const { page } = await openPage(browser);
    await page.goto(`${fresh.url}/console#token=${await fresh.token('carol', 'audit:read')}`);
    await page.getByText('Nobody has been in the chat.').waitFor();
    await look(t, page, 'console-empty', { withAxe: false });
    await page.evaluate("location.hash = 'action=SERVER_STARTED'");
    await page.locator('.total', { hasText: /^1 event(?!s)/ }).waitFor();
    await page.getByText('That is all that matches.').waitFor();
    t.equal(await page.getByText('Nobody has been').count(), 0, 'a filter shows only a part');
    await page.context().close();
  });

  await part('each state says what it is, and what can be done', async (t) => {
    const none = await visit('room=nowhere&user_id=ann');
    await none.getByRole('heading', { name: 'No event matches' }).waitFor();
    await look(t, none, 'console-no-match');
    await none.locator('.nothing').getByRole('button', { name: 'room:nowhere' }).click();
    await rows(none).first().waitFor();

    const faulty = await visit('ip=here');
    await faulty.locator('.chip.faulty').waitFor();
    await faulty
      .getByRole('alert')
      .getByText(/IPv4 or IPv6/)
      .waitFor();
    await look(t, faulty, 'console-faulty');

    const problem = (status: number, code: string, detail: string, headers = {}) => ({
      status,
      headers: { 'content-type': 'application/problem+json', ...headers },
      body: JSON.stringify({ type: 'about:blank', title: '', status, code, detail }),
    });
    const states = {
      'no-connection': undefined,
      forbidden: problem(403, 'forbidden', 'You are banned.'),
      'too-many': problem(429, 'rate_limited', 'Ask again later.', { 'retry-after': '30' }),
      'cannot-be-written': problem(503, 'audit_unavailable', 'No answer.', { 'retry-after': '30' }),
      'too-slow': problem(503, 'too_slow', 'It took more than 5 s.'),
      refused: problem(401, 'unauthorized', 'The token is not valid.'),
    };
    const page = await visit('user_id=ann');
    await rows(page).first().waitFor();
    for (const [name, answer] of Object.entries(states)) {
      await page.unroute(READS);
      await page.route(READS, (route) => (answer === undefined ? route.abort() : route.fulfill(answer)));
      await page.evaluate(`location.hash = 'user_id=${name}'`);
      const words = name === 'refused' ? /refused the token/ : /.+/;
      await page.getByRole('alert').getByText(words).first().waitFor();
      await look(t, page, `console-${name}`, { withAxe: name === 'no-connection' });
    }

    const slow = await visit('user_id=ann');
    await rows(slow).first().waitFor();
    await slow.route(READS, () => {});
    await slow.evaluate("location.hash = 'user_id=bob'");
    await slow.getByText('Still looking').waitFor();
    await look(t, slow, 'console-slow');
    await slow.getByRole('button', { name: 'Cancel' }).click();
    await slow.getByText('Still looking').waitFor({ state: 'detached' });
  });
});

test('no page weighs more than 60 KB of JavaScript', async (t) => {
  const dist = join(import.meta.dirname, '../../web/dist');
  for (const page of ['index.html', 'console.html']) {
    const html = await readFile(join(dist, page), 'utf8');
    const scripts = [...html.matchAll(/\.\/(assets\/[^"]+\.js)"/g)].map(([, path]) => path as string);
    t.ok(scripts.length > 0, page);
    const sizes = await Promise.all(
      scripts.map(async (path) => (await readFile(join(dist, `${path}.gz`))).length),
    );
    const size = sizes.reduce((sum, bytes) => sum + bytes, 0);
    t.ok(size <= 60 * 1_024, `${page}: ${size} bytes`);
    t.ok((await readdir(join(dist, 'assets'))).length > 0);
  }
});
