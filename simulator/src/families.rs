//! What must be true of sessions and their tokens (T1 to T13), as simply as it can be said: which token led to which, what was
//! used, and what somebody was told of the end.

use std::collections::{BTreeMap, BTreeSet};

use transtalk_core::auth::{Lifetimes, Session};
use transtalk_core::ports::Claims;
use transtalk_core::{ErrorCode, SessionId, Timestamp, UserId};

use crate::model::{Check, Order, Violation, ensure};
use crate::observed::Access;

/// All sessions that anybody ever had a token of.
#[derive(Default)]
pub(crate) struct Families {
    pub(crate) by_id: BTreeMap<SessionId, Family>,
    /// Of all access tokens and tickets.
    jtis: BTreeSet<String>,
    /// Users who were told that they have left.
    left: BTreeMap<UserId, Order>,
}

/// One session and its refresh tokens.
#[derive(Default)]
pub(crate) struct Family {
    /// Whose, and since when; unknown while the sign-in is under way.
    signed_in: Option<(UserId, Order)>,
    /// Where it ends whatever happens.
    absolute_end: Option<Timestamp>,
    issued: BTreeSet<String>,
    children: BTreeMap<String, String>,
    /// When each was first given to somebody.
    shown_at: BTreeMap<String, Timestamp>,
    /// The generations of which an access token was taken, and when it first had been.
    used: BTreeMap<u32, Order>,
    /// Refresh tokens whose refresh was begun and not answered.
    unanswered: BTreeSet<String>,
    /// What somebody was told.
    pub(crate) end: Option<End>,
    /// The newest tokens: refresh and access.
    pub(crate) newest: Option<(String, String)>,
}

/// Somebody was told that a session is over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct End {
    order: Order,
    /// When.
    pub(crate) at: Timestamp,
    /// What did it.
    pub(crate) by: Cause,
}

/// What ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Log-out, or one session ended from another.
    LogOut,
    /// Log-out everywhere, or withdrawal.
    All,
    /// An old refresh token came back.
    Reuse,
    /// It was found to be over.
    Found,
}

/// The moment in which something begins, and what the store said of the session.
pub(crate) struct Begun {
    pub(crate) order: Order,
    pub(crate) at: Timestamp,
    pub(crate) row: Option<Session>,
}

/// A refresh that has begun.
pub(crate) struct Refresh {
    session: SessionId,
    parent: String,
    begun: Begun,
    /// The token had a child by then.
    pub(crate) is_replaced: bool,
    /// So had the child.
    is_stale: bool,
    /// The grace window was over, and the child had been used.
    is_late: bool,
    /// What is broken if it is refused: it may have been presented before without an answer.
    lost: &'static str,
}

/// What a sign-in or a refresh gave.
pub(crate) struct Given<'a> {
    pub(crate) refresh: &'a str,
    pub(crate) access: &'a Access,
}

impl Families {
    /// A sign-in was answered.
    pub(crate) fn signed_in(&mut self, now: Order, begun: &Begun, row: &Session, given: &Given<'_>) -> Check {
        let user = given.access.claims.user;
        ensure(self.left.get(&user).is_none_or(|left| *left > begun.order), "T13", || {
            format!("user {user} had left before, and was signed in")
        })?;
        self.fresh(&given.access.claims.jti)?;
        let family = self.by_id.entry(row.id).or_default();
        family.signed_in = Some((user, now));
        family.absolute_end = Some(row.absolute_expires_at);
        family.issue(given, row.rotated_at);
        Ok(())
    }

    /// A refresh begins.
    pub(crate) fn refresh_begun(
        &mut self,
        begun: Begun,
        (session, token): (SessionId, &str),
        lifetimes: &Lifetimes,
    ) -> Refresh {
        let family = self.by_id.entry(session).or_default();
        let child = family.children.get(token);
        let is_stale = child.is_some_and(|child| family.children.contains_key(child));
        let is_late = child.is_some_and(|child| {
            let is_over = family.shown_at.get(child).is_some_and(|shown| begun.at.since(*shown) > lifetimes.grace);
            let was_used = family.used.get(&generation(child)).is_some_and(|used| *used < begun.order);
            is_over && was_used
        });
        let is_replaced = child.is_some();
        let lost = if family.unanswered.insert(token.to_owned()) { "T10" } else { "T12" };
        Refresh { session, parent: token.to_owned(), begun, is_replaced, is_stale, is_late, lost }
    }

