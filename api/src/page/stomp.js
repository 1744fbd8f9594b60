// A small STOMP 1.2 client over WebSocket (https://stomp.github.io/stomp-specification-1.2.html) that comes back by itself.
// What it keeps over a reconnect: subscriptions, which are made again, and messages that have no RECEIPT yet, which are sent again.

const ESCAPED = { '\\': '\\\\', '\r': '\\r', '\n': '\\n', ':': '\\c' };
const PLAIN = { '\\\\': '\\', '\\r': '\r', '\\n': '\n', '\\c': ':' };
const HEART_BEAT_MS = 10_000; // what we offer and what we ask for
const DELAY_MS_MAX = 30_000;

/** A frame is a command, headers, an empty line, a body and a NUL. CONNECT alone is not escaped. */
export function encode(command, headers, body = '') {
  const escape = (value) => (command === 'CONNECT' ? `${value}` : `${value}`.replace(/[\\\r\n:]/g, (c) => ESCAPED[c]));
  const lines = Object.entries(headers).map(([name, value]) => `${escape(name)}:${escape(value)}\n`);
  return `${command}\n${lines.join('')}\n${body}\0`;
}

/** The frames in a WebSocket message. Line feeds between frames are heart-beats. (Bodies are JSON, so no NUL is ever inside one.) */
export function decode(data) {
  const frames = data.split('\0').map((frame) => frame.replace(/^[\r\n]+/, '')).filter(Boolean);
  return frames.map((frame) => {
    const end = frame.search(/\r?\n\r?\n/);
    const [command, ...lines] = frame.slice(0, end).split(/\r?\n/);
    const headers = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      const [name, value] = [line.slice(0, colon), line.slice(colon + 1)].map((part) =>
        command === 'CONNECTED' ? part : part.replace(/\\[\\rnc]/g, (pair) => PLAIN[pair]));
      headers[name] ??= value; // the first one counts
    }
    return { command, headers, body: frame.slice(end).replace(/^\r?\n\r?\n/, '') };
  });
}

export class StompClient {
  #url; #login; #onState; #onError;
  #socket = null; #connected = false; #stopped = true;
  #subscriptions = new Map(); // id -> { destination, onMessage, headers() }
  #outbox = new Map(); // receipt -> { frame, resolve, reject }: sent, and not known to be stored
  #ids = 0; #failures = 0; #connectedAt = 0; #heardAt = 0; #patience = Infinity; #timers = [];

