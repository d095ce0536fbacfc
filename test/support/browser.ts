import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from 'playwright-core';
import type { Test } from 'tap';
import { temporaryFolder } from './app.ts';

/** Where systems put it; the first that is there. CHROMIUM says otherwise. */
const places = [
  process.env.CHROMIUM,
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
];

const executable = places.find((path) => path !== undefined && path !== '' && existsSync(path));

/** What to give to tap's `skip`; with BROWSER_REQUIRED, a browser that is missing fails instead. */
export const skipWithoutBrowser: string | false =
  executable !== undefined || process.env.BROWSER_REQUIRED
    ? false
    : 'no Chromium here: install it (Debian: apt-get install chromium), or name it in CHROMIUM';

/** Pictures are kept for who wants to look; see CONTRIBUTING.md. */
const SHOTS = process.env.SCREENSHOTS ?? join(import.meta.dirname, '../../data/screenshots');

const FLAGS = [
  ...['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking'],
  ...['--disable-component-update', '--disable-sync'],
];

/** The widths at which pages are looked at: a telephone's and a desk's, in CSS pixels. */
export const widths = { narrow: 360, wide: 1280 } as const;

export type TestPage = {
  page: Page;
  /** What the page complained about: errors, refused by its policy, failed requests of its own making. */
  complaints: string[];
  /** Every address that was asked for. */
  requests: string[];
};

/** A browser for a test file, ended when the test ends. */
export async function startBrowser(t: Test): Promise<Browser> {
  if (executable === undefined) throw new Error('BROWSER_REQUIRED is set, and there is no Chromium.');
  const browser = await chromium.launch({ executablePath: executable, args: FLAGS, headless: true });
  t.teardown(() => browser.close());
  return browser;
}

/** A page in a context of its own: nothing is kept from any other. */
export async function openPage(browser: Browser, options: BrowserContextOptions = {}): Promise<TestPage> {
  const context: BrowserContext = await browser.newContext({
    viewport: { width: widths.wide, height: 800 },
    locale: 'en-GB',
    timezoneId: 'Europe/Paris',
    ...options,
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('pageerror', (error) => complaints.push(`error: ${error.message}`));
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  page.on('request', (request) => requests.push(request.url()));
  return { page, complaints, requests };
}

/**
 * Looks at what pages complained of, and whom they asked, and closes them.
 *
 * @param expected complaints that belong to what was tried
 * @param url the server, which alone may be asked
 */
export async function endVisits(
  t: Test,
  visits: readonly TestPage[],
  { expected, url }: { expected: RegExp; url: string },
): Promise<void> {
  for (const { page, complaints, requests } of visits) {
    t.strictSame(
      complaints.filter((text) => !expected.test(text)),
      [],
      'no complaints',
    );
    // A blob is made in the page itself.
    const own = [`${url}/`, `blob:${url}/`];
    const elsewhere = requests.filter((address) => !own.some((start) => address.startsWith(start)));
    t.strictSame(elsewhere, [], 'no request to elsewhere');
    await page.context().close();
  }
}

/** Takes a picture, named after what it shows. */
export async function screenshot(page: Page, name: string): Promise<void> {
  await mkdir(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}.png`) });
}

/** A folder for what is downloaded; gone when the test ends. */
export const downloads = (t: Test): Promise<string> => temporaryFolder(t);
