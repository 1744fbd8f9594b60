//! Identity providers: who people are, according to others. Each normalizes its answers to a
//! [`Profile`](transtalk_core::ports::Profile); none of them stores an account.

mod dev;

pub use dev::DevProvider;
