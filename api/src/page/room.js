// The open room: its history, what arrives, what is written.
//
// A message is known by its chatId. It comes each time its state changes (a translation arrives), with a higher `revision`; `seq` is
// its place in the room. So there is one map by chatId, in which the higher revision wins, and it is drawn in the order of seq: then
// it does not matter where a message comes from, in which order, or how often.

import { request } from './api.js';
import { state } from './state.js';
import { languageNames, reason, text } from './texts.js';
import { $, arrange, clock, day, drawAvatar, h, toast, write } from './view.js';

export async function openRoom(id) {
  const line = state.rooms.find(({ chatroomId }) => chatroomId === id);
  const room = (state.room = {
    id, name: line?.recipientName ?? '', picture: line?.recipientPicture,
    chats: new Map(), items: new Map(), page: 0, busy: false, leave() {},
  });
  $('room').hidden = false;
  $('no-room').hidden = true;
  document.body.dataset.view = 'room';
  drawHeading();
  if (!(await loadHistory(room, 0))) return state.room === room && (location.hash = '');
  // Only now, because the subscription goes on where the history ends. `reset` says that it cannot: too much was missed.
  room.leave = state.stomp.subscribe(
    `/topic/chat/${id}`,
    (chat, { reset }) => {
      if (reset) return loadHistory(room, 0);
      receive(room, [chat]);
      // Page 0 of the history counts as read; of what arrives later, the server is told.
      if (!document.hidden && chat.senderEmail !== state.me.email) state.stomp.tell(`/app/chat/${id}/read`);
    },
    () => ({ pending: 'immediate', 'last-seq': resumeAfter(room) }),
  );
  if (matchMedia('(hover: hover)').matches) $('content').focus();
}

export function closeRoom() {
  state.room?.leave();
  state.room = null;
  $('messages').replaceChildren();
  $('room').hidden = $('older').hidden = $('beginning').hidden = true;
  $('no-room').hidden = false;
  delete document.body.dataset.view;
}

export function drawHeading() {
  if (!state.room) return;
  const { id, name, picture } = state.room;
  const language = state.rooms.find(({ chatroomId }) => chatroomId === id)?.selectedLanguage;
  drawAvatar($('room-avatar'), name, picture);
  write($('room-name'), name);
  write($('room-language'), language ? text('roomLanguage', { language: languageNames[language] ?? language }) : '');
}

// ---- Reading

/** A page of history. Page 0 is the newest, and replaces all that is there. Says whether the room is there to be read. */
async function loadHistory(room, page) {
  room.busy = true;
  try {
    const { chats, hasNext, recipient } = await request('GET', `/chatRooms/${room.id}/chats?page=${page}`);
    if (state.room !== room) return false; // another room was opened meanwhile
    Object.assign(room, { page, name: recipient.recipientName, picture: recipient.recipientPicture });
    drawHeading();
    const scroller = $('scroller');
    const below = scroller.scrollHeight - scroller.scrollTop;
    if (page === 0) room.chats.clear();
    $('older').hidden = !hasNext;
    $('messages').ariaLive = 'off'; // history is not news
    receive(room, chats);
    $('messages').ariaLive = 'polite';
    $('beginning').hidden = $('messages').childElementCount > 0;
    scroller.scrollTop = page === 0 ? scroller.scrollHeight : scroller.scrollHeight - below; // what one reads stays where it is
    return true;
  } catch (error) {
    if (state.room === room) toast(reason(error));
    return false;
  } finally {
    room.busy = false;
  }
}

export function loadOlder() {
  const { room } = state;
  if (room && !room.busy && !$('older').hidden) loadHistory(room, room.page + 1);
}

const head = ({ chats }) => Math.max(0, ...[...chats.values()].map(({ seq }) => seq));

/** The number after which the server is to begin again: the last one we have, or the one before a translation that is still open. */
function resumeAfter(room) {
  const isOpen = ({ status, translations }) => [status, ...translations.map((translation) => translation.status)].includes('PENDING');
  return Math.min(head(room), ...[...room.chats.values()].filter(isOpen).map(({ seq }) => seq - 1));
}

function receive(room, chats) {
  for (const chat of chats) {
    const known = room.chats.get(chat.chatId);
    if (known?.revision >= chat.revision) continue;
    room.chats.set(chat.chatId, chat);
    if (!known && chat.senderEmail === state.me.email) settle(room, chat);
  }
  drawMessages();
}

