// The STOMP library of the first web client, @stomp/stompjs 7 from npm, over a running server.
//
//   node stompjs.mjs BASE_URL
//
// Prints a line `ok ...` for each thing that holds, and leaves with 1 at the first that does not. The server runs with its defaults
// and may have seen this test before. Nothing here sleeps: every wait is for an event, and has a limit.

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { Client } from '@stomp/stompjs';
import WebSocket from 'ws';

const [base] = process.argv.slice(2);
if (!base) {
  console.error('usage: node stompjs.mjs BASE_URL');
  process.exit(2);
}

const WAIT_MS = 15_000; // a refused CONNECT, and the second refused frame within a minute, are answered after 3 s
const API = new URL('/api/v1', base).href;
const SOCKET = new URL('/ws-connect', base).href.replace(/^http/, 'ws');
const clients = [];

setTimeout(() => fail(new Error('the whole test took too long')), 120_000).unref();

try {
  await main();
  await Promise.all(clients.map((client) => client.deactivate({ force: true })));
  process.exit(0);
} catch (error) {
  fail(error);
}

async function main() {
  const [alice, bob, carla] = [await signIn('alice'), await signIn('bob'), await signIn('carla')];
  console.log('ok alice, bob and carla sign in with login_hint');

  const { chatRoomId: room } = await call(alice, 'POST', '/chatRooms', { language: 'ko', recipientEmail: bob.email });
  assert.equal((await call(bob, 'POST', '/chatRooms', { language: 'ko', recipientEmail: alice.email })).chatRoomId, room);
  const [topic, app] = [`/topic/chat/${room}`, `/app/chat/${room}`];
  const start = (await history(alice, room))[0]?.seq ?? 0;
  console.log('ok the same pair and language is the same room');

  // As the first client does: the bare token on CONNECT, and as others do: with "Bearer ".
  const fromAlice = await connect(alice.token.replace('Bearer ', ''));
  const fromBob = await connect(bob.token);
  for (const { frame, sent } of [fromAlice, fromBob]) {
    assert.equal(frame.headers.version, '1.2');
    assert.equal(frame.headers['heart-beat'], '10000,60000');
    assert.match(sent[0], /^CONNECT\n/);
    assert.match(sent[0], /\naccept-version:1\.2,1\.1,1\.0\n/);
    assert.match(sent[0], /\nheart-beat:10000,10000\n/);
    assert.doesNotMatch(sent[0], /\nhost:/);
  }
  console.log('ok CONNECT with the bare token and with Bearer, without host; heart-beats are 10000,60000');

  const list = listen(fromAlice, `/topic/users/${alice.id}/chatRoom`);
  const [first, second] = [listen(fromBob, topic, { id: 'room-page' }), listen(fromBob, topic, { id: 'input-box' })];
  const mine = listen(fromAlice, topic);
  await Promise.all([first.ready, second.ready, mine.ready, list.ready]);

  fromAlice.client.publish({ destination: app, body: JSON.stringify({ content: 'Hello' }) });
  const hello = await first.next((chat) => chat.originalMessage === 'Hello');
  const twin = await second.next((chat) => chat.originalMessage === 'Hello');
  assert.deepEqual(hello.chat, twin.chat);
  assert.deepEqual([hello.headers.subscription, twin.headers.subscription], ['room-page', 'input-box']);
  assert.notEqual(hello.headers['message-id'], twin.headers['message-id']);
  assert.equal(hello.headers.destination, topic);
  assert.equal(hello.headers.seq, String(hello.chat.seq));
  assert.match(hello.headers['content-type'], /^application\/json/);
  assert.match(hello.chat.chatId, /^[0-9a-f]{24}$/);
  assert.match(hello.chat.sendAt, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
  assert.match(hello.chat.translatedMessage, /안녕/);
  assert.deepEqual(
    [hello.chat.status, hello.chat.senderEmail, hello.chat.isRead, hello.chat.seq],
    ['COMPLETED', alice.email, false, start + 1],
  );
  await mine.next((chat) => chat.chatId === hello.chat.chatId);
  console.log('ok a SEND without receipt reaches every subscription once, translated, the sender’s too');

  const line = await list.next((entry) => entry.chatroomId === room && entry.seq === hello.chat.seq);
  assert.deepEqual([line.chat.originalRecentMessage, line.chat.selectedLanguage], ['Hello', 'ko']);
  console.log('ok the room list hears of it');

  const id = randomUUID();
  await store(fromAlice, app, 'Good morning', id);
  await store(fromAlice, app, 'Good morning', id);
  await store(fromAlice, app, 'Thank you');
  await first.next((chat) => chat.originalMessage === 'Thank you' && chat.seq > start);
  const copies = (await history(alice, room)).filter(({ seq, originalMessage }) => seq > start && originalMessage === 'Good morning');
  assert.equal(copies.length, 1);
  assert.equal(new Set(first.all.filter(({ chat }) => chat.originalMessage === 'Good morning').map(({ chat }) => chat.chatId)).size, 1);
  console.log('ok the same client-message-id twice: two receipts, one message');

  await refused(alice, 'MESSAGE_ID_REUSED', ({ client }) => client.publish(
    { destination: app, body: JSON.stringify({ content: 'another text' }), headers: { 'client-message-id': id, receipt: 'r-1' } }));
  await refused(alice, 'DESTINATION_REFUSED', ({ client }) => client.publish({ destination: topic, body: '{"content":"forged"}', headers: { receipt: 'r-1' } }));
  await refused(carla, 'NOT_A_MEMBER', ({ client }) => client.subscribe(topic, unexpected, { receipt: 'r-1' }));
  await refused(carla, 'NOT_A_MEMBER', ({ client }) => client.publish({ destination: app, body: '{"content":"hi"}', headers: { receipt: 'r-1' } }));
  await refused(bob, 'DESTINATION_REFUSED', ({ client }) => client.subscribe(`/topic/users/${alice.id}/chatRoom`, unexpected, { receipt: 'r-1' }));
  await refused(bob, 'EMPTY_MESSAGE', ({ client }) => client.publish({ destination: app, body: '{"content":"  "}', headers: { receipt: 'r-1' } }));
  await refusedConnect('UNAUTHORIZED');
  console.log('ok refused frames are answered with ERROR and a code, and the connection ends');

  second.end(); // UNSUBSCRIBE with its id and nothing else: the library sends no Authorization with it
  assert.match(fromBob.sent.at(-1), /^UNSUBSCRIBE\n/);
  assert.doesNotMatch(fromBob.sent.at(-1), /Authorization/i);
  const heard = second.all.length;
  await store(fromBob, app, '안녕하세요');
  const reply = await first.next((chat) => chat.originalMessage === '안녕하세요' && chat.seq > start);
  assert.match(reply.chat.translatedMessage, /hello/i);
  assert.equal(second.all.length, heard);
  console.log('ok UNSUBSCRIBE without Authorization ends that subscription and no other');

  const wire = [...first.all];
  await leave(fromBob);
  console.log('ok DISCONNECT has its receipt, and the connection closes');

  const missed = ['one', 'two', 'three'];
  for (const content of missed) await store(fromAlice, app, content);
  await mine.next((chat) => chat.originalMessage === 'three' && chat.seq > start);
  const again = await connect(bob.token);
  const replay = listen(again, topic, { 'last-seq': String(reply.chat.seq) });
  await replay.next((chat) => chat.originalMessage === 'three');
  await store(fromAlice, app, 'live');
  await replay.next((chat) => chat.originalMessage === 'live');
  const numbers = firstCopies(replay.all).map(({ chat }) => chat.seq);
  assert.deepEqual(numbers, [1, 2, 3, 4].map((step) => reply.chat.seq + step));
  console.log('ok last-seq replays what was missed, in order, and goes on live with neither gap nor repeat');

  const lost = listen(again, topic, { 'last-seq': '9007199254740991', id: 'lost' });
  const reset = await lost.next(() => true);
  assert.deepEqual([reset.headers.reset, reset.headers.seq, reset.chat], ['true', String(numbers.at(-1)), {}]);
  console.log('ok a last-seq beyond the head is answered with reset');

  const eager = listen(again, topic, { pending: 'immediate', 'last-seq': String(numbers.at(-1)), id: 'eager' });
  await eager.ready;
  await store(fromAlice, app, 'Nice to meet you');
  await eager.next((chat) => chat.originalMessage === 'Nice to meet you' && chat.status === 'COMPLETED');
  await replay.next((chat) => chat.originalMessage === 'Nice to meet you');
  const revisions = eager.all.map(({ chat }) => chat.revision);
  assert.deepEqual(revisions, [...new Set(revisions)].sort((one, other) => one - other));
  assert.equal(eager.all[0].chat.status, 'PENDING');
  console.log('ok pending: immediate gets the original at once, and the translation as a higher revision');

  // What was delivered, by chatId, the highest revision of each, beside page 0.
  const delivered = new Map();
  for (const { chat } of [...wire, ...replay.all].sort((one, other) => one.chat.revision - other.chat.revision)) delivered.set(chat.chatId, chat);
  const page = (await history(bob, room)).filter(({ seq }) => seq > start);
  const plain = (chats) => chats.map(({ isRead, ...chat }) => chat).sort((one, other) => one.seq - other.seq);
  assert.deepEqual(plain([...delivered.values()]), plain(page));
  assert.deepEqual(page.map(({ seq }) => seq), page.map((_, index) => start + page.length - index));
  console.log('ok the history over HTTP is what was delivered, newest first, without a gap in seq');

  const closed = new Promise((resolve) => (fromAlice.client.onWebSocketClose = resolve));
  fromAlice.client.reconnectDelay = 0;
  await call(alice, 'POST', '/auth/logout');
  const { code, reason } = await within(closed, 'the close of a signed-out connection');
  assert.ok(code >= 4000 && code <= 4999 && String(reason).length > 0, `${code} ${reason}`);
  console.log(`ok log-out closes the connection with a code of ours and a reason (${code} ${reason})`);
}

// ---- HTTP

/** The whole authorization-code round trip by hand: what a browser does, with a cookie jar of one host. */
async function signIn(name) {
  const jar = new Map();
  const get = async (url, options = {}) => {
    const cookie = [...jar].map((pair) => pair.join('=')).join('; ');
    const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(WAIT_MS), ...options, headers: { cookie } });
    for (const line of response.headers.getSetCookie()) jar.set(...line.split(';')[0].split(/=(.*)/s).slice(0, 2));
    return response;
  };
  const { data: authorize } = await (await get(`${API}/auth`)).json();
  const back = await get(`${new URL(authorize, base).href}&login_hint=${name}`);
  assert.ok([302, 303].includes(back.status), `${back.status} from the provider`);
  const { searchParams } = new URL(back.headers.get('location'), base);
  const query = new URLSearchParams({ code: searchParams.get('code'), state: searchParams.get('state') });
  const { success, data } = await (await get(`${API}/auth/token?${query}`)).json();
  assert.ok(success);
  assert.match(data.tokenresponse.accessToken, /^Bearer /);
  assert.ok(jar.has('refreshToken'));
  const token = data.tokenresponse.accessToken;
  const me = await call({ token }, 'GET', '/me');
  assert.equal(me.id, data.userResponse.id);
  return { ...me, token };
}

