//! Somebody with a browser: the cookie jar that all tabs share, and what is done over HTTP.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join;
use transtalk_core::app::{
    HistoryQuery, Services, authenticate, begin_sign_in, complete_sign_in, history, log_out, open_room, refresh,
};
use transtalk_core::auth::{Device, RefreshToken};
use transtalk_core::chat::HistoryPage;
use transtalk_core::{ErrorCode, Failure, RoomId, SessionId, UserId};

use crate::counters::Sometimes;
use crate::model::Order;
use crate::node::Node;
use crate::world::World;

/// Somebody.
pub(crate) struct Person {
    /// The name to sign in with.
    pub(crate) name: &'static str,
    /// The address that others see.
    pub(crate) email: String,
    jar: Mutex<Jar>,
}

#[derive(Default)]
struct Jar {
    tokens: Option<Tokens>,
    user: Option<UserId>,
    /// Every session so far.
    sessions: BTreeSet<SessionId>,
    is_signing_in: bool,
}

/// What a browser keeps.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Of which session.
    pub(crate) session: SessionId,
    /// With `Bearer `.
    pub(crate) access: String,
    refresh: String,
}

/// Over which node a request goes, and how long somebody waits for its answer.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// The node.
    pub(crate) node: usize,
    /// In milliseconds.
    pub(crate) patience: u64,
}

impl Person {
    /// Somebody who has not signed in.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, email: format!("{name}@example.com"), jar: Mutex::default() }
    }

    /// What the browser keeps now.
    pub(crate) fn tokens(&self) -> Option<Tokens> {
        self.jar().tokens.clone()
    }

    /// Who it is, after the first sign-in.
    pub(crate) fn user(&self) -> Option<UserId> {
        self.jar().user
    }

    /// Signs in, if no other tab does.
    pub(crate) async fn sign_in(&self, world: &Arc<World>, way: Way) {
        if std::mem::replace(&mut self.jar().is_signing_in, true) {
            world.executor.sleep(200).await;
            return;
        }
        let done = self.try_sign_in(world, way).await;
        self.jar().is_signing_in = false;
        if done.is_none() {
            world.executor.sleep(300).await;
        }
    }

    async fn try_sign_in(&self, world: &Arc<World>, way: Way) -> Option<()> {
        let begun = Node::request(world, way.node, ("GET /auth", way.patience), |services| async move {
            let begun = begin_sign_in(&services, REDIRECT_URI);
            Ok((begun.url, begun.cookie))
        });
        let (url, cookie) = begun.await?.ok()?;
        let (code, state) = world.provider.authorize(&url, self.name);
        let observer = world.clone();
        let completed = Node::request(world, way.node, ("GET /auth/token", way.patience), |services| async move {
            let device = Device { name: "simulated".to_owned(), address: ADDRESS.to_owned() };
            let done = complete_sign_in(&services, &code, Some(&state), Some(&cookie), device).await?;
            let tokens = kept(&services, &done.tokens);
            observer.model().signed_in(tokens.session, &tokens.refresh);
            Ok((done.user.id, tokens))
        });
        let (user, tokens) = completed.await?.ok()?;
        world.executor.tell(self.name, format_args!("has signed in"));
        let mut jar = self.jar();
        jar.sessions.insert(tokens.session);
        jar.user = Some(user);
        jar.tokens = Some(tokens);
        Some(())
    }

    /// Exchanges the cookie, as it is when the request leaves.
    pub(crate) async fn refresh(&self, world: &Arc<World>, way: Way) {
        let Some(before) = self.tokens() else { return };
        match present(world, way, before.refresh.clone()).await {
            Some(Ok(tokens)) => self.jar().tokens = Some(tokens),
            Some(Err(Failure::Refused(code))) => {
                world.executor.tell(self.name, format_args!("is signed out: {}", code.as_str()));
                if code == ErrorCode::RefreshTokenReused && !world.options.thief {
                    world.counters.count(Sometimes::InnocentSignedOut);
                }
                self.forget(&before);
            }
            Some(Err(Failure::Unavailable { .. })) | None => world.executor.sleep(200).await,
        }
    }

    /// Several tabs that refresh at once, with the same cookie.
    pub(crate) async fn refresh_twice(&self, world: &Arc<World>, one: Way, other: Way) {
        join(self.refresh(world, one), self.refresh(world, other)).await;
    }

    /// Logs out; then, with `probe`, sees that the cookie is worth nothing any more.
    pub(crate) async fn log_out(&self, world: &Arc<World>, way: Way, probe: bool) {
        let Some(before) = self.tokens() else { return };
        let (observer, tokens) = (world.clone(), before.clone());
        let ended = Node::request(world, way.node, ("POST /auth/logout", way.patience), |services| async move {
            let _under_way = UnderWay::log_out(&observer, tokens.session);
            log_out(&services, Some(&tokens.access), Some(&tokens.refresh), ADDRESS).await?;
            observer.model().ended(tokens.session);
            observer.executor.tell("session", format_args!("{} has ended", tokens.session));
            Ok(())
        });
        if let Some(Ok(())) = ended.await {
            self.forget(&before);
            if probe {
                // The model knows that this must be refused.
                let _ = present(world, way, before.refresh).await;
            }
        }
    }

    /// Logs out in one tab while another refreshes.
    pub(crate) async fn log_out_and_refresh(&self, world: &Arc<World>, one: Way, other: Way) {
        join(self.log_out(world, one, true), self.refresh(world, other)).await;
    }

    /// Somebody else presents a refresh token that was replaced long ago.
    pub(crate) async fn is_robbed(&self, world: &Arc<World>, way: Way) {
        let sessions = self.jar().sessions.clone();
        let Some((_, stale)) = world.model().stale_token(&sessions) else { return };
        world.executor.tell("thief", format_args!("presents an old token of {}", self.name));
        if let Some(Err(Failure::Refused(ErrorCode::RefreshTokenReused))) = present(world, way, stale).await {
            world.counters.count(Sometimes::ReuseFound);
        }
    }

    /// Opens the room with somebody.
    pub(crate) async fn open_room(&self, world: &Arc<World>, way: Way, with: String) -> Option<RoomId> {
        let access = self.tokens()?.access;
        let observer = world.clone();
        let opened = Node::request(world, way.node, ("POST /chatRooms", way.patience), |services| async move {
            let principal = accepted(&observer, &services, &access).await?;
            open_room(&services, &principal, "ko", &with).await
        });
        opened.await?.ok()
    }

    /// Reads a page of history. Answers with when it was asked for, too.
    pub(crate) async fn history(
        &self,
        world: &Arc<World>,
        way: Way,
        room: RoomId,
        query: HistoryQuery,
    ) -> Option<(Order, Result<HistoryPage, Failure>)> {
        let access = self.tokens()?.access;
        let observer = world.clone();
        let asked = world.model().observe();
        let page = Node::request(world, way.node, ("GET /chats", way.patience), |services| async move {
            let principal = accepted(&observer, &services, &access).await?;
            history(&services, &principal, room, query).await
        });
        page.await.map(|page| (asked, page))
    }

    /// Throws the tokens away, unless another tab has newer ones.
    fn forget(&self, tokens: &Tokens) {
        let mut jar = self.jar();
        if jar.tokens.as_ref().is_some_and(|kept| kept.refresh == tokens.refresh) {
            jar.tokens = None;
        }
    }

    fn jar(&self) -> MutexGuard<'_, Jar> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Presents a refresh token, under the eyes of the model.
