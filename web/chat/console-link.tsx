import type { ComponentChildren } from 'preact';

type Props = { look?: Record<string, string>; class?: string; children: ComponentChildren };

/**
 * Opens the console, always in the same tab beside this one. A tab with a name keeps its opener, and so gets a copy of
 * what this tab holds: the token.
 *
 * @param look what the console shows, in the words of the API
 */
export const ConsoleLink = ({ look = {}, children, ...rest }: Props) => {
  const fragment = new URLSearchParams(look).toString();
  return (
    <a {...rest} href={`./console${fragment && `#${fragment}`}`} target="minutebook-console">
      {children}
    </a>
  );
};
