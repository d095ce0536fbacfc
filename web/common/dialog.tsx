import type { ComponentChildren } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import './dialog.css';
import { Icon } from './icons.tsx';

/** Where there is no room beside a drawer, it covers all, and takes the keyboard for itself as well. */
const NARROW = '(max-width: 56rem)';

export type DialogProps = {
  title: ComponentChildren;
  onClose: () => void;
  children: ComponentChildren;
  /** `drawer`: at the side, and where there is room, what is beside it can still be used. */
  kind?: 'box' | 'wide' | 'drawer';
  /** Beside the title. */
  tools?: ComponentChildren;
  /** Below, where it stays while the rest is scrolled. */
  footer?: ComponentChildren;
  /** False while leaving would lose something: Esc does nothing, and the button is not there. */
  closable?: boolean;
};

/** A native dialog that is open as long as it is shown; the focus goes back to where it was. */
export function Dialog({
  title,
  onClose,
  children,
  kind = 'box',
  tools,
  footer,
  closable = true,
}: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  const titleId = useId();

  // The newest of both, for handlers that are set once.
  const leave = useRef(() => {});
  leave.current = () => closable && onClose();

  useEffect(() => {
    const dialog = ref.current;
    if (dialog === null) return;
    const before = document.activeElement;
    const beside = kind === 'drawer' && !matchMedia(NARROW).matches;
    if (beside) dialog.show();
    else dialog.showModal();
    // Where nothing asks for the focus, it is on the dialog itself, and no button looks chosen.
    if (dialog.querySelector('[autofocus]') === null) dialog.focus();

    // The browser itself answers Esc for modal dialogs alone.
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== 'Escape' || event.defaultPrevented || document.querySelector('dialog:modal')) return;
      event.preventDefault();
      leave.current();
    };
    if (beside) document.addEventListener('keydown', onKey);
    return () => {
      document.removeEventListener('keydown', onKey);
      leave.current = () => {};
      dialog.close();
      // One that has left the document gives no focus back by itself.
      const { activeElement } = document;
      const isLost = activeElement === document.body || dialog.contains(activeElement);
      if (isLost && before instanceof HTMLElement) before.focus();
    };
  }, [kind]);

  return (
    <dialog
      ref={ref}
      class={`dialog ${kind}`}
      tabIndex={-1}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        if (event.target === event.currentTarget) leave.current();
      }}
      // Browsers close a dialog also unasked: where Esc is pressed twice.
      onClose={() => (closable ? leave.current() : ref.current?.showModal())}
    >
      <header>
        <h2 id={titleId}>{title}</h2>
        {tools}
        {closable && (
          <button type="button" class="quiet square" aria-label="Close" title="Close (Esc)" onClick={onClose}>
            <Icon name="close" />
          </button>
        )}
      </header>
      <div class="body">{children}</div>
      {footer !== undefined && <footer>{footer}</footer>}
    </dialog>
  );
}
