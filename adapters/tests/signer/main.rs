//! The signer and its key file: what it signs it believes, and nothing else.

mod codes;
mod key_file;
mod rotation;
mod rules;
mod support;
mod tokens;
