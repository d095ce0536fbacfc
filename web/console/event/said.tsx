import { Text } from '../../common/text.tsx';
import type { Words } from './words.ts';

/** A sentence, in which what users chose keeps its own direction of writing. */
export const Said = ({ words }: { words: Words }) => (
  <>{words.map((word, index) => (typeof word === 'string' ? word : <Text key={index} of={word.name} />))}</>
);
