// The page: who is signed in, the connection, the list of rooms. The open room is in room.js.
//
// How the protocol is used, in short:
//   1. GET /me, GET /chatRooms                          who I am, and the newest of my rooms
//   2. CONNECT, SUBSCRIBE /topic/users/{me}/chatRoom    a line of the list, each time it changes
//   3. GET /chatRooms/{id}/chats                        a room's history, newest first
//   4. SUBSCRIBE /topic/chat/{id} with last-seq:N       what came after it, without a gap; again after each reconnect
//   5. SEND /app/chat/{id}                              RECEIPT: stored. Then MESSAGE, and MESSAGE again for its translations
//
// HTTP and tokens are in api.js, STOMP in stomp.js, words in texts.js, drawing in view.js.

import { claims, finishSignIn, freshToken, logOut, request, session, signIn, storedToken, tokenRefused } from './api.js';
import { closeRoom, drawHeading, drawMessages, loadOlder, openRoom, send } from './room.js';
import { state } from './state.js';
import { StompClient } from './stomp.js';
import { fillIn, languageNames, pageLanguage, reason, text, texts } from './texts.js';
import { $, clock, day, drawAvatar, h, toast, write } from './view.js';

// Who can sign in without a password on a development server, and what they read.
const DEV_USERS = { alice: 'en-us', bob: 'ko', carla: 'es', daiki: 'ja', mei: 'zh' };
const TOKEN_ERRORS = ['UNAUTHORIZED', 'TOKEN_EXPIRED'];

// ---- Signing in and out

async function start() {
  const params = new URLSearchParams(location.search);
  if (params.has('code') || params.has('error')) {
    history.replaceState(null, '', '/'); // a code is good once: a reload must not bring it again
    await finishSignIn(params.get('code') ?? '', params.get('state') ?? '').catch(() => toast(text('signInFailed')));
  }
  if (!storedToken()) return showSignedIn(null);
  try {
    showSignedIn(await request('GET', '/me'));
  } catch (error) {
    if (!storedToken()) return showSignedIn(null); // the session has ended
    toast(reason(error));
    return setTimeout(start, 3000);
  }
  state.stomp = new StompClient({
    url: `${location.origin.replace('http', 'ws')}/ws-connect`,
    login: async () => ({ Authorization: await freshToken() }),
    onState: (name, seconds) => {
      showConnection(name, seconds);
      if (name === 'connected') loadRooms(0); // each time: what changed meanwhile is in it
    },
    // Not about a message of ours, so about CONNECT or SUBSCRIBE. The connection ends, and comes back with a new token if need be.
    onError: (error) => (TOKEN_ERRORS.includes(error.code) ? tokenRefused() : toast(reason(error))),
  });
  state.stomp.subscribe(`/topic/users/${state.me.id}/chatRoom`, (line) => updateRooms([line], state.rooms));
  state.stomp.start();
  route();
}

/** Ends everything here. Whoever signs in next begins afresh. */
function leave(message) {
  state.stomp?.stop();
  closeRoom();
  Object.assign(state, { stomp: null, rooms: [], unsent: [] });
  history.replaceState(null, '', '/');
  document.title = 'TransTalk';
  showSignedIn(null);
  if (message) toast(message);
}

session.onEnd = () => state.me && leave(text('signedOut'));

// Another tab shares the token. It signed out, or signed in as somebody else: so do we.
addEventListener('storage', ({ key, newValue }) => {
  if (key !== 'accessToken' || !state.me) return;
  if (!newValue) leave(text('signedOut'));
  else if (String(claims(newValue).sub) !== String(state.me.id)) location.reload();
});

function showSignedIn(me) {
  state.me = me;
  $('welcome').hidden = me !== null;
  for (const id of ['chat', 'connection', 'log-out']) $(id).hidden = me === null;
  $('me').textContent = me?.name ?? '';
}

// ---- The connection

let connection = ['connecting'];

function showConnection(name, seconds) {
  connection = [name, seconds];
  $('connection').dataset.state = name;
  write($('connection-state'), name === 'stopped' ? '' : text(name));
  write($('countdown'), name === 'waiting' ? text('countdown', { seconds }) : '');
  $('retry').hidden = name !== 'waiting';
}

addEventListener('online', () => state.stomp?.retryNow());
// What has no RECEIPT yet lives in this page only.
addEventListener('beforeunload', (event) => state.unsent.some(({ stored }) => !stored) && event.preventDefault());

// ---- The list of rooms

let roomsPage = 0;

async function loadRooms(page) {
  try {
    const list = await request('GET', `/chatRooms?page=${page}&name=`);
    roomsPage = page;
    page === 0 ? updateRooms(list.rooms, state.rooms) : updateRooms(state.rooms, list.rooms);
    $('more-rooms').hidden = !list.hasNext;
    $('no-rooms').hidden = state.rooms.length > 0;
  } catch (error) {
    if (state.me) toast(reason(error));
  }
}