async fn present(world: &Arc<World>, way: Way, token: String) -> Option<Result<Tokens, Failure>> {
    let session = RefreshToken::decode(&token, world.signer.as_ref())?.session;
    let observer = world.clone();
    let answer = Node::request(world, way.node, ("GET /auth/refresh", way.patience), |services| async move {
        let under_way = UnderWay::refresh(&observer, session, &token);
        let begun = observer.model().refresh_begun(session, &token);
        let answer = refresh(&services, Some(&token), ADDRESS).await.map(|tokens| kept(&services, &tokens));
        drop(under_way);
        let seen = answer.as_ref().map(|tokens| tokens.refresh.clone()).map_err(Failure::code);
        if seen.is_ok() && begun.is_replaced {
            observer.counters.count(Sometimes::Grace);
        }
        let checked = observer.model().refreshed(&begun, &seen);
        observer.check(checked);
        answer
    });
    answer.await
}

/// Believes an access token, under the eyes of the model.
async fn accepted(
    world: &Arc<World>,
    services: &Services,
    access: &str,
) -> Result<transtalk_core::app::Principal, Failure> {
    let begun = world.model().observe();
    let principal = authenticate(services, Some(access)).await?;
    let checked = world.model().accepted(principal.session, begun);
    world.check(checked);
    Ok(principal)
}

fn kept(services: &Services, tokens: &transtalk_core::app::Tokens) -> Tokens {
    let session = RefreshToken::decode(&tokens.refresh, services.signer.as_ref()).map(|token| token.session);
    Tokens {
        // The server just made it; one that it cannot read itself is of no session, and no check will pass.
        session: session.unwrap_or_else(|| SessionId::mint(services.entropy.as_ref())),
        access: format!("Bearer {}", tokens.access),
        refresh: tokens.refresh.clone(),
    }
}

/// Something that the counters look at while it is under way; a cancelled request ends it too.
enum UnderWay {
    Refresh(Arc<World>, String),
    LogOut(Arc<World>, SessionId),
}

impl UnderWay {
    fn refresh(world: &Arc<World>, session: SessionId, token: &str) -> Self {
        let mut model = world.model();
        let beside = model.refreshing.entry(token.to_owned()).or_default();
        *beside += 1;
        if *beside > 1 {
            world.counters.count(Sometimes::RefreshBesideRefresh);
        }
        if model.ending.contains_key(&session) {
            world.counters.count(Sometimes::RefreshBesideLogOut);
        }
        Self::Refresh(world.clone(), token.to_owned())
    }

    fn log_out(world: &Arc<World>, session: SessionId) -> Self {
        let mut model = world.model();
        *model.ending.entry(session).or_default() += 1;
        let prefix = session.to_string();
        if model.refreshing.keys().any(|token| token.starts_with(&prefix)) {
            world.counters.count(Sometimes::RefreshBesideLogOut);
        }
        Self::LogOut(world.clone(), session)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        match self {
            Self::Refresh(world, token) => leave(&mut world.model().refreshing, token),
            Self::LogOut(world, session) => leave(&mut world.model().ending, session),
        }
    }
}

fn leave<K: Ord>(under_way: &mut std::collections::BTreeMap<K, u64>, key: &K) {
    if let Some(count) = under_way.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            under_way.remove(key);
        }
    }
}

/// Where the provider sends everybody back.
const REDIRECT_URI: &str = "http://localhost/";
/// From where everybody comes.
const ADDRESS: &str = "192.0.2.1";
