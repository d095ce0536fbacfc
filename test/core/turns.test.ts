import t from 'tap';
import { Turns } from '../../src/core/turns.ts';

t.test('so much runs at a time, the rest waits in order, and a failure gives its turn on', async (t) => {
  const turns = new Turns(2);
  const started: number[] = [];
  const works = Array.from({ length: 5 }, () => Promise.withResolvers<number>());
  const results = works.map(({ promise }, index) =>
    turns.run(() => {
      started.push(index);
      return promise;
    }),
  );
  const settled = async () => {
    for (let turn = 0; turn < 10; turn += 1) await null;
  };
  await settled();
  t.strictSame(started, [0, 1]);
  works[1]?.reject(new Error('failed'));
  await t.rejects(Promise.all([results[1]]), { message: 'failed' });
  await settled();
  t.strictSame(started, [0, 1, 2]);
  for (const [index, { resolve }] of works.entries()) resolve(index);
  t.strictSame(await Promise.all([0, 2, 3, 4].map((index) => results[index])), [0, 2, 3, 4]);
  t.strictSame(started, [0, 1, 2, 3, 4]);
  t.equal(await turns.run(() => 'free again'), 'free again');
});
