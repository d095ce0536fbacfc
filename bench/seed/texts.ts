import type { needles } from './cast.ts';
import type { Random } from './random.ts';

/** How a language is written: its words, and what stands between them. */
type Language = { words: readonly string[]; between: string };

const language = (words: string, between = ' '): Language => ({ words: words.split(' '), between });

const english = language(
  'the a and to of is it that was for on are with they be at one have this from or had by but some what there we ' +
    'can out other were all your when up use word how said each she which their time will way about many then them ' +
    'would write like so these her long make thing see him two has look more day could go come did my no most who ' +
    'over know than call first people may down side been now find meeting release deploy rollback review invoice ' +
    'contract shipment Thursday weekend coffee lunch thanks sorry please quickly maybe tomorrow morning',
);
const german = language(
  'der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat ' +
    'dass sie nach wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis ' +
    'mehr durch man schön Grüße Straße Übergabe Prüfung Besprechung morgen heute Mittwoch Lösung Änderung',
);
const spanish = language(
  'de la que el en y a los se del las un por con no una su para es al lo como más pero sus le ya o este sí porque ' +
    'esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante mañana señor año ' +
    'reunión envío gracias perdón rápido',
);
const russian = language(
  'и в не на я быть он с что а по это она этот к но они мы весь который из у то за свой от со для так какой когда ' +
    'уже вот кто да год мой до завтра спасибо пожалуйста встреча договор поставка срочно хорошо привет вопрос ответ',
);
const greek = language(
  'και το να του η της με που την από για είναι οι ο στο θα τα τους δεν στην μας σας αύριο ευχαριστώ καλημέρα ' +
    'λόγος φίλος σύμβαση ερώτηση',
);
const turkish = language(
  'bir ve bu için ile çok ne daha gibi kadar sonra ben sen biz toplantı sözleşme yarın sabah teşekkürler ' +
    'lütfen İstanbul ışık çalışıyor gönderdim',
);
const chinese = language(
  '我们 今天 明天 会议 合同 发货 请 谢谢 对不起 可以 没有 问题 回复 已经 收到 大家 早上 好 什么 时候 开始 结束 系统 ' +
    '更新 服务器 重启 数据 客户 价格 确认 文件 附件',
  '',
);
const japanese = language(
  'お疲れ様です 今日 明日 会議 資料 確認 お願いします ありがとう すみません 了解しました 契約 出荷 サーバー 再起動 問題 ' +
    '大丈夫 ですか 何時 から まで',
  '',
);
const thai = language(
  'สวัสดี ขอบคุณ ครับ ค่ะ วันนี้ พรุ่งนี้ ประชุม สัญญา ส่งของ เอกสาร ตรวจสอบ ลูกค้า ราคา ไม่มี ปัญหา เริ่ม กี่โมง ได้ไหม ' +
    'รอสักครู่ เรียบร้อย',
  '',
);
const arabic = language(
  'في من على إلى أن هذا التي كان مع عن غدا اليوم شكرا من فضلك اجتماع عقد شحنة سؤال جواب حسنا صباح الخير',
);

/** By how often they are spoken here: a user’s is the one at their number, counted round. */
const languages: readonly Language[] = [
  ...[english, german, english, chinese, english, spanish, english, russian, thai, english],
  ...[japanese, english, greek, english, arabic, turkish, english, german, english, chinese],
];
const emoji = ['👍', '😂', '🎉', '🙏', '👩‍💻', '❤️', '🇹🇭', '🤷🏽‍♀️'];

/** So many pieces of a sentence in each language. */
const PHRASES = 2_000;
/** Of a pasted text. */
const PASTE_LINES = 40;

function phrase({ words, between }: Language, random: Random): string {
  const count = 2 + random.below(6);
  let text = random.pick(words);
  for (let n = 1; n < count; n += 1) text += between + random.pick(words);
  return text;
}

/** Makes what people say: mostly a line, sometimes a word, now and then a page that somebody pastes. */
export class Texts {
  readonly #random: Random;
  readonly #phrases: ReadonlyMap<Language, readonly string[]>;

  constructor(random: Random) {
    this.#random = random;
    this.#phrases = new Map(
      [...new Set(languages)].map((one) => [one, Array.from({ length: PHRASES }, () => phrase(one, random))]),
    );
  }

  /** What a user says, in their language. */
  say(user: number): string {
    const random = this.#random;
    const phrases = this.#phrases.get(languages[user % languages.length] ?? english) ?? [];
    let text = random.pick(phrases);
    if (random.chance(0.001)) {
      for (let line = random.below(PASTE_LINES); line > 0; line -= 1) text += `\n\t${random.pick(phrases)}`;
      return text;
    }
    while (random.chance(0.45)) text += ` ${random.pick(phrases)}`;
    // Numbers of tickets, prices and times: what makes a message one of its kind.
    if (random.chance(0.2)) text += ` #${random.below(1_000_000)}`;
    if (random.chance(0.05)) text += ` ${random.pick(emoji)}`;
    return text;
  }

  /** The same, with a word that is hardly ever said. */
  sayWith(user: number, word: typeof needles.rare | typeof needles.single): string {
    return `${this.say(user)} ${word}`;
  }
}
