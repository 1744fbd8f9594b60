//! The use cases as requests over HTTP, each under the eyes of the model: what it was asked, what the store said then, what it
//! answered.

use std::sync::Arc;

use transtalk_core::app::{
    self, Principal, Returned, Services, authenticate, begin_sign_in, complete_sign_in, end_my_session, issue_ticket,
    list_sessions, log_out, log_out_everywhere, redeem_ticket, withdraw,
};
use transtalk_core::auth::{Device, RefreshToken, bearer};
use transtalk_core::ports::{Claims, TokenKind, TokenSigner};
use transtalk_core::{Failure, SessionId};

use crate::counters::{Act, Sometimes};
use crate::families::{Begun, Given};
use crate::model::Violation;
use crate::node::Node;
use crate::races::{Subject, UnderWay};
use crate::world::World;

/// Over which node a request goes, and how long somebody waits for its answer.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    /// The node.
    pub(crate) node: usize,
    /// In milliseconds.
    pub(crate) patience: u64,
    /// When a refresh is not answered, the client takes that for a refusal, as the first one does.
    pub(crate) gives_up: bool,
}

/// An access token, and what it says.
#[derive(Clone)]
pub(crate) struct Access {
    /// With `Bearer `.
    pub(crate) token: String,
    /// What it says.
    pub(crate) claims: Claims,
}

/// What a browser is given.
#[derive(Clone)]
pub(crate) struct Tokens {
    /// For the local storage.
    pub(crate) access: Access,
    /// For the cookie.
    pub(crate) refresh: String,
}

/// A code that the provider has given, on its way back.
#[derive(Clone)]
pub(crate) struct Callback {
    /// Whose account.
    pub(crate) account: &'static str,
    /// The code.
    pub(crate) code: String,
    /// The state, if the client returns it.
    pub(crate) state: Option<String>,
    /// The cookie of the browser that brings it.
    pub(crate) cookie: Option<String>,
    /// It must be refused: that is another browser.
    pub(crate) is_foreign: bool,
}

/// How sessions are ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Log-out.
    This,
    /// Log-out everywhere.
    Everywhere,
    /// One from another.
    Other(SessionId),
    /// For good.
    Withdrawal,
}

/// Asks for the link to the provider: address and cookie.
pub(crate) async fn begin(world: &Arc<World>, way: Way) -> Option<(String, String)> {
    let begun = Node::request(world, way.node, ("GET /auth", way.patience), |services| async move {
        let begun = begin_sign_in(&services, None, REDIRECT_URI, ADDRESS).await?;
        Ok((begun.url, begun.cookie))
    });
    begun.await?.ok()
}

/// Brings a code back.
pub(crate) async fn complete(
    world: &Arc<World>,
    person: &'static str,
    way: Way,
    callback: Callback,
) -> Option<Result<Tokens, Failure>> {
    let observer = world.clone();
    let completed = Node::request(world, way.node, ("GET /auth/token", way.patience), |services| async move {
        let Callback { account, code, state, cookie, is_foreign } = callback;
        let _under_way = UnderWay::begin(&observer, Act::Callback, Subject { person, session: None });
        let begun = observer.begun(None);
        let device = Device { name: "simulated".to_owned(), address: ADDRESS.to_owned() };
        let returned = Returned { code: &code, state: state.as_deref(), issuer: None };
        let done = complete_sign_in(&services, returned, cookie.as_deref(), device).await?;
        let is_first = observer.model().take(&code);
        if is_foreign || !is_first {
            let what = if is_foreign { "was taken in another browser" } else { "was taken twice" };
            observer.check(Err(Violation("oauth", format!("{code} {what}"))));
        }
        let tokens = read(&observer, &done.tokens)?;
        observer.signed_in(account, &begun, &tokens);
        Ok(tokens)
    });
    completed.await
}

/// Presents a refresh token.
pub(crate) async fn refresh(
    world: &Arc<World>,
    person: &'static str,
    way: Way,
    token: String,
) -> Option<Result<Tokens, Failure>> {
    let session = RefreshToken::decode(&token, world.signer.as_ref())?.session;
    let observer = world.clone();
    let answer = Node::request(world, way.node, ("GET /auth/refresh", way.patience), |services| async move {
        let under_way = UnderWay::begin(&observer, Act::Refresh, Subject { person, session: Some(session) });
        let (begun, lifetimes) = (observer.begun(Some(session)), observer.options.lifetimes());
        let begun = observer.model().families.refresh_begun(begun, (session, &token), &lifetimes);
        let answer = app::refresh(&services, Some(&token), ADDRESS).await;
        drop(under_way);
        let answer = answer.and_then(|tokens| read(&observer, &tokens));
        if answer.is_ok() && begun.is_replaced {
            observer.counters.count(Sometimes::Grace);
        }
        let seen = match &answer {
            Ok(tokens) => Ok(Given { refresh: &tokens.refresh, access: &tokens.access }),
            Err(failure) => Err(failure.code()),
        };
        let row = observer.row(session);
        let checked = {
            let mut model = observer.model();
            let now = (model.observe(), observer.now());
            model.families.refreshed(now, &begun, row.as_ref(), &seen, &lifetimes)
        };
        observer.check(checked);
        answer
    });
    answer.await
}

/// Believes an access token.
pub(crate) async fn accepted(world: &Arc<World>, services: &Services, access: &str) -> Result<Principal, Failure> {
    let claims = world.signer.verify(TokenKind::Access, bearer(access)).ok();
    let begun = world.begun(claims.as_ref().map(|claims| claims.session));
    let principal = authenticate(services, Some(access)).await?;
    believed(world, &begun, claims.as_ref());
    Ok(principal)
}

