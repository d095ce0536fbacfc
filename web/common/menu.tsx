import type { ComponentChildren, RefObject } from 'preact';
import { useEffect } from 'preact/hooks';
import './menu.css';

export type MenuProps = {
  menu: RefObject<HTMLDetailsElement | null>;
  class: string;
  summary: ComponentChildren;
  /** What the summary is called, where what is seen does not say it all. */
  title?: string;
  summaryClass?: string | undefined;
  children: ComponentChildren;
};

/** Closes a menu; the focus goes back to what opened it. */
export function closeMenu({ current }: RefObject<HTMLDetailsElement | null>): void {
  if (current === null) return;
  current.open = false;
  current.querySelector('summary')?.focus();
}

/** What opens below its summary, over the page; Esc, and whatever is done elsewhere, close it. */
export function Menu({ menu, class: name, summary, title, summaryClass, children }: MenuProps) {
  useEffect(() => {
    const onOutside = ({ target }: Event) => {
      if (menu.current?.open && !menu.current.contains(target as Node)) menu.current.open = false;
    };
    document.addEventListener('pointerdown', onOutside);
    document.addEventListener('focusin', onOutside);
    return () => {
      document.removeEventListener('pointerdown', onOutside);
      document.removeEventListener('focusin', onOutside);
    };
  }, []);
  return (
    <details
      class={`menu ${name}`}
      ref={menu}
      onKeyDown={(event) => {
        if (event.key !== 'Escape' || !event.currentTarget.open) return;
        event.preventDefault();
        event.stopPropagation();
        closeMenu(menu);
      }}
    >
      <summary title={title} class={summaryClass}>
        {summary}
      </summary>
      <div>{children}</div>
    </details>
  );
}
