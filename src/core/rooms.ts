/** Who is in which room on this instance. Every change is one that the log already holds. */
export class Rooms<Member> {
  /** Rooms with at least one member; a room without is absent. */
  readonly #rooms = new Map<string, Set<Member>>();

  /** Adds a member; does nothing when it is in. */
  add(room: string, member: Member): void {
    const members = this.#rooms.get(room);
    if (members === undefined) this.#rooms.set(room, new Set([member]));
    else members.add(member);
  }

  /** Removes a member; does nothing when it is out. */
  remove(room: string, member: Member): void {
    const members = this.#rooms.get(room);
    if (members === undefined) return;
    members.delete(member);
    if (members.size === 0) this.#rooms.delete(room);
  }

  /** The members of a room, in the order in which they came. */
  members(room: string): ReadonlySet<Member> {
    return this.#rooms.get(room) ?? new Set();
  }
}
