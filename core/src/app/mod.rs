//! Use cases: what happens, in which order, when somebody wants something. They know ports and rules, and nothing of HTTP or sockets.
//!
//! Each is an async function over [`Services`]. The order of effects is theirs: *store, then publish, then acknowledge what is only told*.
//! [`Connection`] runs the STOMP session over them; [`background`] is the work that nobody waits for.

mod authenticate;
mod background;
mod connection;
mod deliver;
mod ending;
mod history;
mod limit;
mod log_out;
mod my_sessions;
mod read;
mod refresh;
mod refusals;
mod rooms;
mod send_message;
mod sign_in;
mod translate_message;
mod waiters;
mod withdraw;

pub use authenticate::{Principal, authenticate, issue_ticket, redeem_ticket};
pub use background::{Loop, Pipeline, background, recover};
pub use connection::{Connection, Done, Handshake, Work};
pub use history::{HistoryQuery, history};
pub use limit::{Limited, Limits, Payer, spend};
pub use log_out::{log_out, log_out_everywhere};
pub use my_sessions::{audit_trail, end_my_session, list_sessions};
pub use read::mark_read;
pub use refresh::refresh;
pub use rooms::{list_rooms, open_room};
pub use send_message::{Draft, send_messages};
pub use sign_in::{Begun, Returned, SignedIn, Tokens, begin_sign_in, complete_sign_in, introduce};
pub use withdraw::withdraw;

use std::sync::Arc;
use std::time::Duration;

use crate::auth::Lifetimes;
use crate::chat::delivery::Hub;
use crate::error::{ErrorCode, Failure};
use crate::id::UserId;
use crate::ports::{
    Audit, Bus, Clock, Cursors, Entropy, Grants, IdentityProvider, Messages, Presence, RateLimits, Rooms, Sessions,
    SingleUse, Timer, TokenSigner, Translator, Users,
};
use crate::stomp::SessionSettings;
use crate::translate::Language;
use crate::user::User;

/// Everything that the use cases need, chosen once when the server starts.
pub struct Services {
    /// Accounts.
    pub users: Arc<dyn Users>,
    /// Rooms and membership.
    pub rooms: Arc<dyn Rooms>,
    /// Messages.
    pub messages: Arc<dyn Messages>,
    /// Sessions.
    pub sessions: Arc<dyn Sessions>,
    /// What may be used once.
    pub single_use: Arc<dyn SingleUse>,
    /// The audit trail.
    pub audit: Arc<dyn Audit>,
    /// What providers granted.
    pub grants: Arc<dyn Grants>,
    /// Where ended connections had got to.
    pub cursors: Arc<dyn Cursors>,
    /// Who is connected.
    pub presence: Arc<dyn Presence>,
    /// Shared allowances.
    pub rate_limits: Arc<dyn RateLimits>,
    /// Events to every node.
    pub bus: Arc<dyn Bus>,
    /// The translation engines.
    pub translator: Arc<dyn Translator>,
    /// Who people are: the providers, of which the first is taken when none is named.
    pub identities: Vec<Arc<dyn IdentityProvider>>,
    /// Tokens.
    pub signer: Arc<dyn TokenSigner>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Waiting.
    pub timer: Arc<dyn Timer>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// What may be set.
    pub settings: Settings,
    /// Live subscriptions of this node.
    pub hub: Hub,
    /// Work that is under way on this node.
    pub pipeline: Pipeline,
}

/// What may be set.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The languages that are offered.
    pub languages: Vec<Language>,
    /// How long the parts of a session live.
    pub lifetimes: Lifetimes,
    /// How often somebody may do what costs us something.
    pub limits: Limits,
    /// How long a message's first publication waits for its translation.
    pub hold: Duration,
    /// The protocol's settings.
    pub stomp: SessionSettings,
}

impl Default for Settings {
    fn default() -> Self {
        // These five are tags by the grammar, so none is dropped.
        let languages = ["ko", "es", "ja", "en-us", "zh"].iter().filter_map(|tag| Language::new(tag).ok()).collect();
        Self {
            languages,
            lifetimes: Lifetimes::default(),
            limits: Limits::default(),
            hold: Duration::from_millis(800),
            stomp: SessionSettings::default(),
        }
    }
}

impl Services {
    /// The language by its tag, if it is offered.
    pub fn language(&self, tag: &str) -> Result<Language, Failure> {
        let language = Language::new(tag).map_err(|_| ErrorCode::UnknownLanguage)?;
        if self.settings.languages.contains(&language) { Ok(language) } else { Err(ErrorCode::UnknownLanguage.into()) }
    }

    /// The identity provider of this name, or the first one.
    pub fn provider(&self, name: Option<&str>) -> Option<&Arc<dyn IdentityProvider>> {
        match name {
            Some(name) => self.identities.iter().find(|provider| provider.name() == name),
            None => self.identities.first(),
        }
    }

    /// The account of somebody who has signed in.
    pub async fn user(&self, id: UserId) -> Result<User, Failure> {
        let user = self.users.find(id).await?;
        user.filter(|user| user.withdrawn_at.is_none()).ok_or(Failure::Refused(ErrorCode::SessionEnded))
    }
}
