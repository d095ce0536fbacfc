import { render } from 'preact';
import '../common/base.css';
import './page.css';
import './rooms.css';
import './log.css';
import './forms.css';
import { followTheme } from '../common/theme.ts';
import { takeToken } from '../common/token.ts';
import { Page } from './page.tsx';
import { resume, watchBrowser } from './session.ts';

followTheme();
takeToken();
watchBrowser();
resume();

const page = document.getElementById('page');
if (page !== null) render(<Page />, page);