  /** `login()` resolves to the headers of CONNECT; `onState(state, seconds)` is told connecting, connected, waiting or stopped. */
  constructor({ url, login, onState, onError }) {
    [this.#url, this.#login, this.#onState, this.#onError] = [url, login, onState, onError];
  }

  start() {
    this.#stopped = false;
    this.#open();
  }

  /** Says good-bye properly: the answer to DISCONNECT's receipt means that everything before it has been processed. */
  stop() {
    const [socket, connected] = [this.#socket, this.#connected];
    this.#stopped = true;
    this.#release();
    if (connected && socket.readyState === WebSocket.OPEN) {
      socket.onmessage = () => socket.close();
      socket.send(encode('DISCONNECT', { receipt: 'bye' }));
    } else socket?.close();
    this.#onState('stopped');
  }

  /** Subscribes now and after every reconnect. `headers()` is asked each time. The answer is a function that ends it. */
  subscribe(destination, onMessage, headers = () => ({})) {
    const id = `sub-${this.#ids++}`;
    this.#subscriptions.set(id, { destination, onMessage, headers });
    if (this.#connected) this.#sendSubscribe(id);
    return () => {
      if (this.#subscriptions.delete(id) && this.#connected) this.#socket.send(encode('UNSUBSCRIBE', { id }));
    };
  }

  /** Resolves when the server has stored it (RECEIPT), rejects when it refuses it (ERROR). In between it survives any reconnect:
   *  it is sent again with the same client-message-id, by which the server knows that it has it already. */
  send(destination, content, id) {
    const body = JSON.stringify({ content });
    const frame = encode('SEND', {
      destination, 'client-message-id': id, receipt: id,
      'content-type': 'application/json', 'content-length': new TextEncoder().encode(body).length,
    }, body);
    if (this.#connected) this.#socket.send(frame);
    return new Promise((resolve, reject) => this.#outbox.set(id, { frame, resolve, reject }));
  }

  /** Says something that is worth nothing later: if there is no connection now, it is not said. */
  tell(destination) {
    if (this.#connected) this.#socket.send(encode('SEND', { destination }));
  }

  retryNow() {
    if (!this.#stopped && !this.#socket) this.#open();
  }

  async #open() {
    this.#release();
    this.#onState('connecting');
    const socket = (this.#socket = { close() {}, readyState: WebSocket.CONNECTING }); // holds the place while login() is under way
    const headers = await this.#login().catch(() => null);
    if (this.#stopped || this.#socket !== socket) return;
    if (!headers) return this.#lost();
    this.#connect(headers);
  }

  #connect(headers) {
    const socket = (this.#socket = new WebSocket(this.#url, ['v12.stomp']));
    const connect = { 'accept-version': '1.2', host: location.host, 'heart-beat': `${HEART_BEAT_MS},${HEART_BEAT_MS}`, ...headers };
    this.#heardAt = Date.now();
    this.#patience = 2 * HEART_BEAT_MS;
    socket.onopen = () => socket.send(encode('CONNECT', connect));
    socket.onmessage = ({ data }) => {
      this.#heardAt = Date.now();
      decode(data).forEach((frame) => this.#handle(frame));
    };
    socket.onclose = () => this.#lost(); // codes 4000 to 4999 with a reason: the server ended it. We come back in any case
    this.#timers.push(setInterval(() => Date.now() - this.#heardAt > this.#patience && this.#lost(), 1000));
  }

  #handle({ command, headers, body }) {
    const { 'receipt-id': receipt, subscription, 'heart-beat': heartBeat = '0,0' } = headers;
    if (command === 'CONNECTED') {
      const [serverSends, serverWants] = heartBeat.split(',').map(Number);
      this.#patience = serverSends ? 2.5 * Math.max(serverSends, HEART_BEAT_MS) : Infinity;
      if (serverWants) this.#timers.push(setInterval(() => this.#socket.send('\n'), Math.max(serverWants, HEART_BEAT_MS)));
      [this.#connected, this.#connectedAt] = [true, Date.now()];
      this.#subscriptions.forEach((_, id) => this.#sendSubscribe(id));
      this.#outbox.forEach(({ frame }) => this.#socket.send(frame));
      this.#onState('connected');
    } else if (command === 'MESSAGE') {
      this.#subscriptions.get(subscription)?.onMessage(JSON.parse(body), headers);
    } else if (command === 'RECEIPT') {
      this.#outbox.get(receipt)?.resolve();
      this.#outbox.delete(receipt);
    } else if (command === 'ERROR') {
      // It names the frame that was refused, and the connection ends. What was refused is not tried again, or it would be for ever.
      const error = Object.assign(new Error(headers.message), { code: headers.code });
      const refused = this.#outbox.get(receipt);
      this.#outbox.delete(receipt);
      this.#subscriptions.delete(receipt);
      refused ? refused.reject(error) : this.#onError(error);
    }
  }

  #sendSubscribe(id) {
    const { destination, headers } = this.#subscriptions.get(id);
    this.#socket.send(encode('SUBSCRIBE', { id, destination, receipt: id, ...headers() }));
  }

  /** Waits, twice as long after each failure and never exactly as long as everybody else, and tries again. */
  #lost() {
    const lasted = this.#connected && Date.now() - this.#connectedAt > HEART_BEAT_MS;
    this.#socket?.close();
    this.#release();
    if (this.#stopped) return;
    this.#failures = lasted ? 0 : this.#failures + 1;
    const until = Date.now() + Math.min(DELAY_MS_MAX, 1000 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    const tick = () => {
      const seconds = Math.ceil((until - Date.now()) / 1000);
      seconds > 0 ? this.#onState('waiting', seconds) : this.#open();
    };
    this.#timers.push(setInterval(tick, 250));
    tick();
  }

  #release() {
    this.#timers.splice(0).forEach(clearInterval);
    if (this.#socket) this.#socket.onopen = this.#socket.onmessage = this.#socket.onclose = null;
    [this.#socket, this.#connected] = [null, false];
  }
}
