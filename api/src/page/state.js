// What the page knows, in one place. Only app.js changes who is signed in; only room.js changes the open room.

export const state = {
  me: null, // { id, email, name, picture, language }, or nobody is signed in
  stomp: null, // the connection
  rooms: [], // lines of the list, the newest first
  room: null, // the open one: { id, name, picture, chats: chatId -> chat, items: chatId or message id -> <li>, page, busy, leave() }
  unsent: [], // { id, roomId, content, at, after, stored }: written here, and not yet seen coming back
};
