import { useState } from 'preact/hooks';
import { identity } from '../shared/token.ts';
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
  const { userId, scopes } = identity.value ?? {};
  const cannotSpeak = userId !== undefined && !scopes?.has('chat');
  return (
    <section class="card">
      <h2>Talk, and have it on record</h2>
      <p>Nothing is delivered here before it is in the audit log. Each message shows its number there.</p>
      {cannotSpeak && !nameWillDo && (
        <p class="notice">
          The token in this tab is <bdi>{userId}</bdi>’s, and its scope does not hold “chat”.
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
