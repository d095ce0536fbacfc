import { useEffect } from 'preact/hooks';
import { Text } from '../common/text.tsx';
import { ThemeSwitch } from '../common/theme-switch.tsx';
import { identity } from '../common/token.ts';
import { Banner } from './banner.tsx';
import { Composer } from './composer.tsx';
import { ConsoleLink } from './console-link.tsx';
import { Log } from './log.tsx';
import { RoomHead, Rooms } from './rooms.tsx';
import { changes, connectionState, conversation, signOut, speaker } from './session.ts';
import { SignIn } from './sign-in.tsx';
import { moment } from './times.ts';
import { Trials } from './trials.tsx';

const statusWords = {
  closed: 'not connected',
  opening: 'connecting',
  open: 'connected',
  waiting: 'reconnecting',
  ended: 'not connected',
} as const;

function Who() {
  const who = speaker.value;
  if (who === undefined) return null;
  const { at } = connectionState.value;
  const expiresAt = who.by === 'token' ? identity.value?.expiresAt : undefined;
  return (
    <div class="who">
      <span class={`status ${at}`}>{statusWords[at]}</span>
      <span class="name" title={who.userId}>
        <Text of={who.userId} />
      </span>
      {expiresAt !== undefined && (
        <span class="faint until" title={new Date(expiresAt).toISOString()}>
          until {moment(expiresAt)}
        </span>
      )}
    </div>
  );
}

const Header = () => (
  <header class="top">
    <h1>
      <img src="./favicon.svg" alt="" width="20" height="20" />
      Minutebook
    </h1>
    <Who />
    <nav aria-label="Elsewhere">
      <ConsoleLink>Audit log</ConsoleLink>
      <a href="./docs" target="_blank" rel="noreferrer">
        API
      </a>
    </nav>
    <ThemeSwitch />
    {speaker.value !== undefined && (
      <button type="button" class="quiet" onClick={signOut}>
        Sign out
      </button>
    )}
  </header>
);

function Room() {
  changes.value;
  const { rooms, current } = conversation.value ?? {};
  const room = current === undefined ? undefined : rooms?.get(current);
  if (room === undefined) {
    return (
      <div class="nowhere faint">
        <p>You are in no room. Join one, and what is said in it appears here.</p>
      </div>
    );
  }
  return (
    <>
      <RoomHead room={room} />
      <Log key={room.name} room={room} />
      <Composer key={`say ${room.name}`} room={room} />
    </>
  );
}

/** The whole page. */
export function Page() {
  const change = changes.value;
  useEffect(() => {
    const unread = [...(conversation.value?.rooms.values() ?? [])].reduce(
      (sum, room) => sum + room.unread,
      0,
    );
    document.title = unread > 0 ? `(${unread}) Minutebook` : 'Minutebook';
  }, [change]);
  if (speaker.value === undefined) {
    return (
      <div class="frame">
        <Header />
        <main class="alone">
          <SignIn />
        </main>
      </div>
    );
  }
  return (
    <div class="frame">
      <Header />
      <div class="columns">
        <aside>
          <Rooms />
          <Trials />
        </aside>
        <main>
          <Banner />
          <Room />
        </main>
      </div>
    </div>
  );
}
