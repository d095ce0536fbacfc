import { Dialog } from '../common/dialog.tsx';
import { keys } from './keys.ts';

export const Help = ({ onClose }: { onClose: () => void }) => (
  <Dialog title="Keys" onClose={onClose}>
    <dl class="keys">
      {keys.map(([key, words]) => (
        <div key={key}>
          <dt>
            {key.split(' ').map((one) => (
              <kbd key={one}>{one}</kbd>
            ))}
          </dt>
          <dd>{words}</dd>
        </div>
      ))}
    </dl>
    <p class="faint">
      Whoever reads the log is in the log: what this page asks for is on record as AUDIT_READ, and what it
      follows as AUDIT_STREAMED. The API behind it is described in <a href="./docs">its documentation</a>.
    </p>
  </Dialog>
);
