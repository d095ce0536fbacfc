import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'tap';
import { Sampled, type SampledOptions } from '../../src/core/sampled.ts';

/** A value whose reads the test counts and answers. */
function setup(options: Partial<SampledOptions<string>> = {}) {
  const reads: PromiseWithResolvers<string>[] = [];
  const errors: unknown[] = [];
  const sampled = new Sampled<string>({
    read: () => {
      const read = Promise.withResolvers<string>();
      reads.push(read);
      return read.promise;
    },
    everyMs: 60_000,
    patienceMs: 60_000,
    onError: (error) => errors.push(error),
    ...options,
  });
  return { sampled, reads, errors };
}

test('it is read when first asked for, and then as last known until it is time again', async (t) => {
  const { sampled, reads } = setup({ everyMs: 30 });
  t.equal(sampled.value, undefined);
  const both = Promise.all([sampled.refresh(), sampled.refresh()]);
  reads[0]?.resolve('one');
  await both;
  t.equal(reads.length, 1, 'those who ask at the same time share a read');
  t.equal(sampled.value, 'one');
  await sampled.refresh();
  t.equal(reads.length, 1);
  await delay(40);
  const again = sampled.refresh();
  t.equal(reads.length, 2);
  reads[1]?.resolve('two');
  await again;
  t.equal(sampled.value, 'two');
});

test('nobody waits longer than they can; the read goes on, and is shared by who comes later', async (t) => {
  const { sampled, reads } = setup({ patienceMs: 20, everyMs: 0 });
  const startedAt = performance.now();
  await sampled.refresh();
  const waited = performance.now() - startedAt;
  t.ok(waited >= 15 && waited < 5_000, `${waited} ms`);
  t.equal(sampled.value, undefined);
  const second = sampled.refresh();
  t.equal(reads.length, 1);
  reads[0]?.resolve('late');
  await second;
  t.equal(sampled.value, 'late');
});

test('a read that fails is told of, changes nothing, and is not repeated at once', async (t) => {
  const { sampled, reads, errors } = setup();
  const refresh = sampled.refresh();
  reads[0]?.reject(new Error('away'));
  await refresh;
  t.match(errors, [{ message: 'away' }]);
  t.equal(sampled.value, undefined);
  await sampled.refresh();
  t.equal(reads.length, 1);
});
