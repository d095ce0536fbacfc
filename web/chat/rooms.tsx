import { useState } from 'preact/hooks';
import { Text } from '../common/text.tsx';
import type { Room } from './room.ts';
import { changes, conversation } from './session.ts';

function JoinForm() {
  const [name, setName] = useState('');
  const submit = (event: Event): void => {
    event.preventDefault();
    if (name === '') return;
    conversation.value?.join(name);
    setName('');
  };
  return (
    <form class="join" onSubmit={submit}>
      <input
        aria-label="Join another room"
        placeholder="Another room"
        maxLength={128}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit">Join</button>
    </form>
  );
}

function Entry({ room, isCurrent }: { room: Room; isCurrent: boolean }) {
  const isOut = room.standing === 'out' && room.trouble !== undefined;
  return (
    <li>
      <button
        type="button"
        class="quiet room-entry"
        aria-current={isCurrent ? 'true' : undefined}
        title={room.name}
        onClick={() => conversation.value?.view(room.name)}
      >
        <Text class="name" of={room.name} />
        {room.unread > 0 && (
          <span class="unread">
            {room.unread > 999 ? '999+' : room.unread}
            <span class="unseen"> unread</span>
          </span>
        )}
        {isOut && <span class="faint">not in</span>}
      </button>
    </li>
  );
}

/** The rooms that one is in, and a way into others. */
export function Rooms() {
  changes.value;
  const { rooms, current } = conversation.value ?? {};
  return (
    <nav class="rooms" aria-label="Rooms">
      <ul>
        {[...(rooms?.values() ?? [])].map((room) => (
          <Entry key={room.name} room={room} isCurrent={room.name === current} />
        ))}
      </ul>
      <JoinForm />
    </nav>
  );
}

/** What stands above the messages of a room. */
export function RoomHead({ room: { name, trouble } }: { room: Room }) {
  changes.value;
  return (
    <>
      <div class="room-head">
        <h2 title={name}>
          <Text of={name} />
        </h2>
        <button type="button" class="quiet" onClick={() => conversation.value?.leave(name)}>
          Leave
        </button>
      </div>
      {trouble !== undefined && (
        <p class="notice bad" role="status">
          {trouble}
        </p>
      )}
    </>
  );
}
