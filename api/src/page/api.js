// The HTTP half: one envelope for every answer, and an access token that renews itself.
//
// The access token (30 minutes) lies in localStorage and goes into the Authorization header. The refresh token is a cookie that no
// script can read: the browser sends it along with `GET /auth/refresh`, and the answer is the next access token.

const BASE = '/api/v1';
const KEY = 'accessToken'; // its value begins with "Bearer "

/** What the server refused: `code` is the envelope's stable errorCode, `status` the HTTP status, 0 when there was no answer. */
export class ApiError extends Error {
  constructor(status, code, message) {
    super(message);
    Object.assign(this, { status, code });
  }
}

/** Called once when the session is over and only a new sign-in helps. */
export const session = { onEnd: () => {} };

export const storedToken = () => localStorage.getItem(KEY);

/** The `data` of the envelope, or an ApiError. A 401 means that the access token is no good: renew it, and ask once more. */
export async function request(method, path, body) {
  let token = storedToken();
  for (let attempt = 0; ; attempt++) {
    try {
      return await call(method, path, body, token);
    } catch (error) {
      if (error.status !== 401 || attempt > 0) throw error;
      token = await renew(token);
    }
  }
}

/** An access token that is good for a while: for places that cannot ask once more, like STOMP's CONNECT. */
export async function freshToken() {
  const token = storedToken();
  return token && token !== refused && expiresAt(token) > Date.now() + 30_000 ? token : renew(token);
}

let refused = null;
/** The server has refused the access token in some other place: freshToken() renews it whatever its age. */
export const tokenRefused = () => (refused = storedToken());

/** Sends the browser to the identity provider. It comes back to `/?code=...&state=...`. */
export async function signIn() {
  location.assign(await call('GET', '/auth'));
}

/** Exchanges what the identity provider sent back. A cookie set by `GET /auth` ties it to this browser. */
export async function finishSignIn(code, state) {
  const { tokenresponse } = await call('GET', `/auth/token?${new URLSearchParams({ code, state })}`);
  localStorage.setItem(KEY, tokenresponse.accessToken);
}

/** Ends the session on the server, cookie and all. A session that is over already needs no more than to be forgotten here. */
export async function logOut() {
  await request('POST', '/auth/logout').catch((error) => {
    if (error.status === 0 || error.status >= 500) throw error;
  });
  localStorage.removeItem(KEY);
}

/** Who a token belongs to. It is signed, not secret: three parts in base64url, the second is JSON. */
export function claims(token) {
  try {
    return JSON.parse(atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
  } catch {
    return {};
  }
}

const expiresAt = (token) => (claims(token).exp ?? 0) * 1000;

/** A new access token in place of `old`. Any number of callers, in any number of tabs, make one refresh: the first one through
 *  the lock does it, the others find that the token has changed. */
function renew(old) {
  return alone(async () => {
    const current = storedToken();
    if (current && current !== old) return current;
    try {
      const { accessToken } = await call('GET', '/auth/refresh');
      localStorage.setItem(KEY, accessToken);
      return accessToken;
    } catch (error) {
      // No answer, or "not now": keep the session and try later. Anything else: it has ended.
      if (error.status >= 400 && error.status < 500 && error.status !== 429) {
        localStorage.removeItem(KEY);
        session.onEnd();
      }
      throw error;
    }
  });
}

let queue = Promise.resolve(); // navigator.locks exists on https and localhost only; elsewhere each tab is on its own
const alone = (work) => (navigator.locks ? navigator.locks.request('refresh', work) : (queue = queue.then(work, work)));

async function call(method, path, body, token) {
  const headers = { ...(token && { Authorization: token }), ...(body && { 'Content-Type': 'application/json' }) };
  let response, envelope;
  try {
    response = await fetch(BASE + path, { method, headers, body: body && JSON.stringify(body) });
    envelope = (await response.json().catch(() => null)) ?? {};
  } catch {
    throw new ApiError(0, 'OFFLINE', '');
  }
  if (!response.ok || envelope.success === false) throw new ApiError(response.status, envelope.errorCode, envelope.message ?? '');
  return envelope.data;
}
