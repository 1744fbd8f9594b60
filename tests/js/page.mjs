// The page in a real browser: two people in two windows, one server.
//
//   node page.mjs BASE_URL OUT_DIR [phrases|apertium] [--restart]
//
// The server is a fresh one: its rooms are empty. `phrases` wants the default translators, `apertium` wants Apertium first.
// Prints a line `ok ...` for each thing that holds, and leaves with 1 at the first that does not. OUT_DIR gets the pictures.
// With --restart it prints `please stop`, later `please start`, and then waits for a line `started` on its standard input.
// Nothing here sleeps: every wait is for a condition, and has a limit.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const [base, out, mode = 'phrases'] = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const restart = process.argv.includes('--restart');
if (!base || !out || !['phrases', 'apertium'].includes(mode)) {
  console.error('usage: node page.mjs BASE_URL OUT_DIR [phrases|apertium] [--restart]');
  process.exit(2);
}

const WAIT_MS = 15_000;
const server = new URL(base);
const complaints = []; // whatever no page may do: errors on the console, exceptions, requests to the outside
let tolerant = false; // while the server is away or refuses a token on purpose, the browser itself complains about it
const pages = [];

setTimeout(() => fail(new Error('the whole test took too long')), 150_000).unref();
const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});

try {
  await mkdir(out, { recursive: true });
  await (mode === 'apertium' ? apertium() : phrases());
  assert.deepEqual(complaints, []);
  console.log('ok no error on the console, no exception, no request to the outside');
  await browser.close();
  process.exit(0);
} catch (error) {
  await fail(error);
}

async function phrases() {
  const alice = await someone('alice', { locale: 'en-US', viewport: { width: 1280, height: 980 } });
  const bob = await someone('bob', { locale: 'ko-KR', viewport: { width: 390, height: 844 }, deviceScaleFactor: 2 });
  assert.equal(await bob.getByTestId('send').getAttribute('aria-label'), '보내기');
  console.log('ok two people sign in, each with the page in their own language');

  await openRoom(alice, 'carla@example.com', 'es');
  await write(alice, 'Good morning');
  await message(alice, { original: 'Good morning', status: 'COMPLETED' });
  await openRoom(alice, 'daiki@example.com', 'ja');
  await write(alice, 'See you tomorrow');
  await message(alice, { original: 'See you tomorrow', status: 'COMPLETED' });
  await openRoom(alice, 'bob@example.com', 'ko');
  const roomAddress = alice.url();
  await bob.getByTestId('room-line').waitFor();
  console.log('ok a new room is in the other list at once');

  await write(alice, 'Hello');
  await bob.getByTestId('unread').getByText('1', { exact: true }).waitFor();
  assert.match(await bob.title(), /^\(1\)/);
  await bob.getByTestId('room-line').click();
  await message(bob, { original: 'Hello', translation: /안녕/ });
  await message(alice, { original: 'Hello', translation: /안녕/ });
  assert.match(await bob.title(), /^TransTalk/);
  console.log('ok English arrives in Korean, and the unread badge goes when the room is opened');

  await write(bob, '안녕하세요');
  await message(alice, { original: '안녕하세요', translation: /hello/i });
  await message(bob, { original: '안녕하세요', status: 'COMPLETED' });
  console.log('ok Korean arrives in English');

  for (const [from, original, translation] of [
    [alice, 'Are you free tomorrow?', /[가-힣]/],
    [bob, '시간 있어요', /free/i],
    [alice, "Let's have lunch together!", /[가-힣]/],
    [bob, '좋아요', /ok/i],
    [alice, 'See you tomorrow', /[가-힣]/],
  ]) {
    await write(from, original);
    for (const page of [alice, bob]) await message(page, { original, translation });
  }

  for (const page of [alice, bob]) {
    await fits(page);
    const shift = await page.evaluate(() => window.layoutShift);
    assert.ok(shift < 0.01, `the layout moved: ${shift}`);
  }
  await picture(alice, 'chat-1280');
  await picture(bob, 'chat-390');
  await alice.emulateMedia({ colorScheme: 'dark' });
  await picture(alice, 'chat-1280-dark');
  await alice.emulateMedia({ colorScheme: 'light' });
  console.log('ok pictures at 390 and 1280 px, nothing overflows, nothing jumps');

  const before = await originals(bob);
  assert.deepEqual([before.length, before[0], before.at(-1)], [7, 'Hello', 'See you tomorrow']);
  await bob.reload();
  await message(bob, { original: 'See you tomorrow' });
  assert.deepEqual(await originals(bob), before);
  console.log('ok a reload comes back to the same room with the same history');

  await bob.getByTestId('back').click();
  await bob.getByTestId('room-line').waitFor();
  await bob.getByTestId('room').waitFor({ state: 'hidden' });
  await bob.goBack();
  await message(bob, { original: 'Hello' });
  console.log('ok at 390 px it is the list or the room, and the back button leads between them');

  await alice.getByTestId('content').fill('one');
  await alice.getByTestId('content').press('Shift+Enter');
  await alice.getByTestId('content').pressSequentially('two');
  await alice.getByTestId('content').press('Enter');
  await message(bob, { original: 'one\ntwo' });
  console.log('ok Enter sends, Shift+Enter is a new line');

  const markup = '<img src=x onerror=alert(1)>';
  await write(alice, markup);
  await message(bob, { original: markup });
  for (const page of [alice, bob]) assert.equal(await page.getByTestId('messages').locator('img').count(), 0);
  console.log('ok markup is text');

  await quietly(async () => {
    await fillDialog(alice, 'nobody@example.com', 'ko');
    await alice.getByTestId('dialog-error').getByText(/./).waitFor();
    await alice.keyboard.press('Escape');
  });
  console.log('ok an unknown address is told in the dialog');

  await renewal(alice);
  await olderPages(alice, roomAddress);
  if (restart) await reconnect(alice, bob, roomAddress);

  const secondTab = await watch(await alice.context().newPage());
  await secondTab.goto(base);
  await connected(secondTab);
  await alice.getByTestId('log-out').click();
  for (const page of [alice, secondTab]) await page.getByTestId('sign-in').waitFor();
  assert.equal(await alice.evaluate(() => localStorage.getItem('accessToken')), null);
  await alice.reload();
  await alice.getByTestId('sign-in').waitFor();
  console.log('ok logging out signs out every tab');
}

