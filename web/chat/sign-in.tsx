import { useState } from 'preact/hooks';
import { Text } from '../common/text.tsx';
import { identity } from '../common/token.ts';
import { nameWillDo, signInWithName, signInWithToken } from './session.ts';

/** Asks for a token. */
export function TokenForm() {
  const [text, setText] = useState('');
  const [refusal, setRefusal] = useState<string>();
  const submit = (event: Event): void => {
    event.preventDefault();
    setRefusal(signInWithToken(text));
  };
  return (
    <form onSubmit={submit}>
      <label for="token">Token</label>
      <textarea
        id="token"
        class="mono"
        rows={4}
        required
        spellcheck={false}
        autocomplete="off"
        aria-describedby="token-hint"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <p id="token-hint" class="faint">
        A JWT whose scope holds “chat”. It is kept for this tab only, until you close it.
      </p>
      {refusal !== undefined && (
        <p class="notice bad" role="alert">
          {refusal}
        </p>
      )}
      <button type="submit" class="primary">
        Sign in
      </button>
    </form>
  );
}

function NameForm() {
  const [name, setName] = useState('');
  const submit = (event: Event): void => {
    event.preventDefault();
    if (name.trim() !== '') signInWithName(name.trim());
  };
  return (
    <form onSubmit={submit}>
      <label for="name">Your name</label>
      <input
        id="name"
        required
        maxLength={128}
        autocomplete="nickname"
        aria-describedby="name-hint"
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <p id="name-hint" class="faint">
        The server is in development mode: on this machine, anybody may speak as anybody.
      </p>
      <button type="submit" class="primary">
        Start talking
      </button>
    </form>
  );
}

/** What somebody sees who has not signed in. */
export function SignIn() {
  // Of the token that the tab came with; what is wrong with one that is given here, its form says.
  const [kept] = useState(identity.peek());
  return (
    <section class="card">
      <h2>Talk, and have it on record</h2>
      <p>Nothing is delivered here before it is in the audit log. Each message shows its number there.</p>
      {kept !== undefined && !kept.scopes.has('chat') && !nameWillDo && (
        <p class="notice">
          The token in this tab is <Text of={kept.userId} />
          ’s, and its scope does not hold “chat”.
        </p>
      )}
      {nameWillDo ? (
        <>
          <NameForm />
          <details>
            <summary>With a token instead</summary>
            <TokenForm />
          </details>
        </>
      ) : (
        <TokenForm />
      )}
    </section>
  );
}