async function call({ token }, method, path, body) {
  const response = await fetch(API + path, {
    method,
    headers: { Authorization: token, ...(body && { 'Content-Type': 'application/json' }) },
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(WAIT_MS),
  });
  const envelope = await response.json().catch(() => ({}));
  assert.ok(response.ok, `${method} ${path}: ${response.status} ${envelope.errorCode}`);
  return envelope.data;
}

async function history(user, room) {
  return (await call(user, 'GET', `/chatRooms/${room}/chats?page=0`)).chats;
}

// ---- STOMP

/** A client as the first web client makes it. `sent` is every frame that it has written. */
function makeClient(connectHeaders) {
  const sent = [];
  const client = new Client({
    webSocketFactory: () => {
      const socket = new WebSocket(SOCKET, ['v12.stomp', 'v11.stomp', 'v10.stomp']);
      const send = socket.send.bind(socket);
      socket.send = (data) => {
        sent.push(String(data));
        send(data);
      };
      return socket;
    },
    connectHeaders,
    heartbeatIncoming: 10_000,
    heartbeatOutgoing: 10_000,
    reconnectDelay: 0,
  });
  clients.push(client);
  return { client, sent };
}

function connect(token) {
  const { client, sent } = makeClient({ Authorization: token });
  return within(new Promise((resolve, reject) => {
    client.onConnect = (frame) => resolve({ client, sent, frame });
    client.onStompError = ({ headers }) => reject(new Error(`ERROR ${headers.code} ${headers.message}`));
    client.onWebSocketClose = ({ code, reason }) => reject(new Error(`closed: ${code} ${reason}`));
    client.activate();
  }), 'CONNECTED');
}