/// Uses a ticket up.
pub(crate) async fn redeemed(world: &Arc<World>, services: &Services, ticket: &str) -> Result<Principal, Failure> {
    let claims = world.signer.verify(TokenKind::WsTicket, ticket).ok();
    let begun = world.begun(claims.as_ref().map(|claims| claims.session));
    let principal = redeem_ticket(services, ticket).await?;
    if !world.model().take(ticket) {
        world.check(Err(Violation("ticket", "a ticket was taken twice".to_owned())));
    }
    believed(world, &begun, claims.as_ref());
    Ok(principal)
}

fn believed(world: &World, begun: &Begun, claims: Option<&Claims>) {
    let checked = {
        let mut model = world.model();
        let now = (model.observe(), world.now());
        match claims {
            Some(claims) => model.families.accepted(now, begun, claims, false),
            None => Err(Violation("T8", "a token of another kind was taken".to_owned())),
        }
    };
    world.check(checked);
}

/// Ends a session, or all.
pub(crate) async fn end(
    world: &Arc<World>,
    person: &'static str,
    way: Way,
    (access, refresh): (Access, Option<String>),
    ending: Ending,
) -> Option<Result<(), Failure>> {
    let observer = world.clone();
    let ended = Node::request(world, way.node, (ending.what(), way.patience), |services| async move {
        let (user, own) = (access.claims.user, access.claims.session);
        let session = if let Ending::Other(other) = ending { other } else { own };
        let _under_way = UnderWay::begin(&observer, Act::LogOut, Subject { person, session: Some(session) });
        let begun = observer.model().observe();
        match ending {
            Ending::This => {
                log_out(&services, Some(&access.token), refresh.as_deref(), ADDRESS).await?;
                let by_cookie = refresh.and_then(|token| RefreshToken::decode(&token, observer.signer.as_ref()));
                let now = observer.moment();
                let mut model = observer.model();
                model.families.ended(now, own);
                if let Some(token) = by_cookie {
                    model.families.ended(now, token.session);
                }
            }
            Ending::Everywhere => {
                log_out_everywhere(&services, Some(&access.token), None, ADDRESS).await?;
                let now = observer.moment();
                observer.model().families.all_ended(now, begun, user);
                observer.counters.count(Sometimes::LogOutEverywhere);
            }
            Ending::Other(other) => {
                let principal = accepted(&observer, &services, &access.token).await?;
                end_my_session(&services, &principal, other, ADDRESS).await?;
                let now = observer.moment();
                observer.model().families.ended(now, other);
                observer.counters.count(Sometimes::OtherSessionEnded);
            }
            Ending::Withdrawal => {
                let principal = accepted(&observer, &services, &access.token).await?;
                observer.model().leaving.insert(user);
                withdraw(&services, &principal, ADDRESS).await?;
                let now = observer.moment();
                observer.model().families.withdrawn(now, user);
                observer.counters.count(Sometimes::Withdrawn);
            }
        }
        observer.executor.tell("session", format_args!("{session} has ended"));
        Ok(())
    });
    ended.await
}

impl Ending {
    fn what(self) -> &'static str {
        match self {
            Self::This => "POST /auth/logout",
            Self::Everywhere => "POST /auth/logout?everywhere=true",
            Self::Other(_) => "DELETE /sessions/{id}",
            Self::Withdrawal => "DELETE /auth/withdraw",
        }
    }
}

/// The live sessions of somebody. None of them was known to have ended.
pub(crate) async fn sessions(
    world: &Arc<World>,
    services: &Services,
    access: &Access,
) -> Result<Vec<SessionId>, Failure> {
    let asked = world.now();
    let principal = accepted(world, services, &access.token).await?;
    let listed = list_sessions(services, &principal).await?;
    for session in &listed {
        let told = world.model().families.end_of(session.id).filter(|end| *end < asked);
        if session.user != principal.user || told.is_some() {
            let what = format!("session {} is listed to {}, and ended at {told:?}", session.id, principal.user);
            world.check(Err(Violation("T6", what)));
        }
    }
    Ok(listed.into_iter().map(|session| session.id).collect())
}

/// Buys a ticket.
pub(crate) async fn ticket(world: &Arc<World>, services: &Services, access: &Access) -> Result<String, Failure> {
    let principal = accepted(world, services, &access.token).await?;
    let ticket = issue_ticket(services, &principal);
    if let Ok(claims) = world.signer.verify(TokenKind::WsTicket, &ticket) {
        let fresh = world.model().families.fresh(&claims.jti);
        world.check(fresh);
    }
    Ok(ticket)
}

/// What the server gave, as a client keeps it. One that the server cannot read itself is an outage to this client.
fn read(world: &World, tokens: &app::Tokens) -> Result<Tokens, Failure> {
    let claims = world.signer.verify(TokenKind::Access, &tokens.access);
    let claims = claims.map_err(|error| Failure::Unavailable { part: "signer", source: Box::new(error) })?;
    let access = Access { token: format!("Bearer {}", tokens.access), claims };
    Ok(Tokens { access, refresh: tokens.refresh.clone() })
}

/// Where the provider sends everybody back.
const REDIRECT_URI: &str = "http://localhost/";
/// From where everybody comes.
pub(crate) const ADDRESS: &str = "192.0.2.1";
