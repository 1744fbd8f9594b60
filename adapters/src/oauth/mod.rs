//! Identity providers: who people are, according to others. Each normalizes its answers to a
//! [`Profile`](transtalk_core::ports::Profile); none of them stores an account.
//!
//! A file for each provider. What they share: `http` asks, `token_endpoint` exchanges codes, `discovery` finds endpoints and keys,
//! `id_token` believes or does not, `profile` makes one profile of whatever came.

mod authorization;
mod dev;
mod discovery;
mod fresh;
mod github;
mod google;
mod http;
mod id_token;
mod kakao;
mod naver;
mod oidc;
mod profile;
mod settings;
mod token_endpoint;

use std::sync::Arc;

use transtalk_core::ports::{Clock, IdentityProvider};

pub use dev::DevProvider;
pub use settings::{Kind, ProviderSettings, SettingsError};

/// The provider that the configuration calls by this name. Nothing is asked of it yet.
pub fn provider(
    name: &str,
    settings: &ProviderSettings,
    clock: Arc<dyn Clock>,
) -> Result<Arc<dyn IdentityProvider>, SettingsError> {
    let checked = settings::Checked::new(name, settings)?;
    Ok(match settings.kind {
        Kind::Google => Arc::new(google::new(checked, clock)?),
        Kind::Kakao => Arc::new(kakao::Kakao::new(checked, clock)?),
        Kind::Naver => Arc::new(naver::Naver::new(checked)?),
        Kind::Github => Arc::new(github::Github::new(checked)?),
        Kind::Oidc => Arc::new(oidc::Oidc::new(checked, clock)?),
    })
}
