import type { Conversation } from './conversation.ts';

/** What a page that is loaded again must know of the rooms to show them as before. */
export type Memory = {
  userId: string;
  current: string | undefined;
  rooms: { name: string; since: { epoch: string; seq: number } | undefined }[];
};

const KEY = 'minutebook.rooms';

/** What is worth keeping of a conversation. */
export function memoryOf({ userId, current, rooms }: Conversation): Memory {
  return {
    userId,
    current,
    rooms: [...rooms.values()].map(({ name, since, oldest }) => ({
      name,
      since: since === undefined ? undefined : { epoch: since.epoch, seq: oldest ?? since.seq },
    })),
  };
}

/** Keeps it for this tab. */
export const remember = (conversation: Conversation): void =>
  sessionStorage.setItem(KEY, JSON.stringify(memoryOf(conversation)));

/** What this tab has kept of a user. */
export function recall(userId: string): Memory | undefined {
  const text = sessionStorage.getItem(KEY);
  const memory = text === null ? undefined : (JSON.parse(text) as Memory);
  return memory?.userId === userId ? memory : undefined;
}
