// Everything that the page says, in one table: to add a language, add a column. `{name}` stands for a value.

export const texts = {
  en: {
    thisLanguage: 'English',
    tagline: 'Everyone writes in their own language. Everyone reads in their own.',
    signIn: 'Sign in',
    signInFailed: 'The sign-in did not work. Please try again.',
    signedOut: 'You have been signed out.',
    logOut: 'Log out',
    forDevelopers: 'For developers: the API',
    pageLanguage: 'Language of this page',
    connecting: 'Connecting…',
    connected: 'Connected',
    waiting: 'Reconnecting',
    countdown: 'in {seconds} s',
    retryNow: 'Now',
    rooms: 'Conversations',
    noRooms: 'No conversations yet. Start the first one.',
    moreRooms: 'More conversations',
    newRoom: 'New conversation',
    unread: '{count} unread',
    noMessagesYet: 'No messages yet',
    pickRoom: 'Pick a conversation, or start a new one.',
    back: 'Back to the conversations',
    roomLanguage: 'Translated into {language}',
    messages: 'Messages',
    olderMessages: 'Earlier messages',
    beginning: 'This is the beginning. Say hello.',
    today: 'Today',
    yesterday: 'Yesterday',
    compose: 'Message',
    composeHint: 'Write in any language…',
    send: 'Send',
    sending: 'Sending…',
    translating: 'Translating…',
    translationFailed: 'No translation for this one',
    recipient: 'With whom? Their e-mail address',
    language: 'Translate into',
    open: 'Open',
    cancel: 'Cancel',
    offline: 'The server cannot be reached. Please try again.',
    notSent: 'This message was not accepted: {reason}',
  },
  ko: {
    thisLanguage: '한국어',
    tagline: '각자 자기 언어로 쓰고, 각자 자기 언어로 읽습니다.',
    signIn: '로그인',
    signInFailed: '로그인하지 못했습니다. 다시 시도해 주세요.',
    signedOut: '로그아웃되었습니다.',
    logOut: '로그아웃',
    forDevelopers: '개발자를 위한 API 문서',
    pageLanguage: '화면 언어',
    connecting: '연결하는 중…',
    connected: '연결됨',
    waiting: '다시 연결',
    countdown: '{seconds}초 뒤',
    retryNow: '지금',
    rooms: '대화',
    noRooms: '아직 대화가 없습니다. 첫 대화를 시작해 보세요.',
    moreRooms: '대화 더 보기',
    newRoom: '새 대화',
    unread: '읽지 않은 메시지 {count}개',
    noMessagesYet: '아직 메시지가 없습니다',
    pickRoom: '대화를 고르거나 새로 시작하세요.',
    back: '대화 목록으로',
    roomLanguage: '{language}(으)로 번역',
    messages: '메시지',
    olderMessages: '이전 메시지',
    beginning: '대화의 시작입니다. 인사를 건네 보세요.',
    today: '오늘',
    yesterday: '어제',
    compose: '메시지',
    composeHint: '아무 언어로나 쓰세요…',
    send: '보내기',
    sending: '보내는 중…',
    translating: '번역하는 중…',
    translationFailed: '번역하지 못했습니다',
    recipient: '상대방의 이메일 주소',
    language: '번역할 언어',
    open: '열기',
    cancel: '취소',
    offline: '서버에 연결할 수 없습니다. 다시 시도해 주세요.',
    notSent: '메시지를 보내지 못했습니다: {reason}',
    // Errors, by their errorCode. English needs none: the server's own messages are in English.
    RECIPIENT_NOT_FOUND: '이 이메일 주소를 쓰는 사람이 없습니다',
    ROOM_WITH_ONESELF: '자기 자신과는 대화할 수 없습니다',
    ROOM_NOT_FOUND: '그런 대화가 없습니다',
    NOT_A_MEMBER: '참여하지 않은 대화입니다',
    MESSAGE_TOO_LONG: '메시지가 너무 깁니다',
    UNAVAILABLE: '서버가 지금 응답할 수 없습니다. 다시 시도해 주세요',
  },
};

// Each language by the name that its speakers give it.
export const languageNames = { 'en-us': 'English', ko: '한국어', es: 'Español', ja: '日本語', zh: '中文' };

const wanted = localStorage.getItem('pageLanguage') ?? navigator.language.slice(0, 2);
export let pageLanguage = wanted in texts ? wanted : 'en';

/** The text of this key, with its values in place; `fallback` where the table has none. */
export function text(key, values = {}, fallback = key) {
  const found = texts[pageLanguage][key] ?? texts.en[key] ?? fallback;
  return found.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

/** Why something did not work: in the page's language where the table has it, else in the server's words. */
export function reason({ status, code, message }) {
  return status === 0 ? text('offline') : text(code, {}, message);
}

/** Fills in what index.html leaves open: data-text, and the attributes data-label (aria-label) and data-hint (placeholder). */
export function fillIn(language = pageLanguage) {
  pageLanguage = language;
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll('[data-text]')) element.textContent = text(element.dataset.text);
  for (const element of document.querySelectorAll('[data-label]')) element.ariaLabel = text(element.dataset.label);
  for (const element of document.querySelectorAll('[data-hint]')) element.placeholder = text(element.dataset.hint);
}