    /// A refresh was answered; `row` is what the store says now.
    pub(crate) fn refreshed(
        &mut self,
        (now, at): (Order, Timestamp),
        refresh: &Refresh,
        row: Option<&Session>,
        answer: &Result<Given<'_>, ErrorCode>,
        lifetimes: &Lifetimes,
    ) -> Check {
        let Refresh { session, parent, begun, is_stale, is_late, lost, .. } = refresh;
        let session = *session;
        let family = self.by_id.entry(session).or_default();
        if !matches!(answer, Err(ErrorCode::Unavailable | ErrorCode::TooManyRequests)) {
            family.unanswered.remove(parent);
        }
        let given = match answer {
            Err(ErrorCode::RefreshTokenReused) => {
                let row = row.ok_or_else(|| Violation("T7", format!("session {session} is forgotten")))?;
                ensure(row.revoked_at.is_some(), "T3", || format!("reuse was found, and session {session} lives"))?;
                ensure(is_reuse(row, generation(parent), at, lifetimes), lost, || {
                    format!(
                        "{} was taken for stolen, and was not: the current one is {}",
                        named(parent),
                        row.generation
                    )
                })?;
                family.told((now, at), Cause::Reuse);
                return Ok(());
            }
            Err(ErrorCode::SessionEnded) => {
                let is_over = row.is_none_or(|row| !row.is_live(at));
                ensure(is_over, lost, || format!("session {session} is alive, and was told to have ended"))?;
                family.told((now, at), Cause::Found);
                return Ok(());
            }
            Err(ErrorCode::RefreshTokenInvalid | ErrorCode::RefreshTokenMissing) => {
                return Err(Violation("T7", format!("session {session} is forgotten, and {} refused", named(parent))));
            }
            Err(_) => return Ok(()),
            Ok(given) => given,
        };
        if let Some(end) = family.end.filter(|end| end.order < begun.order) {
            let invariant = match end.by {
                Cause::LogOut => "T5",
                Cause::All => "T13",
                Cause::Reuse => "T3",
                Cause::Found => "T4",
            };
            return Err(Violation(invariant, format!("session {session} had ended ({:?}), and was refreshed", end.by)));
        }
        let was_revoked = begun.row.as_ref().is_some_and(|row| row.revoked_at.is_some());
        ensure(!was_revoked, "T4", || format!("session {session} was revoked, and was refreshed"))?;
        ensure(!is_stale, "T3", || {
            format!("session {session}: a refresh token that was replaced twice was taken again")
        })?;
        ensure(!is_late, "T3", || {
            format!("session {session}: a refresh token was taken again whose successor is in use, after grace")
        })?;
        self.rules(refresh, row)?;
        self.fresh(&given.access.claims.jti)?;
        let family = self.by_id.entry(session).or_default();
        let child = given.refresh;
        let known = family.children.entry(parent.clone()).or_insert_with(|| child.to_owned());
        ensure(known == child, "T2", || {
            format!("one refresh token has two children, {} and {}", named(known), named(child))
        })?;
        family.issue(given, at);
        family.check(session)
    }

    /// T8 and T9 of a refresh that was granted.
    fn rules(&self, Refresh { session, begun, .. }: &Refresh, row: Option<&Session>) -> Check {
        let absolute = self.by_id.get(session).and_then(|family| family.absolute_end);
        let is_moved =
            row.zip(absolute).is_some_and(|(row, end)| row.absolute_expires_at != end || row.expires_at > end);
        ensure(!is_moved, "T9", || format!("a refresh has moved the end of session {session}"))?;
        ensure(absolute.is_none_or(|end| begun.at < end), "T9", || {
            format!("session {session} was refreshed after its absolute end")
        })?;
        // A rotation that was decided in time may be written a little later.
        let dead = begun.row.as_ref().is_some_and(|row| begun.at > row.expires_at.plus(WRITTEN_WITHIN));
        ensure(!dead, "T8", || format!("session {session} was refreshed after its refresh token's end"))
    }

    /// An access token of this session was taken for good, or a ticket.
    pub(crate) fn accepted(
        &mut self,
        (now, at): (Order, Timestamp),
        begun: &Begun,
        claims: &Claims,
        is_leased: bool,
    ) -> Check {
        let Claims { user, session, generation, .. } = *claims;
        ensure(is_leased || begun.at < claims.expires_at, "T8", || {
            format!("a token of session {session} was taken at {}, and ended at {}", begun.at, claims.expires_at)
        })?;
        ensure(claims.issued_at <= begun.at.plus(transtalk_core::limits::TOKEN_LEEWAY), "T8", || {
            format!("a token of session {session} was taken before its time")
        })?;
        ensure(self.left.get(&user).is_none_or(|left| *left > begun.order), "T13", || {
            format!("user {user} had left before, and a token of session {session} was taken")
        })?;
        let family = self.by_id.entry(session).or_default();
        if let Some(end) = family.end.filter(|end| end.order < begun.order) {
            let invariant = match end.by {
                Cause::LogOut | Cause::Found => "T6",
                Cause::All => "T13",
                Cause::Reuse => "T3",
            };
            return Err(Violation(invariant, format!("session {session} had ended ({:?}), a token was taken", end.by)));
        }
        let was_revoked = begun.row.as_ref().is_some_and(|row| row.revoked_at.is_some());
        ensure(!was_revoked, "T7", || format!("session {session} was revoked, and a token of it was taken"))?;
        // Under a lease a token that ends meanwhile proves nothing.
        if at < claims.expires_at {
            family.used.entry(generation.0).or_insert(now);
        }
        Ok(())
    }