/** One of our own comes back: its bubble becomes the message. */
function settle(room, { chatId, originalMessage, seq }) {
  const own = state.unsent.find(({ roomId, content, after }) => roomId === room.id && content === originalMessage && seq > after);
  if (!own) return;
  state.unsent = state.unsent.filter((message) => message !== own);
  if (room.items.has(own.id)) room.items.set(chatId, room.items.get(own.id));
  room.items.delete(own.id);
}

// ---- Writing

/** The server knows by this id that it has a message already. (crypto.randomUUID() exists on https and localhost only.) */
const newId = () => [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export function send() {
  const { room, stomp, me } = state;
  const content = $('content').value.trim();
  if (!content || !room) return;
  const message = { id: newId(), roomId: room.id, content, at: new Date().toISOString(), after: head(room) };
  state.unsent.push(message);
  $('content').value = '';
  drawMessages();
  $('scroller').scrollTop = $('scroller').scrollHeight;
  stomp.send(`/app/chat/${room.id}`, content, message.id).then(
    () => (message.stored = true),
    (error) => {
      if (state.me !== me) return;
      state.unsent = state.unsent.filter((other) => other !== message);
      $('content').value ||= content;
      drawMessages();
      toast(text('notSent', { reason: reason(error) }));
    },
  );
}

// ---- Drawing

export function drawMessages() {
  const { room, unsent } = state;
  if (!room) return;
  const scroller = $('scroller');
  const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
  const chats = [...room.chats.values()].sort((one, other) => one.seq - other.seq);
  const items = [...chats.map(drawChat), ...unsent.filter(({ roomId }) => roomId === room.id).map(drawUnsent)];
  items.forEach((item, index) => {
    item.dataset.day = day(item.dataset.at); // stands above the first message of each day
    item.toggleAttribute('data-first', item.dataset.day !== items[index - 1]?.dataset.day);
  });
  arrange($('messages'), items);
  if (items.length) $('beginning').hidden = true;
  if (atEnd) scroller.scrollTop = scroller.scrollHeight;
}

function drawUnsent({ id, content, at }) {
  return drawBubble(id, { mine: true, content, at, note: text('sending'), translation: { status: 'PENDING' } });
}

function drawChat(chat) {
  const mine = chat.senderEmail === state.me.email;
  const { chatId, originalMessage: content, sendAt: at } = chat;
  return drawBubble(chatId, { mine, content, at, note: clock(at), translation: translationOf(chat, mine) });
}

/** What stands under the original: for a reader the text in their own language, for the writer what the others read. */
function translationOf({ originalMessage, translatedMessage, status, translations }, mine) {
  const own = translations.find(({ language }) => language === state.me.language);
  if (own && !mine) return own.status === 'SKIPPED' ? null : own; // skipped: it was written in this language
  if (translatedMessage === originalMessage) return null;
  const shown = translations.find((translation) => translation.text && translation.text === translatedMessage);
  return { status, text: translatedMessage, language: shown?.language, engine: shown?.engine };
}

/** Made once for each message, then only rewritten. */
function drawBubble(key, { mine, content, at, note, translation }) {
  const { room, me } = state;
  const item = room.items.get(key) ?? h('li', { class: mine ? 'mine' : null, 'data-testid': 'message' },
    h('span', { class: 'unseen' }),
    h('div', { class: 'bubble' },
      h('p', { class: 'original', dir: 'auto', 'data-testid': 'original' }),
      h('p', { class: 'translation', dir: 'auto', 'data-testid': 'translation' })),
    h('small'));
  room.items.set(key, item);
  item.dataset.at = at;
  const [who, bubble, meta] = item.children;
  const [original, translated] = bubble.children;
  write(who, `${mine ? me.name : room.name}: `);
  write(original, content);
  write(meta, note);
  translated.hidden = !translation;
  if (!translation) return item;
  const { status, language, engine } = translation;
  const instead = { PENDING: text('translating'), FAILED: text('translationFailed') };
  write(translated, instead[status] ?? translation.text ?? '');
  translated.dataset.status = status;
  translated.lang = language ?? '';
  translated.title = [language, engine].filter(Boolean).join(' · ');
  return item;
}
