import { setTheme, theme } from './theme.ts';

/** Lets one choose the colours. */
export const ThemeSwitch = () => (
  <select
    class="theme-switch"
    aria-label="Colours"
    value={theme.value}
    onChange={(event) => setTheme(event.currentTarget.value)}
  >
    <option value="system">System</option>
    <option value="light">Light</option>
    <option value="dark">Dark</option>
  </select>
);
