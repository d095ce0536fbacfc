import { computed, signal } from '@preact/signals';
import { signOut as forgetToken, identity, signIn } from '../common/token.ts';
import { Connection, type ConnectionState, TroubleError } from './connection.ts';
import { Conversation } from './conversation.ts';
import { recall, remember } from './memory.ts';
import { getTicket, openSocket, type Speaker } from './socket.ts';

/** Whether a name alone will do. */
export const nameWillDo = document.documentElement.dataset.signIn === 'name';

const NAME_KEY = 'minutebook.name';
const DEFAULT_ROOM = 'lobby';
/** Changes within this time are shown together, in milliseconds. */
const SHOW_MS = 16;

/** Who speaks; undefined: nobody has signed in. */
export const speaker = signal<Speaker | undefined>(undefined);
export const connectionState = signal<ConnectionState>({ at: 'closed' });
/** The rooms; replaced with each user, changed in place meanwhile. */
export const conversation = signal<Conversation | undefined>(undefined);
/** Counts what has changed in the conversation. */
export const changes = signal(0);
/** Whether this tab may look into the log. */
export const mayRead = computed(() => identity.value?.scopes.has('audit:read') === true);

/** Whether a change is still to be shown. */
let isShowing = false;
function onChange(): void {
  if (isShowing) return;
  isShowing = true;
  setTimeout(() => {
    isShowing = false;
    changes.value += 1;
    if (conversation.value !== undefined) remember(conversation.value);
  }, SHOW_MS);
}

const after = (ms: number, callback: () => void): (() => void) => {
  const id = setTimeout(callback, ms);
  return () => clearTimeout(id);
};

export const connection = new Connection(
  {
    connect: async (events) => {
      if (speaker.value === undefined) throw new Error('nobody has signed in');
      return openSocket(speaker.value, events);
    },
    now: () => performance.now(),
    random: Math.random,
    after,
  },
  {
    onState: (state) => {
      connectionState.value = state;
      if (state.at === 'open') conversation.value?.opened(state.welcome);
      if (state.at === 'ended' && state.trouble.closeCode === 4403) void explainEnd();
    },
    onFrame: (frame) => conversation.value?.frame(frame),
    onLost: (trouble) => conversation.value?.lost(trouble),
  },
);

/** Kicked or banned? Who asks for a ticket is told. */
async function explainEnd(): Promise<void> {
  if (speaker.value?.by !== 'token') return;
  try {
    // Nobody will use it.
    await getTicket();
  } catch (error) {
    if (!(error instanceof TroubleError)) throw error;
    const isOver = connection.state.at === 'ended';
    if (isOver && error.trouble.cure !== 'wait') connection.end(error.trouble);
  }
}

/** Begins to speak as somebody, and goes on where this tab has been. */
function begin(as: Speaker): void {
  const isSame = conversation.value?.userId === as.userId;
  speaker.value = as;
  if (isSame) {
    connection.start();
    return;
  }
  connection.stop();
  const next = new Conversation(as.userId, {
    send: (frame) => connection.send(frame),
    giveUp: (what) => connection.giveUp(what),
    after,
    onChange,
  });
  next.isSeen = !document.hidden;
  const kept = recall(as.userId);
  for (const { name, since } of kept?.rooms ?? firstRooms()) next.join(name, since);
  if (kept?.current !== undefined) next.view(kept.current);
  conversation.value = next;
  connection.start();
}

function firstRooms(): { name: string; since: undefined }[] {
  const { rooms } = identity.value ?? {};
  const name = rooms === undefined || rooms.includes(DEFAULT_ROOM) ? DEFAULT_ROOM : rooms[0];
  return name === undefined ? [] : [{ name, since: undefined }];
}

/** Goes on as whom this tab has kept, if anybody. */
export function resume(): void {
  const { userId, scopes } = identity.value ?? {};
  const name = nameWillDo ? sessionStorage.getItem(NAME_KEY) : null;
  if (userId !== undefined && scopes?.has('chat')) begin({ by: 'token', userId });
  else if (name !== null) begin({ by: 'name', userId: name });
}

/** @returns why not; undefined when it goes on */
export function signInWithToken(text: string): string | undefined {
  if (!signIn(text)) return 'This is no token: it names no user, or no end.';
  const { userId, scopes } = identity.value ?? {};
  if (userId === undefined || !scopes?.has('chat')) {
    return `This token is ${userId}’s, and its scope does not hold “chat”. A token that does is needed to speak.`;
  }
  begin({ by: 'token', userId });
  return undefined;
}

export function signInWithName(name: string): void {
  sessionStorage.setItem(NAME_KEY, name);
  begin({ by: 'name', userId: name });
}

export function signOut(): void {
  connection.stop();
  if (speaker.value?.by === 'token') forgetToken();
  sessionStorage.removeItem(NAME_KEY);
  speaker.value = undefined;
  conversation.value = undefined;
}

/** Ends the session as somebody who closes the page would, and stays away. */
export const disconnect = (): void =>
  connection.end({ what: 'You have disconnected.', cure: 'ask', closeCode: 1000 });

/** Watches what the browser says of the network, and of who looks. */
export function watchBrowser(): void {
  const lookAgain = (): void => {
    connection.retryNow();
    conversation.value?.probe();
  };
  addEventListener('online', lookAgain);
  document.addEventListener('visibilitychange', () => {
    conversation.value?.setSeen(!document.hidden);
    if (!document.hidden) lookAgain();
  });
  // What waits to be said is in this page alone.
  addEventListener('beforeunload', (event) => {
    const rooms = [...(conversation.value?.rooms.values() ?? [])];
    if (rooms.some(({ outgoing }) => outgoing.some(({ state }) => state !== 'refused')))
      event.preventDefault();
  });
}
