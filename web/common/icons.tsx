import './icons.css';

/** Drawings of 16 units, in the colour of the text; what they mean is said by the text or label beside them. */
const paths = {
  close: 'M3.5 3.5l9 9m0-9l-9 9',
  copy: 'M5.5 5.5v-3h8v8h-3m-8-5h8v8h-8z',
  check: 'M2.5 8.5l3.5 3.5 7.5-8',
  filter: 'M2 3.5h12M4.5 8h7M7 12.5h2',
  link: 'M6.5 9.5l3-3m-1-3l1-1a2.8 2.8 0 0 1 4 4l-1 1m-5 5l-1 1a2.8 2.8 0 0 1-4-4l1-1',
  download: 'M8 2v8m-3.5-3.5L8 10l3.5-3.5M2.5 13.5h11',
  refresh: 'M13.5 8a5.5 5.5 0 1 1-1.6-3.9M13.5 1.5v3h-3',
  menu: 'M2.5 4.5h11M2.5 8h11M2.5 11.5h11',
  up: 'M3 10l5-5 5 5',
  down: 'M3 6l5 5 5-5',
  user: 'M8 8.5a3 3 0 1 0 0-6 3 3 0 0 0 0 6zm-5.5 5a5.5 5.5 0 0 1 11 0',
  users:
    'M6 8a2.5 2.5 0 1 0 0-5 2.5 2.5 0 0 0 0 5zm-4.5 5a4.5 4.5 0 0 1 9 0M10.500 3.200a2.500 2.500 0 0 1 0 4.600m1.500 1.700a4.500 4.500 0 0 1 2.500 3.500',
  key: 'M6 10a3.5 3.5 0 1 1 0-.01M9 7.5L14 2.500m-2.500 2.500l2 2',
  warn: 'M8 2l6.5 11.500h-13zM8 6.500v3m0 1.800v.2',
} as const;

export type IconName = keyof typeof paths;

export const Icon = ({ name }: { name: IconName }) => (
  <svg class="icon" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
    <path
      d={paths[name]}
      fill="none"
      stroke="currentColor"
      stroke-width="1.5"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
);
