//! The rules of sign-in: sessions and their generations, the tokens that name them, the audit trail.

mod audit;
mod entitlement;
mod oauth;
mod session;
mod token;

pub use audit::{AuditEvent, AuditRecord};
pub use entitlement::{Carried, Entitlement};
pub use oauth::{SignInCookie, code_challenge};
pub use session::{Device, Generation, Lifetimes, Presented, Session};
pub use token::{RefreshToken, bearer};