/** A subscription that remembers. `next` finds a message among those that came or waits for it; `ready` is its receipt. */
function listen({ client }, destination, headers = {}) {
  const all = [];
  const waiting = new Set();
  const receipt = randomUUID();
  const ready = within(new Promise((resolve) => client.watchForReceipt(receipt, resolve)), `the receipt of SUBSCRIBE ${destination}`);
  const subscription = client.subscribe(destination, ({ headers, body }) => {
    const message = { headers, chat: JSON.parse(body) };
    all.push(message);
    for (const check of waiting) check(message);
  }, { ...headers, receipt });
  const next = (wanted) => within(new Promise((resolve) => {
    const found = all.find(({ chat }) => wanted(chat));
    if (found) return resolve(found);
    const check = (message) => wanted(message.chat) && (waiting.delete(check), resolve(message));
    waiting.add(check);
  }), `a message on ${destination}: ${wanted}`);
  ready.catch(() => {}); // looked at by those who need it
  return { all, next, ready, end: () => subscription.unsubscribe() };
}

/** SEND with a receipt: resolves when it is stored. */
function store({ client }, destination, content, id = randomUUID()) {
  const receipt = randomUUID();
  const stored = new Promise((resolve) => client.watchForReceipt(receipt, resolve));
  client.publish({ destination, body: JSON.stringify({ content }), headers: { 'client-message-id': id, receipt } });
  return within(stored, `the receipt of "${content}"`);
}

