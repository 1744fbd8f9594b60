// Small things that app.js draws with. Nothing here knows the protocol.
// What people write reaches the page as text nodes only, never as markup.

import { pageLanguage, text } from './texts.js';

export const $ = (id) => document.getElementById(id);

/** An element. Attributes that are null are left out; children may be strings. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child != null));
  return element;
}

/** Writes only what has changed: a screen reader announces every write. */
export function write(element, content) {
  if (element.textContent !== content) element.textContent = content;
}

/** Makes `items` the children of `list` and moves only those that are out of place. */
export function arrange(list, items) {
  items.forEach((item, index) => list.children[index] !== item && list.insertBefore(item, list.children[index] ?? null));
  while (list.children.length > items.length) list.lastElementChild.remove();
}

/** A picture, or the first letter on a colour that belongs to the name. */
export function drawAvatar(element, name, picture) {
  const hue = [...name].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 360, 7);
  element.style.setProperty('--hue', hue);
  element.replaceChildren(picture
    ? h('img', { src: picture, alt: '', referrerpolicy: 'no-referrer' })
    : ([...name][0] ?? '?').toUpperCase());
  return element;
}

export function clock(time) {
  return new Intl.DateTimeFormat(pageLanguage, { hour: 'numeric', minute: '2-digit' }).format(new Date(time));
}

export function day(time) {
  const [date, today] = [new Date(time), new Date()];
  const days = Math.round((today.setHours(0, 0, 0, 0) - new Date(date).setHours(0, 0, 0, 0)) / 86_400_000);
  if (days < 2) return text(days < 1 ? 'today' : 'yesterday');
  return new Intl.DateTimeFormat(pageLanguage, { month: 'long', day: 'numeric' }).format(date);
}

let toastTimer;
/** Says something in passing. */
export function toast(message) {
  clearTimeout(toastTimer);
  $('toast').textContent = message;
  toastTimer = setTimeout(() => ($('toast').textContent = ''), 6000);
}
