//! The rules of sign-in: sessions and their generations, the tokens that name them, the audit trail.

mod audit;
mod oauth;
mod session;
mod token;

pub use audit::{AuditEvent, AuditRecord};
pub use oauth::{SignInCookie, code_challenge};
pub use session::{Device, Generation, Lifetimes, Presented, Session};
pub use token::{RefreshToken, bearer};
