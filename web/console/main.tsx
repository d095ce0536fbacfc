import { render } from 'preact';
import '../common/base.css';
import { followTheme } from '../common/theme.ts';
import { takeToken } from '../common/token.ts';
import './console.css';
import { Console } from './console.tsx';
import { followView } from './follow-view.ts';
import { followAddress } from './view.ts';

followTheme();
takeToken();
followAddress();
followView();

const page = document.getElementById('page');
if (page !== null) render(<Console />, page);
