import { look } from '../log.ts';

/** Somebody did not want to wait. */
export const GivenUp = () => (
  <div class="nothing">
    <h2>Looking was cancelled</h2>
    <p>A shorter time, or one more chip, makes it faster.</p>
    <p>
      <button type="button" onClick={() => void look()}>
        Look again
      </button>
    </p>
  </div>
);
