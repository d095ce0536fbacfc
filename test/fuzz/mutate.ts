import type { Random } from '../../bench/seed/random.ts';

/** Bytes that somebody once got wrong: ends of ranges, delimiters, halves of characters. */
const interesting = [
  ...[
    '00',
    '7f',
    '80',
    'ff',
    '0d0a',
    '0d0a0d0a',
    '20',
    '22',
    '7b',
    '7d',
    '5c',
    '25',
    '2530',
    'c0af',
    'eda080',
  ],
  ...['f09f98', 'f4908080', '5c7530303030', '5c7564383030', '5f5f70726f746f5f5f', '2d31', '31653430300a'],
].map((hex) => Buffer.from(hex, 'hex'));

function mutateOnce(random: Random, bytes: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + random.below(8));
  const [head, mid, tail] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  switch (random.below(8)) {
    case 0: {
      const flipped = Buffer.from(bytes);
      if (at < bytes.length) flipped[at] = (flipped[at] ?? 0) ^ (1 << random.below(8));
      return flipped;
    }
    case 1:
      return Buffer.concat([head, random.pick(interesting), mid, tail]);
    case 2:
      return Buffer.concat([head, random.pick(interesting), tail]);
    case 3:
      return Buffer.concat([head, tail]);
    case 4:
      return Buffer.concat([head, ...Array.from({ length: random.below(100) }, () => mid), tail]);
    case 5:
      return Buffer.concat([head, random.bytes(random.below(16)), tail]);
    case 6:
      return Buffer.concat([tail, head]);
    default:
      return head;
  }
}

/** Bytes with a few changes. */
export function mutate(random: Random, bytes: Buffer | string): Buffer {
  let mutated: Buffer = Buffer.from(bytes);
  for (let left = 1 + random.below(4); left > 0; left -= 1) mutated = mutateOnce(random, mutated);
  return mutated;
}
