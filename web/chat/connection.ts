import type { ClientFrame, ServerFrame } from '../../src/core/frame-schemas.ts';
import { type Trouble, troubleOfClose } from './trouble.ts';

export type Welcome = Extract<ServerFrame, { type: 'welcome' }>;

export type ConnectionState =
  | { at: 'closed' }
  | { at: 'opening'; trouble: Trouble | undefined }
  | { at: 'open'; welcome: Welcome }
  /** `until`: when it is tried again, by the clock that was handed in. */
  | { at: 'waiting'; trouble: Trouble; until: number }
  | { at: 'ended'; trouble: Trouble };

/** An open socket. */
export type Socket = { send: (text: string) => void; close: () => void };
export type SocketEvents = { onText: (text: string) => void; onClosed: (closeCode: number) => void };

/** What the connection needs of the world. */
export type Surroundings = {
  /** Opens a socket; nothing is called before that. @throws TroubleError */
  connect: (events: SocketEvents) => Promise<Socket>;
  /** Milliseconds. */
  now: () => number;
  /** From 0 to 1. */
  random: () => number;
  /** @returns what calls it off */
  after: (ms: number, callback: () => void) => () => void;
};

export type Listeners = {
  onState: (state: ConnectionState) => void;
  /** Every frame after `welcome`. */
  onFrame: (frame: ServerFrame) => void;
  /** An open connection is no more. */
  onLost: (trouble: Trouble) => void;
};

/** Why no socket could be opened. */
export class TroubleError extends Error {
  readonly trouble: Trouble;

  constructor(trouble: Trouble) {
    super(trouble.what);
    this.name = 'TroubleError';
    this.trouble = trouble;
  }
}

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** A connection that held so long was a good one: the next delay is the first again. */
const STEADY_MS = 10_000;
/** From the first step to `welcome`. */
const OPENING_MS = 15_000;

/**
 * One connection that comes back by itself.
 *
 *     closed --- start ----------------------------------> opening
 *     opening -- welcome --------------------------------> open
 *     opening, open -- trouble that passes --------------> waiting
 *     opening, open -- trouble that does not, end -------> ended
 *     waiting -- its time has come, retryNow ------------> opening
 *     ended ---- start ----------------------------------> opening
 *     any ------ stop -----------------------------------> closed
 */
export class Connection {
  readonly #world: Surroundings;
  readonly #listeners: Listeners;
  #state: ConnectionState = { at: 'closed' };
  /** Which attempt holds; what an older one still brings is not heard. */
  #generation = 0;
  #socket: Socket | undefined;
  /** How often in a row it was tried in vain. */
  #failures = 0;
  #openSince = 0;
  /** What the server said before `welcome`: why it will close. */
  #told: string | undefined;
  #cancelTimer: () => void = () => {};

  constructor(world: Surroundings, listeners: Listeners) {
    this.#world = world;
    this.#listeners = listeners;
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** Connects, unless it does or is already. */
  start(): void {
    if (this.#state.at !== 'closed' && this.#state.at !== 'ended') return;
    this.#failures = 0;
    this.#open(undefined);
  }

  /** Does not wait any longer. */
  retryNow(): void {
    if (this.#state.at === 'waiting') this.#open(this.#state.trouble);
  }

  /** Gives up a connection that does not answer any more, and connects anew. */
  giveUp(what: string): void {
    if (this.#state.at === 'open' || this.#state.at === 'opening') this.#fail({ what, cure: 'wait' });
  }

  /** Ends it until somebody starts it again, or says better why it has ended. */
  end(trouble: Trouble): void {
    if (this.#state.at !== 'closed') this.#fail(trouble);
  }

  /** Nobody wants it any more. */
  stop(): void {
    this.#drop();
    this.#enter({ at: 'closed' });
  }

  /** Sends a frame, or a text as it is; only while open. */
  send(frame: ClientFrame | string): void {
    if (this.#state.at !== 'open') return;
    this.#socket?.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  #enter(state: ConnectionState): void {
    this.#state = state;
    this.#listeners.onState(state);
  }

  #open(trouble: Trouble | undefined): void {
    this.#drop();
    const generation = this.#generation;
    const isCurrent = (): boolean => generation === this.#generation;
    this.#told = undefined;
    this.#cancelTimer = this.#world.after(OPENING_MS, () =>
      this.giveUp('The server does not answer the handshake.'),
    );
    this.#enter({ at: 'opening', trouble });
    const events: SocketEvents = {
      onText: (text) => {
        if (isCurrent()) this.#receive(JSON.parse(text) as ServerFrame);
      },
      onClosed: (closeCode) => {
        if (isCurrent()) this.#fail(troubleOfClose(closeCode, this.#told));
      },
    };
    this.#world.connect(events).then(
      (socket) => {
        if (isCurrent()) this.#socket = socket;
        else socket.close();
      },
      (error: unknown) => {
        if (!isCurrent()) return;
        if (!(error instanceof TroubleError)) {
          this.#fail({ what: 'Something went wrong in this page.', cure: 'ask' });
          throw error;
        }
        this.#fail(error.trouble);
      },
    );
  }

  #receive(frame: ServerFrame): void {
    if (this.#state.at === 'open') {
      this.#listeners.onFrame(frame);
      return;
    }
    if (frame.type === 'error') this.#told = frame.message;
    if (frame.type !== 'welcome') return;
    this.#cancelTimer();
    this.#told = undefined;
    this.#openSince = this.#world.now();
    this.#enter({ at: 'open', welcome: frame });
  }

  #fail(trouble: Trouble): void {
    const wasOpen = this.#state.at === 'open';
    this.#drop();
    if (wasOpen) this.#listeners.onLost(trouble);
    if (trouble.cure !== 'wait') {
      this.#enter({ at: 'ended', trouble });
      return;
    }
    if (wasOpen && this.#world.now() - this.#openSince >= STEADY_MS) this.#failures = 0;
    // Doubled each time, and half of it left to chance, so that not all come back at once.
    const longest = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** this.#failures);
    const delay = longest * (0.5 + this.#world.random() / 2);
    this.#failures += 1;
    const ms = Math.max(delay, (trouble.retryAfter ?? 0) * 1_000);
    this.#cancelTimer = this.#world.after(ms, () => this.retryNow());
    this.#enter({ at: 'waiting', trouble, until: this.#world.now() + ms });
  }

  /** Leaves whatever is under way. */
  #drop(): void {
    this.#generation += 1;
    this.#cancelTimer();
    this.#cancelTimer = () => {};
    this.#socket?.close();
    this.#socket = undefined;
  }
}
