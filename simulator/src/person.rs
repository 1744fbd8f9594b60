//! Somebody with a browser: the cookie jar and the local storage that all tabs share, and the first client's interceptor, which
//! refreshes on 401.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use transtalk_core::app::{HistoryQuery, Principal, Services, history, open_room};
use transtalk_core::chat::HistoryPage;
use transtalk_core::{ErrorCode, Failure, RoomId, SessionId, UserId};

use crate::clock::millis;
use crate::counters::Sometimes;
use crate::model::{Order, Violation};
use crate::node::Node;
use crate::observed::{self, Access, Callback, Ending, Tokens, Way, accepted};
use crate::world::{Phase, World};

/// Somebody.
pub(crate) struct Person {
    /// The name of their own account.
    pub(crate) name: &'static str,
    jar: Mutex<Jar>,
}

#[derive(Default)]
struct Jar {
    /// In the local storage.
    access: Option<Access>,
    /// The refresh token.
    cookie: Option<String>,
    /// What ties a sign-in to this browser.
    begun: Option<String>,
    /// Every session so far.
    sessions: BTreeSet<SessionId>,
    is_signing_in: bool,
    /// Refreshed tokens in a row that were refused.
    futile: u64,
}

/// One refresh at a time in each tab: who comes meanwhile waits for its end.
#[derive(Default)]
pub(crate) struct Turn(AtomicBool);

struct MyTurn<'a>(&'a Turn);

impl Drop for MyTurn<'_> {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

