import { test } from 'tap';
import { LEASE_MS, Lease } from '../../src/core/lease.ts';

/** A lease under a clock that the test moves. */
function setup(t: import('tap').Test) {
  const clock = { now: 1_000_000 };
  const real = performance.now;
  performance.now = () => clock.now;
  t.teardown(() => {
    performance.now = real;
  });
  let losses = 0;
  const lease = new Lease(clock.now, () => {
    losses += 1;
  });
  /** Time goes by while the process runs. */
  const pass = (ms: number): void => {
    const end = clock.now + ms;
    while (clock.now < end) {
      clock.now = Math.min(end, clock.now + 1_000);
      lease.beat();
    }
  };
  return { lease, clock, pass, losses: () => losses };
}

test('a lease is held for as long as it was granted, counted from the asking', async (t) => {
  const { lease, clock, pass } = setup(t);
  t.ok(lease.isHeld);
  pass(LEASE_MS - 1);
  t.ok(lease.isHeld);
  t.equal(lease.remainingMs, 1);
  pass(1);
  t.notOk(lease.isHeld);
  t.equal(lease.remainingMs, 0);
  t.notOk(lease.isLost, 'for a process that runs it may be had again');
  lease.renewed(clock.now - 4_000);
  t.equal(lease.remainingMs, 6_000);
  lease.renewed(clock.now - 5_000);
  t.equal(lease.remainingMs, 6_000, 'an older answer that comes later takes nothing away');
});

test('who waits for a lapsed lease is told when it is held again', async (t) => {
  const { lease, clock, pass } = setup(t);
  t.equal(lease.whenSettled(), undefined);
  pass(LEASE_MS);
  const settled = lease.whenSettled();
  t.equal(lease.whenSettled(), settled, 'all wait for the same');
  lease.renewed(clock.now - LEASE_MS);
  t.notOk(lease.isHeld, 'an answer that was under way for too long is no renewal');
  lease.renewed(clock.now);
  await settled;
  t.equal(lease.whenSettled(), undefined);
});

test('a process that stood still when its lease lapsed has lost it, whatever it hears afterwards', async (t) => {
  for (const before of [0, LEASE_MS - 4_000, LEASE_MS - 1]) {
    const { lease, clock, pass, losses } = setup(t);
    pass(before);
    clock.now += Math.max(LEASE_MS - before, 3_001);
    lease.renewed(clock.now);
    t.equal(losses(), 1, 'it is told before anything else can be done');
    t.notOk(lease.isHeld);
    t.equal(lease.whenSettled(), undefined, 'there is nothing to wait for');
    pass(1);
    lease.renewed(clock.now);
    t.ok(lease.isLost);
    t.equal(losses(), 1, 'once');
  }
});

test('a process that stood still while its lease was good goes on', async (t) => {
  const { lease, clock, pass, losses } = setup(t);
  pass(2_000);
  lease.renewed(clock.now);
  clock.now += LEASE_MS - 1;
  lease.beat();
  t.ok(lease.isHeld);
  t.equal(losses(), 0);
});

test('a busy process whose lease lapses because the database is away goes on', async (t) => {
  const { lease, clock, pass, losses } = setup(t);
  pass(LEASE_MS - 1_000);
  clock.now += 3_000;
  lease.beat();
  t.notOk(lease.isHeld);
  t.equal(losses(), 0);
  clock.now += 60_000;
  lease.beat();
  t.equal(losses(), 0, 'what stood still later changes nothing: nothing was shown meanwhile');
  lease.renewed(clock.now);
  t.ok(lease.isHeld);
});

test('a lease that another gave up is lost', async (t) => {
  const { lease, clock, pass, losses } = setup(t);
  pass(LEASE_MS);
  const settled = lease.whenSettled();
  lease.lose();
  await settled;
  lease.lose();
  t.equal(losses(), 1);
  lease.renewed(clock.now);
  t.notOk(lease.isHeld);
});