async function apertium() {
  const alice = await someone('alice', { locale: 'en-US', viewport: { width: 1280, height: 800 } });
  const carla = await someone('carla', { locale: 'en-US', viewport: { width: 1280, height: 800 } });
  await openRoom(alice, 'carla@example.com', 'es');
  await write(alice, 'The red house is big.');
  await carla.getByTestId('room-line').first().click();
  await message(carla, { original: 'The red house is big.', translation: /^La casa roja es grande\.$/ });
  await message(alice, { original: 'The red house is big.', translation: /^La casa roja es grande\.$/ });
  await picture(carla, 'chat-apertium');
  console.log('ok "The red house is big." arrives as "La casa roja es grande."');
}

/** A refused access token is renewed by the cookie, once, and nobody notices. */
async function renewal(page) {
  await quietly(async () => {
    const refreshes = [];
    const count = (request) => request.url().includes('/auth/refresh') && refreshes.push(request.url());
    page.on('request', count);
    await page.evaluate(() => localStorage.setItem('accessToken', 'Bearer not.a.token'));
    await page.reload();
    await connected(page);
    page.off('request', count);
    assert.equal(refreshes.length, 1);
    assert.notEqual(await page.evaluate(() => localStorage.getItem('accessToken')), 'Bearer not.a.token');
  });
  console.log('ok a refused access token is renewed, once');
}

/** More than a page of messages: the newest first, the rest on the way up. */
async function olderPages(page, back) {
  await openRoom(page, 'mei@example.com', 'zh');
  for (let number = 1; number <= 45; number++) await write(page, `line ${number}`);
  await page.waitForFunction(() => document.querySelectorAll('[data-status="COMPLETED"]').length >= 45);
  await page.reload();
  await message(page, { original: 'line 45' });
  assert.equal((await originals(page)).length, 40);
  await page.getByTestId('older').click();
  await message(page, { original: 'line 1' });
  assert.deepEqual(await originals(page), Array.from({ length: 45 }, (_, index) => `line ${index + 1}`));
  await page.goto(back);
  console.log('ok older pages are fetched on the way up, in order, each message once');
}

