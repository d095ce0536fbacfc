import { render } from 'preact';
import { useState } from 'preact/hooks';
import '../shared/base.css';
import { takeToken } from '../shared/token.ts';
import { EventDrawer } from './event/drawer.tsx';
import { ExportDialog } from './export/dialog.tsx';
import { Sessions } from './sessions/sessions.tsx';
import { Expiry } from './sign-in/expiry.tsx';
import { SignIn } from './sign-in/sign-in.tsx';

takeToken();
const p = new URLSearchParams(location.hash.slice(1));
function Look() {
  const [seq, setSeq] = useState(p.has('event') ? Number(p.get('event')) : undefined);
  const [what, setWhat] = useState(p.get('what'));
  const zone = p.get('zone') === 'utc' ? 'utc' : 'local';
  return (
    <main style={{ padding: '1rem' }}>
      <div style={{ display: 'flex', justifyContent: 'flex-end' }}>
        <Expiry zone={zone} onExpired={() => {}} />
      </div>
      <button type="button" id="opener" onClick={() => setWhat('export')}>
        Export
      </button>
      {what === 'export' && (
        <ExportDialog
          filter={p.has('user_id') ? { user_id: p.getAll('user_id'), room: 'replay', from: '-24h' } : {}}
          onClose={() => setWhat(null)}
        />
      )}
      {what === 'sessions' && (
        <Sessions
          zone={zone}
          onClose={() => setWhat(null)}
          onOpen={(s) => {
            setWhat(null);
            setSeq(s);
          }}
        />
      )}
      {what === 'none' && <SignIn reason={{ is: 'none' }} onSignedIn={() => setWhat(null)} />}
      {what === 'expired' && <SignIn reason={{ is: 'expired' }} onSignedIn={() => setWhat(null)} />}
      {what === 'refused' && (
        <SignIn
          reason={{ is: 'refused', detail: 'The token’s signature is wrong.' }}
          onSignedIn={() => setWhat(null)}
        />
      )}
      {seq !== undefined && (
        <EventDrawer
          seq={seq}
          zone={zone}
          onClose={() => setSeq(undefined)}
          onFilter={(f) => {
            document.title = JSON.stringify(f);
          }}
          onOpen={setSeq}
          onStep={(by) => setSeq(seq - by)}
          hasAbove
          hasBelow={seq > 0}
          linkTo={(s) => `${location.origin}/console#event=${s}`}
        />
      )}
    </main>
  );
}
const page = document.getElementById('page');
if (page !== null) render(<Look />, page);
