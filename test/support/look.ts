import type { Page } from 'playwright-core';
import type { Test } from 'tap';
import { seriousFindings } from './axe.ts';
import { screenshot, widths } from './browser.ts';

const plan = [
  { colorScheme: 'light', width: widths.wide },
  { colorScheme: 'light', width: widths.narrow },
  { colorScheme: 'dark', width: widths.wide },
  { colorScheme: 'dark', width: widths.narrow },
] as const;

/**
 * A state as it is seen: pictures of it at both widths, nothing wider than the page, and what axe finds. The main
 * screens are looked at in both themes; of the others, which have their colours, one theme a width is enough. Without
 * axe: what holds nothing that another state has not.
 */
export async function look(
  t: Test,
  page: Page,
  name: string,
  { isMain = false, withAxe = true } = {},
): Promise<void> {
  for (const [index, { colorScheme, width }] of plan.entries()) {
    if (!isMain && (index === 1 || index === 2)) continue;
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize({ width, height: 800 });
    const scrolls = await page.evaluate<boolean>('document.documentElement.scrollWidth > innerWidth');
    t.notOk(scrolls, `${name}: nothing is wider than ${width} px`);
    await screenshot(page, `${name}-${colorScheme}-${width}`);
    if (withAxe && (index === 3 || (isMain && index === 1))) {
      t.strictSame(await seriousFindings(page), [], `${name}, ${colorScheme}: what axe finds`);
    }
  }
  await page.setViewportSize({ width: widths.wide, height: 800 });
}
