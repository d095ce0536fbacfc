import type { Page } from 'playwright-core';
import { type Test, test } from 'tap';
import { build, type TestApp } from '../support/app.ts';
import {
  endVisits,
  openPage,
  skipWithoutBrowser,
  startBrowser,
  type TestPage,
  widths,
} from '../support/browser.ts';
import { connect, until } from '../support/client.ts';
import { look } from '../support/look.ts';
import { act } from '../support/moderation.ts';
import { createDatabase } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';
import { tokenOf } from '../support/token.ts';

/** What Chromium itself writes when a connection or a request fails, as some do here on purpose. */
const EXPECTED = /WebSocket connection to .* failed|Failed to load resource/;

test('the chat page', { skip: skipWithoutBrowser }, async (t) => {
  const browser = await startBrowser(t);

  /** The pages of the part that runs. */
  let visits: (TestPage & { url: string })[] = [];

  async function visit(
    url: string,
    { fragment = '', width = widths.wide as number } = {},
  ): Promise<TestPage> {
    const opened = await openPage(browser, { viewport: { width, height: 800 } });
    opened.page.setDefaultTimeout(60_000);
    visits.push({ ...opened, url });
    await opened.page.goto(`${url}/${fragment}`);
    return opened;
  }

  /** A part of the test; at its end it is looked at what its pages complained of and asked for. */
  const part = (name: string, run: (t: Test) => Promise<void>) =>
    t.test(name, async (t) => {
      visits = [];
      await run(t);
      for (const visit of visits) await endVisits(t, [visit], { expected: EXPECTED, url: visit.url });
    });

  const isConnected = (page: Page) => page.locator('.status.open').waitFor();
  const field = (page: Page) => page.getByRole('textbox', { name: /^Say something in/ });
  const said = (page: Page, text: string) => page.locator('.message', { hasText: text });

  /** A page of somebody who is in the lobby, signed in by a token in the link. */
  async function enter(
    { url, token }: TestApp,
    user: string,
    { scopes = ['chat'] as Parameters<TestApp['token']>[1][], width = widths.wide as number } = {},
  ): Promise<Page> {
    const { page } = await visit(url, { fragment: `#token=${await token(user, ...scopes)}`, width });
    await isConnected(page);
    await said(page, '').or(page.locator('.presence')).first().waitFor();
    return page;
  }

  async function say(page: Page, text: string): Promise<void> {
    await field(page).fill(text);
    await field(page).press('Enter');
  }

  await part('two people talk; each message gets its number, which leads into the log', async (t) => {
    const server = await build(t);
    const ann = await enter(server, 'ann', { scopes: ['chat', 'audit:read'] });
    t.equal(new URL(ann.url()).hash, '', 'the token does not stay in the address');
    t.match(await ann.locator('.who').textContent(), /ann.*until \d\d:\d\d/s);
    await look(t, ann, 'chat-empty', { withAxe: false });

    const { page: bob } = await visit(server.url, { width: widths.narrow });
    await bob.getByLabel('Token').fill('nothing');
    await bob.getByRole('button', { name: 'Sign in' }).click();
    await bob.getByRole('alert').getByText('This is no token').waitFor();
    await bob.getByLabel('Token').fill(await server.token('bob', 'audit:read'));
    await bob.getByRole('button', { name: 'Sign in' }).click();
    await bob.getByText('does not hold “chat”').first().waitFor();
    await look(t, bob, 'chat-sign-in', { isMain: true });
    await bob.getByLabel('Token').fill(await server.token('bob', 'chat'));
    await bob.getByRole('button', { name: 'Sign in' }).click();
    await isConnected(bob);
    await ann.getByText('bob came in').waitFor();

    await say(ann, 'Is the release still on?');
    await say(bob, 'Yes, at three.');
    const [asked, answered] = [said(ann, 'Is the release'), said(ann, 'Yes, at three.')];
    await asked.getByText('recorded').waitFor();
    const seq = Number(/#(\d+)/.exec((await asked.textContent()) ?? '')?.[1]);
    const [event] = await server.events('action=MESSAGE_SENT&user_id=ann');
    t.equal(event?.seq, seq, 'the number is that of the log');
    t.equal(event?.message, 'Is the release still on?');
    t.match(await answered.textContent(), /#\d+/);
    t.notMatch(await answered.textContent(), /recorded/, 'of others it stands there quietly');

    const [console] = await Promise.all([ann.waitForEvent('popup'), asked.getByRole('link').click()]);
    t.equal(console.url(), `${server.url}/console#event=${seq}`);
    t.ok(await console.evaluate<boolean>("sessionStorage.getItem('minutebook.token') !== null"), 'signed in');
    await console.close();
    await said(bob, 'Yes, at three.').getByText('recorded').waitFor();
    t.equal(await said(bob, 'Yes').getByRole('link').count(), 0, 'bob may not look there');

    // Shift+Enter does not send; text of users is text.
    await field(ann).pressSequentially('two');
    await field(ann).press('Shift+Enter');
    await field(ann).pressSequentially('lines');
    await field(ann).press('Enter');
    for (const text of [
      '<img src=x onerror="document.title=1">',
      '\u202Esdrawkcab \u2066',
      `${'x'.repeat(60_000)} END`,
    ]) {
      await say(bob, text);
    }
    await said(ann, 'two\nlines').getByText('recorded').waitFor();
    await said(ann, '<img src=x').waitFor();
    t.equal(await ann.locator('.log img').count(), 0);
    await said(ann, 'U+202Esdrawkcab').waitFor();
    const more = ann.getByRole('button', { name: 'Show all 60,004 characters' });
    await look(t, ann, 'chat-talking', { isMain: true });
    await more.click();
    await said(ann, 'END').waitFor();
    await say(ann, `${'€'.repeat(22_000)}`);
    await ann.getByText(/Too long by [\d,]+ bytes/).waitFor();
    t.equal((await server.events('action=MESSAGE_SENT&user_id=ann')).length, 2);

    // One who has scrolled up stays there, and is told what comes.
    await ann.getByRole('log').press('Home');
    await ann.getByRole('button', { name: 'To the end' }).waitFor();
    for (const text of ['one more', 'and another']) await say(bob, text);
    await ann.getByRole('button', { name: '2 new below' }).click();
    await said(ann, 'and another').waitFor();
    await ann.getByRole('button', { name: 'below' }).waitFor({ state: 'detached' });
  });

  await part(
    'a page comes back after a restart, without loss or repeat, also when it is loaded again',
    async (t) => {
      const databaseUrl = await createDatabase(t);
      const before = await build(t, { DATABASE_URL: databaseUrl });
      const page = await enter(before, 'ann');
      await say(page, 'first');
      await said(page, 'first').getByText('recorded').waitFor();
      await before.app.close();
      await page.getByText('Reconnecting in').waitFor();
      await say(page, 'said meanwhile');
      await look(t, page, 'chat-reconnecting', { withAxe: false });
      const after = await build(t, { DATABASE_URL: databaseUrl, PORT: new URL(before.url).port });
      const bob = await connect(t, after, 'bob');
      await bob.ask({ type: 'message', room: 'lobby', text: 'missed' });
      // As the browser says when there is a network again: it is not waited any longer.
      await page.evaluate("dispatchEvent(new Event('online'))");
      await isConnected(page);
      await said(page, 'said meanwhile').getByText('recorded').waitFor();
      const texts = async () => (await page.locator('.message .said').allTextContents()).join();
      t.equal(await texts(), 'first,missed,said meanwhile');
      const sent = await after.events('action=MESSAGE_SENT');
      t.strictSame(
        sent.map(({ message }) => message),
        ['first', 'missed', 'said meanwhile'],
      );
      await page.reload();
      await said(page, 'said meanwhile').waitFor();
      t.equal(await texts(), 'first,missed,said meanwhile');
    },
  );

  await part('a log that cannot be written is told at the message, which can be said again', async (t) => {
    const between = await proxy(t, await createDatabase(t));
    const server = await build(t, { DATABASE_URL: between.url });
    const page = await enter(server, 'ann');
    await say(page, 'Is this on record?');
    await said(page, 'Is this on record?').getByText('recorded').waitFor();
    between.setMode('refuse');
    await say(page, 'And this?');
    const line = said(page, 'And this?');
    await line.getByText('on its way into the log').waitFor();
    await line.getByText(/Not recorded\..*The audit log cannot be written/).waitFor();
    await look(t, page, 'chat-refused');
    between.setMode('pass');
    await until('the log can be written', async () => (await fetch(`${server.url}/health/ready`)).ok);
    await line.getByRole('button', { name: 'Say it again' }).click();
    await line.getByText('recorded #').waitFor();
    t.equal((await server.events('action=MESSAGE_SENT')).length, 2);
  });

  await part('a ban, a kick and an expired token end it, in words', async (t) => {
    const server = await build(t);
    const page = await enter(server, 'mallory');
    await act(server, 'PUT', '/bans/mallory', { reason: 'Spam in #trading.' });
    await page.getByText('You are banned: Spam in #trading.').waitFor();
    await look(t, page, 'chat-banned', { withAxe: false });
    await act(server, 'DELETE', '/bans/mallory');
    await page.getByRole('button', { name: 'Connect again' }).click();
    await isConnected(page);
    const [session] = await server.events('action=CONNECTED&user_id=mallory').then((all) => all.slice(-1));
    await act(server, 'DELETE', `/sessions/${session?.session_id}`);
    await page.getByText('An administrator has ended your session.').waitFor();
    t.equal(await page.getByRole('button', { name: 'Connect again' }).count(), 1);

    // Its last seconds, for clocks may differ by a minute.
    const { page: ann } = await visit(server.url, {
      fragment: `#token=${await tokenOf('ann', ['chat'], '-50s')}`,
    });
    await isConnected(ann);
    await say(ann, 'Before it is too late');
    await ann.getByText('Your token has expired.').waitFor();
    await look(t, ann, 'chat-expired');
    await ann.getByRole('textbox', { name: 'Token' }).fill(await server.token('ann', 'chat'));
    await ann.getByRole('button', { name: 'Sign in' }).click();
    await isConnected(ann);
    await say(ann, 'And on');
    await said(ann, 'And on').getByText('recorded').waitFor();
    t.equal(await said(ann, 'Before it is too late').count(), 1, 'the view is not lost');

    const { page: late } = await visit(server.url, {
      fragment: `#token=${await tokenOf('eve', ['chat'], '-1h')}`,
    });
    await late.getByRole('textbox', { name: 'Token' }).waitFor();
    t.match(await late.locator('.banner .what').textContent(), /token/i);
  });

  await part('in development mode a name is enough, and a newcomer sees what is audited', async (t) => {
    const server = await build(t, { JWT_SECRET: '' });
    const { page } = await visit(server.url);
    await page.getByLabel('Your name').fill('ann');
    await page.getByRole('button', { name: 'Start talking' }).click();
    await isConnected(page);
    await page.getByText('Try what is audited').click();
    await page.getByRole('button', { name: 'Send a malformed frame' }).click();
    await page.getByText(/bad_frame: /).waitFor();
    await page.getByRole('button', { name: 'Say 50 things' }).click();
    await said(page, '50 of 50').getByText('recorded').waitFor();

    await page.getByLabel('Join another room').fill('trading');
    await page.getByLabel('Join another room').press('Enter');
    await field(page).and(page.getByLabel('Say something in trading')).waitFor();
    const bob = await connect(t, server, 'bob');
    await bob.ask({ type: 'message', room: 'lobby', text: 'over here' });
    await page.getByRole('button', { name: /lobby.*1 unread/s }).click();
    await said(page, 'over here').waitFor();
    await page.getByRole('button', { name: 'trading' }).click();
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('button', { name: 'trading' }).waitFor({ state: 'detached' });

    await page.getByRole('button', { name: 'Disconnect' }).click();
    await page.getByText('You have disconnected.').waitFor();
    await look(t, page, 'chat-trials');
    await page.getByRole('button', { name: 'Connect again' }).click();
    await isConnected(page);
    const actions = (await server.events('user_id=ann')).map(({ action }) => action);
    for (const action of ['MESSAGE_REFUSED', 'LEFT', 'DISCONNECTED'] as const)
      t.ok(actions.includes(action), action);
    t.equal(actions.filter((action) => action === 'MESSAGE_SENT').length, 50);

    await page.getByLabel('Colours').selectOption('dark');
    t.equal(await page.evaluate<string>('document.documentElement.dataset.theme'), 'dark');
    await page.reload();
    await isConnected(page);
    t.equal(await page.evaluate<string>('document.documentElement.dataset.theme'), 'dark');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Your name').waitFor();
  });
});
