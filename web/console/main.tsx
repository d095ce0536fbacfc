import { render } from 'preact';
import '../shared/base.css';
import { identity, takeToken } from '../shared/token.ts';

takeToken();

const page = document.getElementById('page');
if (page !== null) render(<p>{identity.value?.userId ?? 'nobody'}</p>, page);