impl Person {
    /// Somebody who has not signed in.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, jar: Mutex::default() }
    }

    /// The access token in the browser.
    pub(crate) fn access(&self) -> Option<Access> {
        self.jar().access.clone()
    }

    /// The refresh token in the browser.
    pub(crate) fn cookie(&self) -> Option<String> {
        self.jar().cookie.clone()
    }

    /// Whose browser it is now.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.jar().access.as_ref().map(|access| access.claims.user)
    }

    /// A session of this browser, but not the one that it has now.
    pub(crate) fn another_session(&self) -> Option<SessionId> {
        let jar = self.jar();
        let now = jar.access.as_ref().map(|access| access.claims.session);
        jar.sessions.iter().rev().find(|session| Some(**session) != now).copied()
    }

    /// Signs in with this account, if no other tab does.
    pub(crate) async fn sign_in(&self, world: &Arc<World>, way: Way, account: &'static str) {
        let done = match self.begin_sign_in(world, way, account, true).await {
            Some(callback) => self.complete_sign_in(world, way, callback, false).await,
            None => None,
        };
        if done.is_none() {
            world.executor.sleep(300).await;
        }
    }

    /// Goes to the provider and comes back with a code. To be followed by [`complete_sign_in`](Self::complete_sign_in).
    pub(crate) async fn begin_sign_in(
        &self,
        world: &Arc<World>,
        way: Way,
        account: &'static str,
        returns_state: bool,
    ) -> Option<Callback> {
        if std::mem::replace(&mut self.jar().is_signing_in, true) {
            return None;
        }
        let Some((url, cookie)) = observed::begin(world, way).await else {
            self.jar().is_signing_in = false;
            return None;
        };
        self.jar().begun = Some(cookie);
        let (code, state) = world.provider.authorize(&url, account);
        Some(Callback { account, code, state: returns_state.then_some(state), cookie: None, is_foreign: false })
    }

    /// Brings the code back, with the cookie that the browser has now; perhaps twice.
    pub(crate) async fn complete_sign_in(
        &self,
        world: &Arc<World>,
        way: Way,
        callback: Callback,
        again: bool,
    ) -> Option<()> {
        let callback = Callback { cookie: self.jar().begun.clone(), ..callback };
        let answer = observed::complete(world, self.name, way, callback.clone()).await;
        self.jar().is_signing_in = false;
        let done = answer.and_then(Result::ok);
        let is_done = done.is_some();
        if let Some(tokens) = done {
            world.executor.tell(self.name, format_args!("has signed in as {}", callback.account));
            self.keep(world, tokens);
        }
        if again && let Some(Err(Failure::Refused(_))) = observed::complete(world, self.name, way, callback).await {
            world.counters.count(Sometimes::CodeReplayed);
        }
        is_done.then_some(())
    }

    /// The cookie that ties a sign-in under way to this browser.
    pub(crate) fn begun(&self) -> Option<String> {
        self.jar().begun.clone()
    }

    /// Exchanges the cookie, as it is when the request leaves.
    pub(crate) async fn refresh(&self, world: &Arc<World>, turn: &Turn, way: Way) {
        if turn.0.swap(true, Ordering::Relaxed) {
            // The answer to the other is the answer to this.
            while turn.0.load(Ordering::Relaxed) {
                world.executor.sleep(5).await;
            }
            return;
        }
        let _my_turn = MyTurn(turn);
        let Some(before) = self.cookie() else {
            self.set(world, None);
            return;
        };
        match observed::refresh(world, self.name, way, before.clone()).await {
            Some(Ok(tokens)) => self.keep(world, tokens),
            Some(Err(Failure::Refused(code))) => {
                world.executor.tell(self.name, format_args!("is signed out: {}", code.as_str()));
                if code == ErrorCode::RefreshTokenReused && !world.options.thief {
                    world.counters.count(Sometimes::InnocentSignedOut);
                }
                self.forget(world, &before);
            }
            Some(Err(Failure::Unavailable { .. } | Failure::TooMany { .. })) | None => {
                if way.gives_up {
                    self.set(world, None);
                }
                world.executor.sleep(200).await;
            }
        }
    }

    /// Ends the session, or more. Then, with `probe`, sees that what is left of it is worth nothing any more.
    pub(crate) async fn end(&self, world: &Arc<World>, way: Way, ending: Ending, probe: bool) {
        let (access, cookie) = {
            let jar = self.jar();
            let Some(access) = jar.access.clone() else { return };
            (access, jar.cookie.clone())
        };
        let tokens = (access.clone(), cookie.clone());
        let Some(Ok(())) = observed::end(world, self.name, way, tokens, ending).await else { return };
        if let (Some(cookie), false) = (&cookie, matches!(ending, Ending::Other(_))) {
            self.forget(world, cookie);
        }
        if probe {
            // The model knows what must be refused.
            if let Some(cookie) = cookie {
                let _ = observed::refresh(world, self.name, way, cookie).await;
            }
            let observer = world.clone();
            let _ = Node::request(world, way.node, ("GET /me", way.patience), |services| async move {
                accepted(&observer, &services, &access.token).await.map(|_| ())
            })
            .await;
        }
    }

    /// Somebody presents a refresh token of this browser that was replaced long ago.
    pub(crate) async fn is_robbed(&self, world: &Arc<World>, way: Way) {
        let sessions = self.jar().sessions.clone();
        let Some(stale) = world.model().families.stale_token(&sessions) else { return };
        world.executor.tell("thief", format_args!("presents an old token of {}", self.name));
        let answer = observed::refresh(world, "thief", way, stale).await;
        if let Some(Err(Failure::Refused(ErrorCode::RefreshTokenReused))) = answer {
            world.counters.count(Sometimes::ReuseFound);
        }
    }

    /// Opens the room with somebody.
    pub(crate) async fn open_room(&self, world: &Arc<World>, turn: &Turn, way: Way, with: String) -> Option<RoomId> {
        let opened = self.fetch(world, turn, way, "POST /chatRooms", |observer, services, access| {
            let with = with.clone();
            async move {
                let principal = accepted(&observer, &services, &access.token).await?;
                let room = open_room(&services, &principal, "ko", &with).await?;
                observer.room_opened(room, principal.user, &with);
                Ok(room)
            }
        });
        opened.await?.ok()
    }

    /// Reads a page of history. Answers with who read it, and when it was asked for, too.
    pub(crate) async fn history(
        &self,
        world: &Arc<World>,
        turn: &Turn,
        way: Way,
        room: RoomId,
        query: HistoryQuery,
    ) -> Option<Result<(Principal, Order, HistoryPage), Failure>> {
        let page = self.fetch(world, turn, way, "GET /chats", |observer, services, access| async move {
            let asked = observer.model().observe();
            let principal = accepted(&observer, &services, &access.token).await?;
            history(&services, &principal, room, query).await.map(|page| (principal, asked, page))
        });
        page.await
    }

    /// Buys a ticket. Answers with the token that it was bought with, too.
    pub(crate) async fn ticket(&self, world: &Arc<World>, turn: &Turn, way: Way) -> Option<(String, Access)> {
        let bought = self.fetch(world, turn, way, "POST /auth/ws-ticket", |observer, services, access| async move {
            observed::ticket(&observer, &services, &access).await.map(|ticket| (ticket, access))
        });
        bought.await?.ok()
    }

    /// Lists one's sessions.
    pub(crate) async fn sessions(&self, world: &Arc<World>, turn: &Turn, way: Way) -> Option<Vec<SessionId>> {
        let listed = self.fetch(world, turn, way, "GET /sessions", |observer, services, access| async move {
            observed::sessions(&observer, &services, &access).await
        });
        listed.await?.ok()
    }

    /// A request as the first client makes it: at a 401 it refreshes and asks once more.
    async fn fetch<T, F>(
        &self,
        world: &Arc<World>,
        turn: &Turn,
        way: Way,
        what: &'static str,
        use_case: impl Fn(Arc<World>, Arc<Services>, Access) -> F + Send + Sync,
    ) -> Option<Result<T, Failure>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Failure>> + Send + 'static,
    {
        let access = self.access()?;
        let request = |services| use_case(world.clone(), services, access.clone());
        let answer = Node::request(world, way.node, (what, way.patience), request).await;
        if !is_401(answer.as_ref()) {
            return answer;
        }
        world.counters.count(Sometimes::Intercepted);
        self.refresh(world, turn, way).await;
        let renewed = self.access()?;
        if renewed.token == access.token {
            return answer;
        }
        let request = |services| use_case(world.clone(), services, renewed);
        let answer = Node::request(world, way.node, (what, way.patience), request).await;
        self.was_futile(world, is_401(answer.as_ref()));
        answer
    }

    /// L3: nobody refreshes for ever what is refused at once.
    fn was_futile(&self, world: &World, was_refused: bool) {
        let futile = {
            let mut jar = self.jar();
            jar.futile = if was_refused { jar.futile + 1 } else { 0 };
            jar.futile
        };
        if futile > FUTILE_MAX && world.phase() != Phase::Trouble && world.options.access >= 60 {
            let what = format!("{} was refused {futile} times in a row, each time with new tokens", self.name);
            world.check(Err(Violation("L3", what)));
        }
    }

    fn keep(&self, world: &World, tokens: Tokens) {
        let mut jar = self.jar();
        jar.sessions.insert(tokens.access.claims.session);
        jar.cookie = Some(tokens.refresh);
        drop(jar);
        self.set(world, Some(tokens.access));
    }

    /// Throws the tokens away, unless another tab has newer ones.
    fn forget(&self, world: &World, cookie: &str) {
        let mut jar = self.jar();
        if jar.cookie.as_deref() != Some(cookie) {
            return;
        }
        jar.cookie = None;
        drop(jar);
        self.set(world, None);
    }

    fn set(&self, world: &World, access: Option<Access>) {
        let held = access.as_ref().map(|access| (access.claims.session, millis(access.claims.expires_at)));
        world.races().hold(self.name, held);
        self.jar().access = access;
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What `api` answers with 401.
fn is_401<T>(answer: Option<&Result<T, Failure>>) -> bool {
    let Some(Err(Failure::Refused(code))) = answer else { return false };
    matches!(code, ErrorCode::Unauthorized | ErrorCode::TokenExpired | ErrorCode::SessionEnded)
}

/// In a row.
const FUTILE_MAX: u64 = 8;
