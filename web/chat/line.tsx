import { Component } from 'preact';
import { useState } from 'preact/hooks';
import { beginningOf } from '../common/beginning.ts';
import { Text } from '../common/text.tsx';
import { ConsoleLink } from './console-link.tsx';
import type { Line, Outgoing, Room } from './room.ts';
import { conversation } from './session.ts';
import { clockTime } from './times.ts';
import { mayPass } from './trouble.ts';

const count = new Intl.NumberFormat();

/** What somebody said; the beginning only of what is very long, until it is asked for. */
function Said({ text }: { text: string }) {
  const [isWhole, setWhole] = useState(false);
  const beginning = beginningOf(text);
  if (beginning === undefined) {
    return (
      <p class="said">
        <Text of={text} />
      </p>
    );
  }
  return (
    <>
      <p class="said">
        <Text of={isWhole ? text : `${beginning} …`} />
      </p>
      <button type="button" class="quiet more" aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
        {isWhole ? 'Show the beginning only' : `Show all ${count.format(text.length)} characters`}
      </button>
    </>
  );
}

type SeqProps = { seq: number; own: boolean; mayRead: boolean };

/** The number of an event in the log, which leads there for those who may look. */
function Seq({ seq, own, mayRead }: SeqProps) {
  const words = (
    <>
      {own && <span class="recorded">recorded </span>}#{seq}
    </>
  );
  if (!mayRead) return <span class="seq">{words}</span>;
  return (
    <ConsoleLink class="seq" look={{ event: `${seq}` }}>
      {words}
    </ConsoleLink>
  );
}

type LineProps = { line: Line; isTogether: boolean; mayRead: boolean };

/** A line of a room. Lines do not change, so that one more costs one more. */
export class LineItem extends Component<LineProps> {
  override shouldComponentUpdate({ line, isTogether, mayRead }: LineProps): boolean {
    const { props } = this;
    return line !== props.line || isTogether !== props.isTogether || mayRead !== props.mayRead;
  }

  override render({ line, isTogether, mayRead }: LineProps) {
    if (line.kind === 'gap') return <li class="gap">{line.words}</li>;
    const { userId, timestamp, seq, kind } = line;
    const time = (
      <time dateTime={timestamp} title={timestamp}>
        {clockTime(timestamp)}
      </time>
    );
    if (kind !== 'message') {
      return (
        <li class="presence">
          <span class="words">
            <Text class="name" of={userId} /> {kind === 'joined' ? 'came in' : 'left'}
          </span>
          {time}
          <Seq seq={seq} own={false} mayRead={mayRead} />
        </li>
      );
    }
    const isOwn = userId === conversation.peek()?.userId;
    return (
      <li class={`message ${isOwn ? 'own' : ''} ${isTogether ? 'together' : ''}`}>
        <span class={isTogether ? 'unseen' : 'author'} title={userId}>
          <Text of={userId} />
        </span>
        <div class="body">
          <Said text={line.text} />
        </div>
        {time}
        <Seq seq={seq} own={line.own} mayRead={mayRead} />
      </li>
    );
  }
}

/** What is known of a message that is not known to be on record. */
function wordsOf({ state, why }: Outgoing): string {
  switch (state) {
    case 'queued':
      return 'waits for the connection';
    case 'sent':
      return 'on its way into the log …';
    case 'doubtful':
      return 'The database has not answered. As soon as it does, the server says whether this is recorded.';
    case 'lost':
      return 'The connection broke before the answer. It is being looked for.';
    case 'undecided':
      return 'Not known whether it was recorded: it is not among what was said here since. Say it again?';
    case 'refused':
      return `Not recorded. ${why?.words ?? ''}`;
  }
}

const mayBeSaidAgain = ({ state, why }: Outgoing): boolean =>
  state === 'undecided' || (state === 'refused' && why !== undefined && mayPass(why.code));

const mayBeDiscarded = ({ state }: Outgoing): boolean =>
  state === 'undecided' || state === 'refused' || state === 'queued';

/** A message of one’s own that is not known to be on record. */
export const OutgoingItem = ({ room: { name }, one }: { room: Room; one: Outgoing }) => (
  <li class={`message own outgoing ${one.state}`}>
    <span class="author">
      <Text of={conversation.peek()?.userId ?? ''} />
    </span>
    <div class="body">
      <Said text={one.text} />
      <p class="fate">{wordsOf(one)}</p>
      {(mayBeSaidAgain(one) || mayBeDiscarded(one)) && (
        <p class="deeds">
          {mayBeSaidAgain(one) && (
            <button type="button" onClick={() => conversation.value?.sayAgain(name, one.ref)}>
              Say it again
            </button>
          )}
          {mayBeDiscarded(one) && (
            <button type="button" class="quiet" onClick={() => conversation.value?.discard(name, one.ref)}>
              Discard
            </button>
          )}
        </p>
      )}
    </div>
  </li>
);
