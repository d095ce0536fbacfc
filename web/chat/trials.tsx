import type { ComponentChildren } from 'preact';
import { changes, connectionState, conversation, disconnect, mayRead, nameWillDo } from './session.ts';

const SPOKEN = 50;

const malformed = (ref: string): string => JSON.stringify({ type: 'shout', text: 'Is anybody there?', ref });

function speakMuch(): void {
  const { current } = conversation.value ?? {};
  if (current === undefined) return;
  for (let n = 1; n <= SPOKEN; n += 1) conversation.value?.say(current, `${n} of ${SPOKEN}`);
}

type TrialProps = { label: string; action: string; onClick: () => void; children: ComponentChildren };

function Trial({ label, action, onClick, children }: TrialProps) {
  const { userId = '' } = conversation.value ?? {};
  const fragment = new URLSearchParams({ action, user_id: userId });
  return (
    <li>
      <button type="button" disabled={connectionState.value.at !== 'open'} onClick={onClick}>
        {label}
      </button>
      <p class="faint">
        {mayRead.value ? (
          <a href={`./console#${fragment}`} target="_blank" rel="noopener opener">
            {action}
          </a>
        ) : (
          action
        )}
        {children}
      </p>
    </li>
  );
}

/** Lets a newcomer do what the log records. */
export function Trials() {
  changes.value;
  const { trial } = conversation.value ?? {};
  return (
    <details class="trials">
      <summary>Try what is audited</summary>
      <ol>
        <Trial
          label="Send a malformed frame"
          action="MESSAGE_REFUSED"
          onClick={() => conversation.value?.try(malformed)}
        >
          {' '}
          names the code of the refusal, and never holds the text.
        </Trial>
        {trial !== undefined && (
          <li class="answer" role="status">
            {trial}
          </li>
        )}
        <Trial label={`Say ${SPOKEN} things at once`} action="MESSAGE_SENT" onClick={speakMuch}>
          {' '}
          for each, numbered in the order in which they were said.
        </Trial>
        <Trial label="Disconnect" action="DISCONNECTED" onClick={disconnect}>
          {' '}
          tells how long you were there, in which rooms, and how it ended.
        </Trial>
      </ol>
      {!mayRead.value && (
        <p class="faint">
          {nameWillDo
            ? 'To look, open the link to the audit log that the server printed at its start.'
            : 'To look, one needs a token whose scope holds “audit:read”.'}
        </p>
      )}
    </details>
  );
}
