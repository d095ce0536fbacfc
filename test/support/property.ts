import fc from 'fast-check';

/** How many cases each property is tried with; npm run test:attack tries more. */
const CASES = Number(process.env.FUZZ_CASES ?? 500);
/** As the report of a failure names them, to see it again: FUZZ_SEED=... FUZZ_PATH=... npm test -- FILE */
const { FUZZ_SEED: seed, FUZZ_PATH: path } = process.env;

const parameters = {
  numRuns: CASES,
  ...(seed === undefined ? {} : { seed: Number(seed) }),
  ...(path === undefined ? {} : { path }),
};

/** Some of what can be made up, the same for the same seed; the seed is told with what fails. */
export function samples<T>(made: fc.Arbitrary<T>, count: number): { seed: number; values: T[] } {
  const used = seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(seed);
  return { seed: used, values: fc.sample(made, { numRuns: count, seed: used }) };
}

/** Holds for whatever is made up, or throws with the smallest case for which it does not, and its seed. */
export const holds = async <T>(
  made: fc.Arbitrary<T>,
  property: (value: T) => void | Promise<void>,
): Promise<void> =>
  fc.assert(
    fc.asyncProperty(made, async (value) => property(value)),
    parameters,
  );

/** A single UTF-16 code unit, halves of pairs included. */
export const codeUnit = fc.nat({ max: 0xffff }).map((unit) => String.fromCharCode(unit));

/** Text of any code units, with those that somebody once got wrong more often. */
export const anyText = (maxLength = 60): fc.Arbitrary<string> =>
  fc.string({
    unit: fc.oneof(
      { weight: 6, arbitrary: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }) },
      { weight: 2, arbitrary: codeUnit },
      {
        weight: 2,
        arbitrary: fc.constantFrom(
          '\0',
          '\ud800',
          '\udfff',
          '{',
          '}',
          '"',
          '\\',
          '\n',
          '\u2028',
          '\ufeff',
          '%',
          '/',
        ),
      },
    ),
    maxLength,
  });

/** Text with one change somewhere: a character left out, put in or replaced, a part doubled, the end cut off. */
export const mutated = (text: string): fc.Arbitrary<string> =>
  fc
    .record({
      at: fc.nat({ max: text.length }),
      to: fc.nat({ max: text.length }),
      kind: fc.constantFrom('drop', 'insert', 'replace', 'double', 'cut', 'case', 'swap'),
      by: fc.oneof(codeUnit, fc.constantFrom(...'{}[]":,.-_=ABCxyz019 ')),
    })
    .map(({ at, to, kind, by }) => {
      const [start, end] = [Math.min(at, to), Math.max(at, to)];
      const [head, mid, tail] = [text.slice(0, start), text.slice(start, end), text.slice(end)];
      switch (kind) {
        case 'drop':
          return head + text.slice(start + 1);
        case 'insert':
          return head + by + text.slice(start);
        case 'replace':
          return head + by + text.slice(start + 1);
        case 'double':
          return head + mid + mid + tail;
        case 'case':
          return head + (mid === mid.toUpperCase() ? mid.toLowerCase() : mid.toUpperCase()) + tail;
        case 'swap':
          return tail + mid + head;
        default:
          return head;
      }
    });