/** This frame, on a connection of its own, is answered with this ERROR, which names the frame, and then the connection ends. */
async function refused(user, code, act) {
  const connection = await connect(user.token);
  const { error, closed } = watchEnd(connection.client);
  act(connection);
  const { headers } = await within(error, `ERROR ${code}`);
  assert.deepEqual([headers.code, headers['receipt-id']], [code, 'r-1']);
  assert.ok(headers.message);
  await within(closed, `the close after ${code}`);
}

async function refusedConnect(code) {
  const { client } = makeClient({});
  const { error, closed } = watchEnd(client);
  client.onConnect = () => fail(new Error('CONNECT without a token was accepted'));
  client.activate();
  assert.equal((await within(error, `ERROR ${code}`)).headers.code, code);
  await within(closed, `the close after ${code}`);
}

function watchEnd(client) {
  return {
    error: new Promise((resolve) => (client.onStompError = resolve)),
    closed: new Promise((resolve) => (client.onWebSocketClose = resolve)),
  };
}

/** deactivate() sends DISCONNECT with a receipt and closes the socket when it is answered; onDisconnect tells of the answer. */
async function leave({ client, sent }) {
  const answered = new Promise((resolve) => (client.onDisconnect = resolve));
  client.onWebSocketClose = () => {};
  await within(client.deactivate(), 'the end of deactivate()');
  await within(answered, 'the receipt of DISCONNECT');
  assert.match(sent.at(-1), /^DISCONNECT\n[^]*receipt:close-/);
}

/** The first copy of each message, in the order of arrival. */
function firstCopies(messages) {
  return messages.filter(({ chat }, index) => messages.findIndex((other) => other.chat.chatId === chat.chatId) === index);
}

function unexpected({ body }) {
  fail(new Error(`delivered to one who may not read it: ${body}`));
}

// ---- Limits

function within(promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`timed out: ${what}`)), WAIT_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

function fail(error) {
  console.error(`not ok ${error.stack}`);
  process.exit(1);
}