    /// Somebody was told that a session has ended.
    pub(crate) fn ended(&mut self, now: (Order, Timestamp), session: SessionId) {
        self.by_id.entry(session).or_default().told(now, Cause::LogOut);
    }

    /// Somebody was told that all sessions of a user have ended: those of which somebody had tokens when that was begun.
    pub(crate) fn all_ended(&mut self, now: (Order, Timestamp), begun: Order, user: UserId) {
        let had = |family: &&mut Family| family.signed_in.is_some_and(|(of, since)| of == user && since < begun);
        self.by_id.values_mut().filter(had).for_each(|family| family.told(now, Cause::All));
    }

    /// Somebody was told that they have left.
    pub(crate) fn withdrawn(&mut self, now: (Order, Timestamp), user: UserId) {
        self.left.entry(user).or_insert(now.0);
        self.all_ended(now, now.0, user);
    }

    /// How many were told that they have left.
    pub(crate) fn left(&self) -> usize {
        self.left.len()
    }

    /// Whether this user was told that they have left.
    pub(crate) fn has_left(&self, user: UserId) -> bool {
        self.left.contains_key(&user)
    }

    /// T11.
    pub(crate) fn fresh(&mut self, jti: &str) -> Check {
        ensure(self.jtis.insert(jti.to_owned()), "T11", || format!("two tokens have the jti {jti}"))
    }

    /// When somebody was told of this session's end.
    pub(crate) fn end_of(&self, session: SessionId) -> Option<Timestamp> {
        self.by_id.get(&session)?.end.map(|end| end.at)
    }

    /// When somebody was told that they have ended it. Of one that came to its end by itself, no node hears before it looks.
    pub(crate) fn ended_at(&self, session: SessionId) -> Option<Timestamp> {
        let end = self.by_id.get(&session)?.end;
        end.filter(|end| end.by != Cause::Found).map(|end| end.at)
    }

    /// A refresh token of one of these sessions that was replaced at least twice.
    pub(crate) fn stale_token(&self, of: &BTreeSet<SessionId>) -> Option<String> {
        let live = self.by_id.iter().filter(|(session, family)| of.contains(session) && family.end.is_none());
        live.flat_map(|(_, family)| {
            family
                .children
                .iter()
                .filter(|(_, child)| family.children.contains_key(*child))
                .map(|(token, _)| token.clone())
        })
        .next()
    }
}

impl Family {
    /// T1: at most one token that was not replaced.
    pub(crate) fn check(&self, session: SessionId) -> Check {
        let leaves = self.issued.iter().filter(|token| !self.children.contains_key(*token)).count();
        ensure(leaves <= 1, "T1", || format!("session {session} has {leaves} live refresh tokens"))
    }

    fn issue(&mut self, given: &Given<'_>, at: Timestamp) {
        self.issued.insert(given.refresh.to_owned());
        self.shown_at.entry(given.refresh.to_owned()).or_insert(at);
        self.newest = Some((given.refresh.to_owned(), given.access.token.clone()));
    }

    fn told(&mut self, (order, at): (Order, Timestamp), by: Cause) {
        self.end.get_or_insert(End { order, at, by });
    }
}

/// Whether a session's row speaks for reuse of this generation, somewhen up to now: a generation lies between, or the next one is
/// in use and grace is over.
fn is_reuse(row: &Session, presented: u32, now: Timestamp, lifetimes: &Lifetimes) -> bool {
    let (current, used) = (row.generation.0, row.acknowledged.0);
    let is_after_grace = lifetimes.grace.is_zero() || now.since(row.rotated_at) > lifetimes.grace;
    presented > current || presented + 1 < current || (presented + 1 == current && used >= current && is_after_grace)
}

/// Which refresh token of its session it is.
fn generation(token: &str) -> u32 {
    token.split('.').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// A refresh token without its code.
fn named(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(named, _)| named)
}

/// The slowest call of a port.
const WRITTEN_WITHIN: std::time::Duration = std::time::Duration::from_secs(9);
