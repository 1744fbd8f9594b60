//! What must be true of connections: whose each is, by what right it goes on, and until when (S1, S2, S6).

use std::collections::BTreeMap;
use std::time::Duration;

use transtalk_core::auth::Session;
use transtalk_core::ports::Claims;
use transtalk_core::stomp::CloseCode;
use transtalk_core::{SessionId, Timestamp, UserId};

use crate::model::{Check, Violation, ensure};
use crate::options::RECHECKED_WITHIN;

/// All connections, by link.
#[derive(Default)]
pub(crate) struct Lines {
    by_link: BTreeMap<u64, Line>,
    /// How soon after its session's end a connection is silent.
    pub(crate) delta: Duration,
}

/// A connection, as its client opened it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// Whose.
    pub(crate) user: UserId,
    /// Of which session.
    pub(crate) session: SessionId,
    /// The end of the newest token that it was opened or, perhaps, renewed with.
    token_end: Timestamp,
    /// The end that the server is known to have taken over.
    known_end: Timestamp,
    /// That was by a frame.
    is_renewed: bool,
    /// The handshake had a cookie that may have made it a lease.
    pub(crate) may_be_lease: bool,
    /// Another user's token was sent.
    pub(crate) is_switched: bool,
}

impl Line {
    /// A connection that is about to be asked for. `row` is the session, and `cookie` the generation of its cookie, if one is sent.
    pub(crate) fn new(claims: &Claims, row: Option<&Session>, cookie: Option<(SessionId, u32)>) -> Self {
        // One that was replaced twice stays so.
        let honoured = |(session, generation): (SessionId, u32)| {
            session == claims.session && row.is_some_and(|row| generation + 2 > row.generation.0)
        };
        Self {
            user: claims.user,
            session: claims.session,
            token_end: claims.expires_at,
            known_end: claims.expires_at,
            is_renewed: false,
            may_be_lease: cookie.is_some_and(honoured),
            is_switched: false,
        }
    }

    /// When its right ends, as far as the model can know.
    fn end(&self, session_end: Option<Timestamp>, delta: Duration) -> Option<Timestamp> {
        let by_token = (!self.may_be_lease).then_some(self.token_end);
        by_token.into_iter().chain(session_end.map(|end| end.plus(delta))).min()
    }
}

impl Lines {
    /// A connection is about to be asked for.
    pub(crate) fn open(&mut self, link: u64, entry: Line) {
        self.by_link.insert(link, entry);
    }

    /// The connection.
    pub(crate) fn get(&self, link: u64) -> Option<&Line> {
        self.by_link.get(&link)
    }

    /// A frame that carries this token is sent. Says whether another user's makes it a forbidden one.
    pub(crate) fn carry(&mut self, link: u64, claims: &Claims, now: Timestamp) -> bool {
        let Some(entry) = self.by_link.get_mut(&link) else { return false };
        entry.is_switched |= claims.user != entry.user;
        let is_ours = claims.user == entry.user && claims.session == entry.session;
        if is_ours && now < entry.token_end && now < claims.expires_at {
            // If it comes in time.
            entry.token_end = entry.token_end.max(claims.expires_at);
        }
        entry.is_switched
    }

    /// A frame that carried this token is known to be done. Says whether it renewed the connection.
    pub(crate) fn carried(&mut self, link: u64, claims: &Claims) -> bool {
        let Some(entry) = self.by_link.get_mut(&link) else { return false };
        let is_ours = claims.user == entry.user && claims.session == entry.session;
        let renews = is_ours && !entry.may_be_lease && claims.expires_at > entry.known_end;
        if renews {
            (entry.known_end, entry.is_renewed) = (claims.expires_at, true);
        }
        renews
    }

    /// A server writes a message to a link. `told` is when somebody was told of the session's end, and `row` what the store says.
    pub(crate) fn written(&self, link: u64, now: Timestamp, told: Option<Timestamp>, row: Option<&Session>) -> Check {
        let Some(entry) = self.by_link.get(&link) else { return Ok(()) };
        ensure(entry.may_be_lease || now <= entry.token_end, "S1", || {
            format!("link {link} was written a message at {now}, after its token's end at {}", entry.token_end)
        })?;
        ensure(told.is_none_or(|end| now <= end.plus(self.delta)), "S1", || {
            format!("link {link} was written a message at {now}, after its session's end at {told:?}")
        })?;
        // Of an end that nobody was told, every node hears when it looks.
        let row_end = row.map(|row| row.revoked_at.unwrap_or(row.expires_at.min(row.absolute_expires_at)));
        let silent = row_end.map(|end| end.plus(Duration::from_millis(RECHECKED_WITHIN)));
        ensure(silent.is_none_or(|silent| now <= silent), "S1", || {
            format!("link {link} was written a message at {now}, and its session ended at {row_end:?}")
        })
    }

    /// Whether a message that was sent on this link may be stored.
    pub(crate) fn may_say(&self, link: u64, sent: Timestamp, told: Option<Timestamp>) -> bool {
        let Some(entry) = self.by_link.get(&link) else { return true };
        entry.end(told, self.delta).is_none_or(|end| sent <= end)
    }

    /// A client sees its connection closed. What the code says is true.
    pub(crate) fn closed(&self, link: u64, code: CloseCode, now: Timestamp, row: Option<&Session>) -> Check {
        let Some(entry) = self.by_link.get(&link) else { return Ok(()) };
        match code {
            CloseCode::TokenExpired => {
                let invariant = if entry.is_renewed { "S2" } else { "S1" };
                ensure(now >= entry.known_end, invariant, || {
                    format!("link {link} was closed for its token's end at {now}, which is at {}", entry.known_end)
                })
            }
            CloseCode::SessionEnded => {
                let is_over = row.is_none_or(|row| !row.is_live(now));
                ensure(is_over, "S1", || format!("link {link} was told that its session has ended, and it lives"))
            }
            CloseCode::AccountSwitched if !entry.is_switched => {
                Err(Violation("S6", format!("link {link} was closed for another user's token, and nobody sent one")))
            }
            _ => Ok(()),
        }
    }
}