/** `first`, then what else is in `then`. Of two lines of one room the one with the higher seq is newer: an answer may be overtaken. */
function updateRooms(first, then) {
  const newest = new Map();
  for (const line of [...then, ...first]) {
    if (!(newest.get(line.chatroomId)?.seq > line.seq)) newest.set(line.chatroomId, line);
  }
  state.rooms = [...new Set([...first, ...then].map((line) => line.chatroomId))].map((id) => newest.get(id));
  drawRooms();
}

function drawRooms() {
  const open = state.rooms.find(({ chatroomId }) => chatroomId === state.room?.id);
  if (open) open.unreadMessageCount = 0; // what is on the screen is no news
  $('rooms').replaceChildren(...state.rooms.map(drawLine));
  $('no-rooms').hidden ||= state.rooms.length > 0;
  const unread = state.rooms.reduce((sum, line) => sum + line.unreadMessageCount, 0);
  document.title = unread ? `(${unread}) TransTalk` : 'TransTalk';
}

function drawLine(line) {
  const { chatroomId, recipientName, recipientPicture, recentMessageTime: at, unreadMessageCount: count } = line;
  const lately = at && (day(at) === text('today') ? clock(at) : day(at));
  return h('li', {},
    h('a', { href: `#room/${chatroomId}`, 'aria-current': chatroomId === state.room?.id ? 'true' : null, 'data-testid': 'room-line' },
      drawAvatar(h('span', { class: 'avatar', 'aria-hidden': 'true' }), recipientName, recipientPicture),
      h('span', { class: 'who' }, recipientName, ' ', h('small', { class: 'tag' }, line.selectedLanguage)),
      h('time', { datetime: at }, lately ?? ''),
      h('span', { class: 'last', dir: 'auto' }, line.originalRecentMessage || text('noMessagesYet')),
      count > 0 ? h('span', { class: 'badge', 'aria-label': text('unread', { count }), 'data-testid': 'unread' }, `${count}`) : null));
}

/** The open room's address is #room/ID, so that reload and the back button do what they should. */
function route() {
  const id = Number(/^#room\/(\d+)$/.exec(location.hash)?.[1]);
  if (!state.me || id === state.room?.id) return;
  closeRoom();
  if (id) openRoom(id);
  drawRooms();
}

// ---- A new conversation

function askWithWhom() {
  const [self, domain] = state.me.email.split('@');
  const others = domain === 'example.com' ? Object.keys(DEV_USERS).filter((name) => name !== self) : [];
  $('suggestions').replaceChildren(...others.map((name) => {
    const button = h('button', { type: 'button', class: 'chip' }, name);
    button.onclick = () => ([$('recipient').value, $('language').value] = [`${name}@${domain}`, DEV_USERS[name]]);
    return button;
  }));
  $('dialog-error').textContent = '';
  $('dialog').showModal();
}

async function startRoom() {
  try {
    const { chatRoomId } = await request('POST', '/chatRooms', { language: $('language').value, recipientEmail: $('recipient').value });
    await loadRooms(0);
    $('dialog').close();
    $('dialog-form').reset();
    location.hash = `#room/${chatRoomId}`;
  } catch (error) {
    $('dialog-error').textContent = reason(error);
  }
}

// ---- What is pressed

$('sign-in').onclick = () => signIn().catch((error) => toast(reason(error)));
$('log-out').onclick = () => logOut().then(() => leave(), (error) => toast(reason(error)));
$('retry').onclick = () => state.stomp.retryNow();
$('more-rooms').onclick = () => loadRooms(roomsPage + 1);
$('older').onclick = loadOlder;
$('scroller').onscroll = () => $('scroller').scrollTop < 40 && loadOlder();
$('new-room').onclick = askWithWhom;
$('dialog-cancel').onclick = () => $('dialog').close();
$('dialog-form').onsubmit = (event) => {
  event.preventDefault();
  startRoom();
};
$('composer').onsubmit = (event) => {
  event.preventDefault();
  send();
};
$('content').onkeydown = (event) => {
  // While a Korean or Japanese syllable is being composed, Enter belongs to the input method.
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  send();
};
$('page-language').onchange = ({ target }) => {
  localStorage.setItem('pageLanguage', target.value);
  fillIn(target.value);
  if (!state.me) return;
  showConnection(...connection);
  drawRooms();
  drawHeading();
  drawMessages();
};
addEventListener('hashchange', route);

$('page-language').append(...Object.keys(texts).map((tag) => new Option(texts[tag].thisLanguage, tag)));
$('page-language').value = pageLanguage;
$('language').append(...Object.entries(languageNames).map(([tag, name]) => new Option(name, tag)));
fillIn();
start();