/** What is written while the server is away arrives when it is back, once. */
async function reconnect(alice, bob, roomAddress) {
  await alice.goto(roomAddress);
  await message(alice, { original: 'Hello' });
  await connected(alice);
  await quietly(async () => {
    await alice.getByTestId('content').fill('Nice to meet you');
    const away = [alice, bob].map((page) => page.locator('[data-testid=connection]:not([data-state=connected])').waitFor());
    console.log('please stop');
    await Promise.all(away);
    await alice.getByTestId('content').press('Enter');
    await message(alice, { original: 'Nice to meet you', status: 'PENDING' });
    await fits(bob);
    console.log('please start');
    await line('started');
    await Promise.all([connected(alice), connected(bob)]);
    await message(bob, { original: 'Nice to meet you', translation: /[가-힣]/ });
    await message(alice, { original: 'Nice to meet you', translation: /[가-힣]/ });
  });
  for (const page of [alice, bob]) {
    assert.equal((await originals(page)).filter((text) => text === 'Nice to meet you').length, 1);
  }
  console.log('ok after a restart both are back by themselves, and what was written meanwhile arrives once');
}

// ---- Hands and eyes

/** Signs in by hand: the page, the development provider's page, the page. */
async function someone(name, options) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(WAIT_MS);
  const page = await watch(await context.newPage());
  await page.goto(base);
  await page.getByTestId('sign-in').click();
  await page.locator('a, button').filter({ hasText: new RegExp(`^\\s*${name}`, 'i') }).first().click();
  await connected(page);
  assert.equal(new URL(page.url()).search, '', 'the code stays in the address');
  return page;
}

/** Notes what no page may do. */
async function watch(page) {
  const complain = (what) => tolerant || complaints.push(what);
  page.on('console', (entry) => ['error', 'warning'].includes(entry.type()) && complain(`console: ${entry.text()}`));
  page.on('pageerror', (error) => complaints.push(`exception: ${error.stack}`));
  page.on('dialog', (dialog) => complaints.push(`dialog: ${dialog.message()}`) && dialog.dismiss());
  page.on('request', (request) => own(request.url()) || complaints.push(`request to the outside: ${request.url()}`));
  page.on('websocket', (socket) => own(socket.url()) || complaints.push(`socket to the outside: ${socket.url()}`));
  await page.addInitScript(() => {
    window.layoutShift = 0;
    new PerformanceObserver((list) => {
      // Messages move up for the next one, and a room to the top of the list. Nothing else moves.
      const moved = ({ sources }) => sources.some(({ node }) => node?.isConnected && !node.parentElement?.closest('#scroller, #rooms'));
      for (const entry of list.getEntries()) if (!entry.hadRecentInput && moved(entry)) window.layoutShift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
  });
  pages.push(page);
  return page;
}

function own(url) {
  return ['data:', 'blob:'].includes(new URL(url).protocol) || new URL(url).host === server.host;
}

function connected(page) {
  return page.locator('[data-testid=connection][data-state=connected]').waitFor({ timeout: 2 * WAIT_MS });
}

async function openRoom(page, email, language) {
  await fillDialog(page, email, language);
  const name = email.split('@')[0];
  await page.getByTestId('room-name').getByText(new RegExp(`^${name}`, 'i')).waitFor();
}

async function fillDialog(page, email, language) {
  await page.getByTestId('new-room').click();
  await page.getByTestId('recipient').fill(email);
  await page.getByTestId('language').selectOption(language);
  await page.getByTestId('open').click();
}

async function write(page, text) {
  await page.getByTestId('content').fill(text);
  await page.getByTestId('content').press('Enter');
}

/** Waits for a message with this original, and with this translation and state if they are given. */
async function message(page, { original, translation, status }) {
  const wanted = page.getByTestId('message').filter({ has: page.locator('[data-testid=original]').getByText(original, { exact: true }) });
  await wanted.first().waitFor();
  if (translation) await wanted.locator('[data-status=COMPLETED]').getByText(translation).first().waitFor();
  if (status) await wanted.locator(`[data-status=${status}]`).first().waitFor();
}

function originals(page) {
  return page.getByTestId('original').allTextContents();
}

async function fits(page) {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} px too wide`);
}

function picture(page, name) {
  return page.screenshot({ path: `${out}/${name}.png` });
}

/** Errors on the console are expected in here. */
async function quietly(work) {
  tolerant = true;
  try {
    await work();
  } finally {
    tolerant = false;
  }
}

async function line(expected) {
  for await (const text of createInterface({ input: process.stdin })) if (text.trim() === expected) return;
  throw new Error(`standard input ended without "${expected}"`);
}

async function fail(error) {
  console.error(`not ok ${error.stack}`);
  if (complaints.length) console.error(complaints.join('\n'));
  await Promise.allSettled(pages.map((page, index) => page.screenshot({ path: `${out}/failure-${index}.png`, timeout: 3000 })));
  process.exit(1);
}
