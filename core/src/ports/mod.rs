//! What the core needs from the world, one file a port: a trait, its error, and what it promises.
//!
//! A doc comment here states a guarantee, never a technology. Absence is `Ok(None)`; an error means
//! "could not answer". One method is one atomic act. The core mints ids and times; adapters keep and return them.
//! The contract suites are in `contract`, behind the feature of that name.

mod audit;
mod bus;
mod clock;
mod cursors;
mod grants;
mod identity;
mod messages;
mod presence;
mod rate_limits;
mod rooms;
mod sessions;
mod signer;
mod single_use;
mod translator;
mod users;

pub use audit::Audit;
pub use bus::{Bus, BusError, Event, Events, Publication};
pub use clock::{Clock, Entropy, Timer};
pub use cursors::{Cursor, Cursors};
pub use grants::{Grant, Grants};
pub use identity::{
    Account, AuthorizationEndpoint, AuthorizationRefused, AuthorizationRequest, Authorized, CodeExchange,
    IdentityError, IdentityProvider, Profile, ProviderToken,
};
pub use messages::{Appended, Changed, Head, Messages, MessagesError, Page, Unread};
pub use presence::{Presence, PresenceError};
pub use rate_limits::{Allowance, RateLimitError, RateLimits, Taken};
pub use rooms::{Opened, RoomPage, RoomQuery, Rooms};
pub use sessions::{Revocation, Rotated, Rotation, Sessions};
pub use signer::{Claims, MacPurpose, SignerError, TokenKind, TokenSigner};
pub use single_use::{Consumed, SingleUse};
pub use translator::{Translated, TranslationRequest, Translator, TranslatorError};
pub use users::Users;

/// A cause that only the log is told.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store could not answer. The act was not done, or, after a crash of the store, perhaps done: ask again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Out of reach, too slow, full or broken.
    #[error("{store} is not available")]
    Unavailable {
        /// Which store.
        store: &'static str,
        /// What it said.
        #[source]
        source: BoxError,
    },
}
