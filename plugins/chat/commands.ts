import type { Condition } from '../../src/core/condition.ts';
import { OutcomeUnknownError, type Receipt } from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/events.ts';
import type { Since } from '../../src/core/frame-schemas.ts';

/** What a client asked for, whose event is on its way through the log. */
export type Command = {
  /** The client's label. */
  ref: string | undefined;
  since: Since | undefined;
  /** Whether it changes which rooms the session is in, so that what follows depends on its outcome. */
  moves: boolean;
  /** Whether the database has not said yet what became of it. */
  inDoubt: boolean;
  /** Called when the command is finished with; with true when it is on record and its sender was told. */
  finish: (recorded: boolean) => void;
};

const nothing = (): void => {};

/** Whose commands they are. */
export type Commander = {
  record: (draft: Draft) => Promise<Receipt>;
  /** Tells the sender why a command is not, or not known to be, on record. */
  tellError: (error: unknown, ref: string | undefined) => void;
};

/**
 * The commands of one session whose events have not come out of the tail yet. A session's events come in the
 * order in which they were recorded, so the next event of the session is that of the oldest command here.
 */
export class Commands {
  readonly #commander: Commander;
  readonly #changes: Condition;
  /** Oldest first. */
  #inFlight: Command[] = [];

  /** @param changes told whenever a command is finished with */
  constructor(commander: Commander, changes: Condition) {
    this.#commander = commander;
    this.#changes = changes;
  }

  /** How many are under way. */
  get size(): number {
    return this.#inFlight.length;
  }

  /** Whether nobody knows if the session has joined or left a room. */
  get movesInDoubt(): boolean {
    return this.#inFlight.some(({ moves, inDoubt }) => moves && inDoubt);
  }

  /** Records something that was said. */
  send(draft: Draft, ref: string | undefined): void {
    this.#record(draft, { ref, since: undefined, moves: false, inDoubt: false, finish: nothing });
  }

  /**
   * Records a join or leave. Resolves when it is finished with: true when it is on record and was told, false
   * when it was refused or nobody knows yet.
   */
  move(
    draft: Draft,
    { ref, since }: { ref?: string | undefined; since?: Since | undefined } = {},
  ): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#record(draft, { ref, since, moves: true, inDoubt: false, finish: resolve });
    return promise;
  }

  /** Takes the command whose event has come out of the tail. */
  next(): Command | undefined {
    return this.#inFlight.shift();
  }

  /** Its sender was told. */
  finish(command: Command | undefined): void {
    command?.finish(true);
    this.#changes.changed();
  }

  #record(draft: Draft, command: Command): void {
    this.#inFlight.push(command);
    this.#commander.record(draft).catch((error: unknown) => {
      if (error instanceof OutcomeUnknownError) this.#leaveInDoubt(command, error);
      else this.#drop(command, error);
      command.finish(false);
    });
  }

  /**
   * Nobody knows whether a command is on record. It stays in flight: if it is, the tail brings its event, and
   * it is acknowledged then.
   */
  #leaveInDoubt(command: Command, error: OutcomeUnknownError): void {
    // The tail may have been faster than the writer; then the sender knows more than this.
    if (!this.#inFlight.includes(command)) return;
    command.inDoubt = true;
    this.#commander.tellError(error, command.ref);
    error.settled.catch((late: unknown) => this.#drop(command, late));
  }

  /** A command that is certainly not on record. */
  #drop(command: Command, error: unknown): void {
    this.#inFlight = this.#inFlight.filter((other) => other !== command);
    this.#commander.tellError(error, command.ref);
    this.#changes.changed();
  }
}
