import { useId, useState } from 'preact/hooks';
import { Copy } from '../../common/copy.tsx';
import { readToken, signIn } from '../../common/token.ts';
import './sign-in.css';

/** Why a token is asked for; with words, the server refused the last one. */
export type SignInReason = { is: 'none' } | { is: 'expired' } | { is: 'refused'; detail: string };

export type SignInProps = { reason: SignInReason; onSignedIn: () => void };

const COMMAND = 'npm run -s minutebook -- token carol --scope audit:read --expires 12h';

/** What is wrong with a text as a token for this page; undefined: nothing that can be seen here. */
function faultOf(text: string): string | undefined {
  const read = readToken(text);
  if (read === undefined) {
    return 'This is not a token: a token has three parts with dots between, and names a user and an end.';
  }
  if (read.expiresAt <= Date.now()) return 'This token has expired. Ask for a new one.';
  if (!read.scopes.has('audit:read')) {
    const held = [...read.scopes].join(' ') || 'none at all';
    return `This token does not allow to read the log: it holds ${held}, and audit:read is needed.`;
  }
  return undefined;
}

/** Asks for a token, and says where one comes from. */
export function SignIn({ reason, onSignedIn }: SignInProps) {
  const [text, setText] = useState('');
  const [fault, setFault] = useState<string>();
  const inputId = useId();
  const faultId = useId();

  function submit(event: Event) {
    event.preventDefault();
    const found = faultOf(text);
    setFault(found);
    if (found === undefined && signIn(text)) onSignedIn();
  }

  return (
    <form class="sign-in" onSubmit={submit}>
      {reason.is === 'none' && <h2>Who reads the log is named by a token</h2>}
      {reason.is === 'expired' && (
        <p class="notice warn" role="status">
          Your token has expired. With a new one you go on where you were.
        </p>
      )}
      {reason.is === 'refused' && (
        <p class="notice bad" role="alert">
          The server refused the token: {reason.detail}
        </p>
      )}
      <div>
        <label for={inputId}>Token</label>
        <input
          id={inputId}
          // Never to be remembered by the browser, nor seen over a shoulder.
          type="password"
          autocomplete="off"
          spellcheck={false}
          required
          value={text}
          aria-invalid={fault !== undefined}
          aria-describedby={fault === undefined ? undefined : faultId}
          onInput={({ currentTarget }) => {
            setText(currentTarget.value);
            setFault(undefined);
          }}
        />
        {fault !== undefined && (
          <p id={faultId} class="fault" role="alert">
            {fault}
          </p>
        )}
      </div>
      <button type="submit" class="primary">
        Open the log
      </button>
      <details open={reason.is === 'none'}>
        <summary>Where does a token come from?</summary>
        <p>
          It is a JWT that names you, holds the scope <code>audit:read</code>, and <code>admin</code> as well
          to end sessions and to ban. An operator makes one on the server:
        </p>
        <div class="command">
          <code class="mono">{COMMAND}</code>
          <Copy short="" label="Copy command" text={COMMAND} />
        </div>
        <p>
          In development mode the server prints a link to this page with a token in it when it starts. It is
          kept for this tab alone, until you close it.
        </p>
      </details>
    </form>
  );
}
