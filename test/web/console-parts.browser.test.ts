import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Page } from 'playwright-core';
import { type Test, test } from 'tap';
import { build } from '../support/app.ts';
import {
  endVisits,
  openPage,
  skipWithoutBrowser,
  startBrowser,
  type TestPage,
  widths,
} from '../support/browser.ts';
import { connect } from '../support/client.ts';
import { look } from '../support/look.ts';
import { tokenOf } from '../support/token.ts';

/** What Chromium itself writes when an answer is no success, as some are here on purpose. */
const EXPECTED = /Failed to load resource/;

/** What turns the direction of writing, and would hide what it does. */
const TURN = '\u202e';
const HOSTILE = `<img src=x onerror="document.title='run'"><script>document.title='run'</script> ${TURN}txt.exe`;

/** The fragment of an address that opens an event. */
const opens = (seq: number | null): string => `event=${seq}`;

test('what stands beside the list of the console', { skip: skipWithoutBrowser }, async (t) => {
  const browser = await startBrowser(t);
  const server = await build(t);
  const bob = await connect(t, server, 'bob', { room: 'lobby' });
  const { seq: hostileSeq } = await bob.ask({ type: 'message', text: HOSTILE });
  const { seq: longSeq } = await bob.ask({ type: 'message', text: `${'long '.repeat(12_000)}END` });

  let visits: TestPage[] = [];

  /** The console of an administrator, or of whom the token names. */
  async function visit(
    fragment: string,
    { token = '', width = widths.wide as number, init = '' } = {},
  ): Promise<Page> {
    const opened = await openPage(browser, { viewport: { width, height: 800 }, acceptDownloads: true });
    visits.push(opened);
    opened.page.setDefaultTimeout(60_000);
    // In a browser of its own nobody could answer the picker of files.
    await opened.page.addInitScript('delete window.showSaveFilePicker');
    if (init !== '') await opened.page.addInitScript(init);
    const bearer = token === '' ? await server.token('carol', 'audit:read', 'admin') : token;
    await opened.page.goto(`${server.url}/console#token=${bearer}&${fragment}`);
    return opened.page;
  }

  /** A part of the test; what its pages complained of, and whom they asked, is looked at when it ends. */
  const part = (name: string, run: (t: Test) => Promise<void>) =>
    t.test(name, async (t) => {
      visits = [];
      await run(t);
      await endVisits(t, visits, { expected: EXPECTED, url: server.url });
    });

  const dialog = (page: Page, name: string | RegExp) => page.getByRole('dialog', { name });

  await part('a link opens one event, whatever is in the list, and its text is only text', async (t) => {
    const page = await visit(opens(hostileSeq));
    const drawer = dialog(page, `#${hostileSeq}`);
    await drawer.getByRole('blockquote').waitFor();
    const shown = await drawer.getByRole('blockquote').textContent();
    t.equal(shown, HOSTILE.replace(TURN, 'U+202E'), 'as it was said, and what turns it by its name');
    t.equal(await drawer.locator('img, script').count(), 0);
    t.not(await page.title(), 'run');
    const [event] = await server.events(`user_id=bob&action=MESSAGE_SENT`);
    const { timestamp = '' } = event ?? {};
    await drawer.getByText(timestamp).first().waitFor();
    await drawer.getByText('+01:00').first().waitFor();

    await drawer.getByRole('button', { name: 'What bob did before and after' }).click();
    const around = drawer.getByRole('listitem');
    await around.getByText('CONNECTED').waitFor();
    t.match(await around.allTextContents(), [/CONNECTED/, /JOINED/, /<img/, /long/]);
    await look(t, page, 'console-event', { isMain: true });

    await around.getByText('long').click();
    const long = dialog(page, `#${longSeq}`);
    const said = long.getByRole('blockquote');
    t.ok(((await said.textContent()) ?? '').length < 2_000, 'of 60 KB, the beginning');
    await long.getByRole('button', { name: /^Show all 60,003/ }).click();
    t.match(await said.textContent(), /END$/);

    await page.keyboard.press('Escape');
    await long.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Export' }).focus();
    await page.keyboard.press('Enter');
    await dialog(page, 'Export').waitFor();
    await page.keyboard.press('Escape');
    await dialog(page, 'Export').waitFor({ state: 'detached' });
    t.equal(await page.evaluate('document.activeElement.textContent.trim()'), 'Export', 'the focus is back');
    t.notMatch(page.url(), opens(longSeq), 'and the address says so');
  });

  await part('link, curl and JSON are copied; where that is not allowed, by hand', async (t) => {
    const page = await visit(opens(hostileSeq));
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
    const copied = async (name: string): Promise<string> => {
      await page.getByRole('dialog').getByRole('button', { name, exact: true }).click();
      await page.getByRole('dialog').getByTitle(name).and(page.getByLabel('Copied')).waitFor();
      return page.evaluate<string>('navigator.clipboard.readText()');
    };
    t.equal(await copied('Copy link'), `${server.url}/console#${opens(hostileSeq)}`);
    const curl = await copied('Copy as curl');
    t.match(curl, `curl -sS '${server.url}/audit/${hostileSeq}'`);
    t.notMatch(curl, /eyJ/, 'the token is not in it');
    t.match(JSON.parse(await copied('Copy JSON')), { seq: hostileSeq, message: HOSTILE });

    await page.evaluate("navigator.clipboard.writeText = () => Promise.reject(new Error('not allowed'))");
    await page.getByRole('dialog').getByRole('button', { name: 'Copy as curl' }).click();
    await page.getByText('Copying was not allowed here').waitFor();
    t.equal(await page.evaluate<string>('getSelection().toString()'), curl, 'it is shown, and selected');
  });

  await part('a value of the event becomes a filter', async () => {
    const page = await visit(opens(hostileSeq));
    await page.getByRole('button', { name: 'Filter by involves bob' }).click();
    await page.waitForURL(/involves=bob/);
    await page.getByRole('button', { name: 'Filter by room lobby' }).click();
    await page.waitForURL(/room=lobby/);
  });

  await part('an event that is not there is told in words, and is not asked for again', async (t) => {
    const page = await visit(opens(999_999));
    await dialog(page, '#999999').getByRole('alert').getByText('There is no #999999 in this log').waitFor();
    const asked = visits.at(-1)?.requests.filter((address) => address.endsWith('/audit/999999'));
    t.equal(asked?.length, 1);
  });

  await part('an export holds all that matches, byte for byte as the API gives it', async (t) => {
    for (let n = 0; n < 300; n += 1) bob.send({ type: 'message', text: `said ${n}, "so"\nand so` });
    await bob.ask({ type: 'message', text: 'the last' });
    for (const format of ['ndjson', 'csv'] as const) {
      const page = await visit('user_id=bob&action=MESSAGE_SENT&panel=export');
      const box = dialog(page, 'Export');
      await box.getByText('303 events').waitFor();
      await box.getByLabel(format === 'csv' ? 'CSV' : 'NDJSON').check();
      const [download] = await Promise.all([
        page.waitForEvent('download'),
        box.getByRole('button', { name: 'Export', exact: true }).click(),
      ]);
      await box.getByText('The export is whole.').waitFor();
      const saved = await readFile(await download.path());
      const answer = await server.get(`/audit/export?user_id=bob&action=MESSAGE_SENT&format=${format}`);
      t.strictSame(saved, Buffer.from(await answer.arrayBuffer()));
      t.match(download.suggestedFilename(), new RegExp(`^minutebook-\\d+-\\d+\\.${format}$`));
      const before = saved.subarray(0, saved.lastIndexOf('\n', -2) + 1);
      const sum = createHash('sha256').update(before).digest('hex');
      t.equal(await box.getByText(/^[0-9a-f]{64}$/).textContent(), sum, 'the sum is the right one');
      await look(t, page, `console-exported-${format}`, { withAxe: format === 'csv' });
    }
  });

  await part('an export that is cut off is told as such, and nothing is saved', async (t) => {
    const page = await visit('panel=export');
    const saved: unknown[] = [];
    page.on('download', (download) => saved.push(download));
    await page.route('**/audit/export*', async (route) => {
      const response = await route.fetch();
      const body = await response.body();
      await route.fulfill({ response, body: body.subarray(0, body.length - 100) });
    });
    await dialog(page, 'Export').getByRole('button', { name: 'Export', exact: true }).click();
    await page.getByRole('alert').getByText('The export is cut off').waitFor();
    await page.getByText('Nothing was saved.').waitFor();
    t.strictSame(saved, []);
  });

  await part('an export that is cancelled says so, and nothing is saved', async (t) => {
    const page = await visit('panel=export');
    const saved: unknown[] = [];
    page.on('download', (download) => saved.push(download));
    await page.route('**/audit/export*', () => {});
    const box = dialog(page, 'Export');
    await box.getByRole('button', { name: 'Export', exact: true }).click();
    await box.getByRole('button', { name: 'Cancel' }).click();
    await box.getByText('The export was cancelled. Nothing was saved.').waitFor();
    t.strictSame(saved, []);
  });

  await part('a picked file is written as it comes', async (t) => {
    const page = await visit('user_id=bob&panel=export', {
      init: `window.showSaveFilePicker = async ({ suggestedName }) => ({
        createWritable: async () => {
          window.written = { name: suggestedName, bytes: 0, end: '' };
          return {
            write: async (chunk) => { window.written.bytes += chunk.length; },
            close: async () => { window.written.end = 'closed'; },
            abort: async () => { window.written.end = 'aborted'; },
          };
        },
      })`,
    });
    await dialog(page, 'Export').getByRole('button', { name: 'Export', exact: true }).click();
    await page.getByText('The export is whole.').waitFor();
    const written = await page.evaluate('window.written');
    const answer = await server.get('/audit/export?user_id=bob');
    t.match(written, { bytes: (await answer.arrayBuffer()).byteLength, end: 'closed' });
  });

  await part('a kick and a ban reach the socket, and stand on record with their reason', async (t) => {
    const mallory = await connect(t, server, 'mallory', { room: 'trading' });
    const page = await visit('panel=sessions');
    const sessions = dialog(page, 'Sessions');
    await sessions.getByRole('rowheader', { name: 'mallory' }).waitFor();
    await look(t, page, 'console-sessions', { isMain: true });

    await sessions.getByRole('button', { name: 'Kick mallory' }).click();
    const kick = dialog(page, 'End a session');
    await kick.getByRole('button', { name: 'End the session' }).click();
    t.strictSame(await server.events('action=USER_KICKED'), [], 'not without a reason');
    await kick.getByLabel('Reason').fill('shouting');
    await kick.getByRole('button', { name: 'End the session' }).click();
    t.match(await mallory.closed, { code: 4403 });
    await sessions.getByText('The session of mallory has ended').waitFor();
    const [kicked] = await server.events('action=USER_KICKED');
    t.match(kicked, { user_id: 'carol', target_user_id: 'mallory', details: { reason: 'shouting' } });

    const again = await connect(t, server, 'mallory', { room: 'trading' });
    await sessions.getByRole('button', { name: 'Look again' }).click();
    await sessions.getByRole('button', { name: 'Ban mallory' }).click();
    const ban = dialog(page, 'Ban a user');
    await ban.getByLabel('Reason').fill('spam');
    await ban.getByLabel('It ends').selectOption({ label: 'in a week' });
    await look(t, page, 'console-ban');
    await ban.getByRole('button', { name: 'Ban', exact: true }).click();
    t.match(await again.closed, { code: 4403 });
    await sessions.getByText('The user mallory is banned').waitFor();
    await t.rejects(connect(t, server, 'mallory'), { message: 'refused: 403' });
    const [banned] = await server.events('action=USER_BANNED');
    const { until: end = '' } = (banned?.details ?? {}) as { until?: string };
    const days = (Date.parse(end) - Date.parse(banned?.timestamp ?? '')) / 86_400_000;
    t.ok(days > 6.99 && days < 7.01, `for ${days} days`);

    await sessions.getByRole('button', { name: 'Banned' }).click();
    await sessions.getByRole('button', { name: 'Lift the ban of mallory' }).click();
    const lift = dialog(page, 'Lift a ban');
    await lift.getByLabel('Reason').fill('a mistake');
    await lift.getByRole('button', { name: 'Lift the ban' }).click();
    await sessions.getByText('Nobody is banned.').waitFor();
    const welcome = await (await connect(t, server, 'mallory')).next('welcome');
    t.equal(welcome.user_id, 'mallory');

    const [lifted] = await server.events('action=USER_UNBANNED');
    await sessions.getByRole('button', { name: `#${lifted?.seq}` }).click();
    await dialog(page, `#${lifted?.seq}`).getByText('carol lifted the ban of mallory: a mistake.').waitFor();
  });

  await part('who may only read sees the sessions, and why there is no more', async (t) => {
    const page = await visit('panel=sessions', { token: await server.token('dave', 'audit:read') });
    const sessions = dialog(page, 'Sessions');
    await sessions.getByRole('rowheader', { name: 'bob' }).waitFor();
    await sessions.getByText('To kick and to ban takes the scope').waitFor();
    t.equal(await sessions.getByRole('button', { name: /Kick|Ban / }).count(), 0);
    await sessions.getByRole('button', { name: 'Banned' }).click();
    await sessions.getByText('shown to administrators alone').waitFor();
    const asked = visits.at(-1)?.requests.filter((address) => address.includes('/bans'));
    t.strictSame(asked, [], 'and is not asked for');
  });

  await part('an expired token is asked for anew, and the view stays', async (t) => {
    const page = await visit(opens(hostileSeq), { token: await tokenOf('carol', ['audit:read'], '-1m') });
    await page.getByText('Your token has expired.').waitFor();
    await look(t, page, 'console-expired');
    await page.getByLabel('Token').fill('nonsense');
    await page.getByRole('button', { name: 'Open the log' }).click();
    await page.getByRole('alert').getByText('This is not a token').waitFor();
    await page.getByLabel('Token').fill(await server.token('carol', 'chat'));
    await page.getByRole('button', { name: 'Open the log' }).click();
    await page.getByRole('alert').getByText('it holds chat, and audit:read is needed').waitFor();
    await page.getByLabel('Token').fill(await server.token('carol', 'audit:read'));
    await page.getByRole('button', { name: 'Open the log' }).click();
    await dialog(page, `#${hostileSeq}`).getByText('said in lobby').waitFor();
  });

  await part('the end of a token is told five minutes before', async (t) => {
    const page = await visit('', { token: await tokenOf('carol', ['audit:read'], '4m') });
    await page.getByText('expires in 3 minutes').waitFor();
    await page.getByText('carol').first().click();
    await page.getByText('audit:read', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Token').waitFor();
    t.equal(await page.evaluate("sessionStorage.getItem('minutebook.token')"), null);
  });
});
