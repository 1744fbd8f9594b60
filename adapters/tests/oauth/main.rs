//! Identity providers against a server that answers as their documentation says, and as it does not.

mod discovery;
mod every_provider;
mod github;
mod google;
mod id_token;
mod kakao;
mod naver;
mod oidc;
mod profile;
mod settings;
mod support;
