import { effect, signal } from '@preact/signals';

const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

// Of the browser: the next page, and the next visit, look the same.
const KEY = 'minutebook.theme';

const isTheme = (text: string | null): text is Theme => themes.some((theme) => theme === text);

const kept = (): Theme => {
  const text = localStorage.getItem(KEY);
  return isTheme(text) ? text : 'system';
};

/** Which colours the page has; `system`: as the system says. */
export const theme = signal<Theme>('system');

/** Takes the theme that was chosen last, and follows what other pages choose. To be called before a page is shown. */
export function followTheme(): void {
  theme.value = kept();
  effect(() => {
    const { dataset } = document.documentElement;
    if (theme.value === 'system') delete dataset.theme;
    else dataset.theme = theme.value;
  });
  addEventListener('storage', ({ key }) => {
    if (key === KEY) theme.value = kept();
  });
}

export function setTheme(text: string): void {
  if (!isTheme(text)) return;
  localStorage.setItem(KEY, text);
  theme.value = text;
}
