//! Which algorithms there are: those that this server signs with, and those that it believes of others.

use std::fmt;
use std::str::FromStr;

use jsonwebtoken::Algorithm;
use jsonwebtoken::jwk::KeyAlgorithm;

/// How a JWS may be signed (RFC 7518 section 3.1, RFC 8037 section 3.1). Whatever is not here is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwsAlgorithm {
    /// `EdDSA` with Ed25519.
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// HMAC with SHA-256.
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256: only for tokens of others.
    Rs256,
    /// RSASSA-PSS with SHA-256: only for tokens of others.
    Ps256,
}

impl JwsAlgorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::EdDsa, Self::Es256, Self::Hs256, Self::Rs256, Self::Ps256];

    /// As it stands in the `alg` of a header or of a JWK.
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Es256 => "ES256",
            Self::Hs256 => "HS256",
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }

    /// The one of this name; letter case counts.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl From<JwsAlgorithm> for Algorithm {
    fn from(algorithm: JwsAlgorithm) -> Self {
        match algorithm {
            JwsAlgorithm::EdDsa => Self::EdDSA,
            JwsAlgorithm::Es256 => Self::ES256,
            JwsAlgorithm::Hs256 => Self::HS256,
            JwsAlgorithm::Rs256 => Self::RS256,
            JwsAlgorithm::Ps256 => Self::PS256,
        }
    }
}

impl From<JwsAlgorithm> for KeyAlgorithm {
    fn from(algorithm: JwsAlgorithm) -> Self {
        Algorithm::from(algorithm).into()
    }
}

/// What this server signs its own tokens with: `auth.algorithm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SigningAlgorithm {
    /// `EdDSA` with Ed25519, unless the configuration says otherwise.
    #[default]
    EdDsa,
    /// ECDSA with P-256 and SHA-256.
    Es256,
    /// HMAC with SHA-256: nobody but this server can verify its tokens.
    Hs256,
}

impl SigningAlgorithm {
    /// As it stands in the configuration, in a token's header and in the key file.
    pub fn name(self) -> &'static str {
        JwsAlgorithm::from(self).name()
    }
}

impl From<SigningAlgorithm> for JwsAlgorithm {
    fn from(algorithm: SigningAlgorithm) -> Self {
        match algorithm {
            SigningAlgorithm::EdDsa => Self::EdDsa,
            SigningAlgorithm::Es256 => Self::Es256,
            SigningAlgorithm::Hs256 => Self::Hs256,
        }
    }
}

impl FromStr for SigningAlgorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let all = [Self::EdDsa, Self::Es256, Self::Hs256];
        all.into_iter().find(|algorithm| algorithm.name() == name).ok_or(UnknownAlgorithm)
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The configuration names an algorithm that this server does not sign with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("auth.algorithm must be EdDSA, ES256 or HS256")]
pub struct UnknownAlgorithm;
