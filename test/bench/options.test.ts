import { test } from 'tap';
import { readOptions, UsageError } from '../../bench/options.ts';

test('without options everything is measured', async (t) => {
  t.match(readOptions([]), {
    parts: ['write', 'open', 'fanout', 'instances', 'reads', 'stream', 'snapshot', 'idle'],
    arms: ['ws', 'fastify', 'seed', 'seed10', 'minutebook'],
    connections: [1, 10, 50, 500],
    rounds: 5,
    idle: 10_000,
    snapshotMinutes: 10,
  });
});

test('parts, arms and counts can be chosen, also of a quick run', async (t) => {
  const options = readOptions([
    '--quick',
    ...[
      '--only',
      'fanout,write',
      '--arms',
      'minutebook,seed',
      '--connections',
      '50,1,50',
      '--seconds',
      '0.5',
    ],
  ]);
  t.match(options, {
    parts: ['write', 'fanout'],
    arms: ['seed', 'minutebook'],
    connections: [1, 50],
    rounds: 1,
    seconds: 0.5,
  });
});

test('help is no run', async (t) => {
  t.equal(readOptions(['--help']), undefined);
});

test('what is wrong is named', async (t) => {
  const wrong: [args: string[], message: RegExp][] = [
    [['--only', 'wirte'], /--only: “wirte” is none of: write, /],
    [['--arms', 'ws,'], /--arms: “” is none of/],
    [['--rounds', '0'], /--rounds: “0” is not a whole number above 0/],
    [['--rounds', '2.5'], /--rounds: “2.5” is not a whole/],
    [['--seconds', '-1'], /seconds/],
    [['--seconds', '1e3'], /--seconds: “1e3” is not a number above 0/],
    [['--connections', '1,x'], /--connections: “x”/],
    [['--idle', '50000'], /--idle: 50000 is more than/],
    [['--profile', 'x', '--arms', 'ws'], /--profile: Minutebook is not/],
    [['--fast'], /--fast/],
    [['now'], /now/],
  ];
  for (const [args, message] of wrong) {
    const error = t.throws(() => readOptions(args), { message }, args.join(' '));
    t.ok(error instanceof UsageError);
  }
});
