import { useEffect, useRef, useState } from 'preact/hooks';
import './copy.css';
import { Icon, type IconName } from './icons.tsx';

/** How long it is said that something was copied. */
const SAID_MS = 2_000;

export type CopyProps = {
  /** What is copied; a function is asked when it is wanted. */
  text: string | (() => string);
  /** What it is called: `Copy link`. */
  label: string;
  icon?: IconName;
  /** What is seen of the label, where less is enough; an empty text: only the icon. */
  short?: string;
};

/** Copies a text, and says so. Where the page may not, the text is shown, selected, to be copied by hand. */
export function Copy({ text, label, icon = 'copy', short = label }: CopyProps) {
  const [copied, setCopied] = useState(false);
  const [byHand, setByHand] = useState<string>();
  const area = useRef<HTMLTextAreaElement>(null);

  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(setCopied, SAID_MS, false);
    return () => clearTimeout(timer);
  }, [copied]);
  useEffect(() => area.current?.select(), [byHand]);

  async function copy() {
    const value = typeof text === 'string' ? text : text();
    try {
      await navigator.clipboard.writeText(value);
      setCopied(true);
      setByHand(undefined);
    } catch {
      // Not allowed, or not a secure context: they can do it themselves.
      setByHand(value);
    }
  }

  return (
    <span class="copy">
      <button
        type="button"
        class={short === '' ? 'quiet square' : undefined}
        onClick={copy}
        title={label}
        aria-label={copied ? 'Copied' : label}
      >
        <Icon name={copied ? 'check' : icon} />
        {short !== '' && (copied ? 'Copied' : short)}
      </button>
      <span class="unseen" role="status">
        {copied && 'Copied'}
      </span>
      {byHand !== undefined && (
        <span class="by-hand">
          <label>
            Copying was not allowed here: press <kbd>Ctrl</kbd> <kbd>C</kbd> (<kbd>⌘</kbd> <kbd>C</kbd>).
            <textarea ref={area} readOnly rows={3} value={byHand} onBlur={() => setByHand(undefined)} />
          </label>
        </span>
      )}
    </span>
  );
}
