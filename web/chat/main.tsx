import { render } from 'preact';
import '../shared/base.css';
import './page.css';
import './rooms.css';
import './log.css';
import './forms.css';
import { followTheme } from '../shared/theme.ts';
import { takeToken } from '../shared/token.ts';
import { Page } from './page.tsx';
import { resume, watchBrowser } from './session.ts';

followTheme();
takeToken();
watchBrowser();
resume();

const page = document.getElementById('page');
if (page !== null) render(<Page />, page);
