import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';
import { addressOf, type Query } from '../common/api.ts';
import { Copy } from '../common/copy.tsx';
import { curlOf } from '../common/curl.ts';
import { Icon } from '../common/icons.tsx';
import { closeMenu, Menu } from '../common/menu.tsx';
import { ThemeSwitch } from '../common/theme-switch.tsx';
import { timeZoneOf } from '../common/time.ts';
import { useMedia } from '../common/use-media.ts';
import type { Panel } from './address.ts';
import { frozen } from './filter.ts';
import './header.css';
import { LiveSwitch } from './live/status.tsx';
import { look } from './log.ts';
import { Expiry } from './sign-in/expiry.tsx';
import { change, linkTo, view } from './view.ts';

/** Where there is no room for all of it beside each other. */
const NARROW = '(max-width: 64rem)';

const curl = (): string => {
  const { filter, live } = view.value;
  const { from: _, to: __, ...lasting } = filter;
  return live
    ? curlOf(addressOf('/audit/stream', lasting as Query), '-sSN')
    : curlOf(addressOf('/audit', filter as Query));
};

/** What is shown, for somebody else: the same interval also when it is opened later. */
const link = (): string => {
  const { filter, live } = view.value;
  return linkTo(live ? {} : { filter: frozen(filter, Date.now()) });
};

/** What this is, what can be done with what is shown, and who looks. Without a token there is nothing to be done. */
export function Header({ isOpen }: { isOpen: boolean }) {
  const isNarrow = useMedia(NARROW);
  return (
    <header class="top">
      <h1>
        <img src="./favicon.svg" alt="" width="20" height="20" />
        <span class={isNarrow ? 'unseen' : undefined}>Minutebook</span> <span class="part">Audit log</span>
      </h1>
      {isOpen && <LiveSwitch />}
      <span class="grow" />
      {isOpen && !isNarrow && <Tools />}
      {isOpen && <Export isNarrow={isNarrow} />}
      {!isNarrow && <Elsewhere />}
      {!isNarrow && <ThemeSwitch />}
      <Expiry zone={view.value.zone} onExpired={() => void look()} />
      {isNarrow && <More isOpen={isOpen} />}
    </header>
  );
}

const Export = ({ isNarrow }: { isNarrow: boolean }) => (
  <button type="button" title="Export all that match (e)" onClick={() => change({ panel: 'export' })}>
    <Icon name="download" /> <span class={isNarrow ? 'unseen' : undefined}>Export</span>
  </button>
);

const Elsewhere = () => (
  <nav aria-label="Elsewhere">
    <a href="./">Chat</a>
    <a href="./docs" target="_blank" rel="noreferrer">
      API
    </a>
  </nav>
);

/** What is rarer, beside the rest or in a menu, which is closed by what opens something else. */
function Tools({ menu }: { menu?: RefObject<HTMLDetailsElement | null> }) {
  const { zone } = view.value;
  const inMenu = menu !== undefined;
  function open(panel: Panel) {
    // First, for a dialog gives the focus back to what had it.
    if (menu !== undefined) closeMenu(menu);
    change({ panel });
  }
  return (
    <>
      <button
        type="button"
        class="quiet"
        title="Times here, or in UTC (z)"
        onClick={() => change({ zone: zone === 'utc' ? 'local' : 'utc' }, 'replace')}
      >
        <span class={inMenu ? undefined : 'unseen'}>Times in </span>
        {zone === 'utc' ? 'UTC' : timeZoneOf('local')}
      </button>
      <Copy short={inMenu ? 'Copy link' : ''} label="Copy link" icon="link" text={link} />
      <Copy short={inMenu ? 'Copy as curl' : 'curl'} label="Copy as curl" text={curl} />
      <button type="button" title="Who is connected (s)" onClick={() => open('sessions')}>
        <Icon name="users" /> Sessions
      </button>
      <button type="button" class="quiet" title="Keys (?)" onClick={() => open('help')}>
        <span aria-hidden="true">?</span>
        <span class={inMenu ? undefined : 'unseen'}>Keys</span>
      </button>
    </>
  );
}

function More({ isOpen }: { isOpen: boolean }) {
  const menu = useRef<HTMLDetailsElement>(null);
  return (
    <Menu
      menu={menu}
      class="more"
      title="More"
      summary={
        <>
          <span class="unseen">More</span>
          <Icon name="menu" />
        </>
      }
    >
      {isOpen && <Tools menu={menu} />}
      <Elsewhere />
      <ThemeSwitch />
    </Menu>
  );
}
