//! Exchanging a code, and giving back what it was exchanged for (RFC 6749 sections 4.1.3 and 5, RFC 7009).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{RequestBuilder, StatusCode, Url, header};
use serde::{Deserialize, Serialize};
use transtalk_core::ports::ProviderToken;
use url::form_urlencoded;

use super::http::{Answer, Failure, Http, Trouble};
use super::settings::Credentials;

/// How this server shows a provider its secret (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// In a header.
    Basic,
    /// In the form.
    Post,
}

/// What a provider says when it does not do what it was asked (RFC 6749 section 5.2).
#[derive(Deserialize)]
pub(super) struct Refusal {
    pub(super) error: String,
    #[serde(default)]
    pub(super) error_description: Option<String>,
    /// Kakao's own, such as `KOE320`.
    #[serde(default)]
    pub(super) error_code: Option<String>,
}

impl Refusal {
    /// What may be written down. Descriptions repeat codes and tokens, so they may not.
    pub(super) fn code(&self) -> String {
        let is_word = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let word = |text: &str| (1..=CODE_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_word);
        let number = |text: &&str| {
            text.len() == 6 && text.starts_with("KOE") && text.bytes().skip(3).all(|b| b.is_ascii_digit())
        };
        let error = if word(&self.error) { &self.error } else { "an error code that is none" };
        match self.error_code.as_deref().filter(number) {
            Some(number) => format!("{error} ({number})"),
            None => error.to_owned(),
        }
    }
}

/// Whether a refusal says that the code is not good. Otherwise it says that this server is not configured well.
pub(super) type IsAboutTheCode = fn(&Refusal) -> bool;

/// As the standard has it.
pub(super) fn invalid_grant(refusal: &Refusal) -> bool {
    refusal.error == "invalid_grant"
}

/// What a code was exchanged for.
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: Option<String>,
    pub(super) id_token: Option<String>,
}

/// A provider's token endpoint.
pub(super) struct TokenEndpoint<'a> {
    pub(super) http: &'a Http,
    pub(super) url: &'a Url,
    pub(super) credentials: &'a Credentials,
    pub(super) is_about_the_code: IsAboutTheCode,
}

impl TokenEndpoint<'_> {
    /// Exchanges a grant for tokens.
    pub(super) async fn ask(&self, scheme: Scheme, form: &[(&str, &str)]) -> Result<Tokens, Failure> {
        let answer = self.http.send(authenticated(self.http, self.url, self.credentials, scheme, form)).await?;
        // GitHub and Naver refuse with status 200.
        if let Ok(refusal) = answer.json::<Refusal>() {
            return Err(self.refused(&refusal));
        }
        if answer.status != StatusCode::OK {
            return Err(Trouble::Status(answer.status.as_u16()).into());
        }
        let body: TokenBody = answer.json()?;
        let access = body.access.filter(|token| is_token(token)).ok_or(Trouble::Lacks("access token"))?;
        Ok(Tokens { access, refresh: body.refresh.filter(|token| is_token(token)), id_token: body.id })
    }

    fn refused(&self, refusal: &Refusal) -> Failure {
        if (self.is_about_the_code)(refusal) {
            Failure::Refused(refusal.code())
        } else {
            Trouble::Code(refusal.code()).into()
        }
    }
}

/// Gives one token back (RFC 7009 section 2). One that is unknown, expired or given back already is worthless.
pub(super) async fn revoke(
    http: &Http,
    url: &Url,
    credentials: &Credentials,
    scheme: Scheme,
    grant: &Grant,
) -> Result<(), Failure> {
    let Some((token, hint)) = grant.token() else { return Ok(()) };
    let form = [("token", token), ("token_type_hint", hint)];
    let answer = http.send(authenticated(http, url, credentials, scheme, &form)).await?;
    if answer.status.is_success() {
        return Ok(());
    }
    Err(match answer.json::<Refusal>() {
        Ok(refusal) if WORTHLESS.contains(&refusal.error.as_str()) => Failure::Refused(refusal.code()),
        Ok(refusal) => Trouble::Code(refusal.code()).into(),
        Err(_) => status(&answer),
    })
}

/// What is kept to be given back. Nothing is kept that is not needed for it.
#[derive(Serialize, Deserialize)]
pub(super) struct Grant {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) access: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) refresh: Option<String>,
}

impl Grant {
    /// The refresh token, which lives longer; the access token if there is none.
    pub(super) fn lasting(tokens: Tokens) -> Self {
        match tokens.refresh {
            Some(refresh) => Self { access: None, refresh: Some(refresh) },
            None => Self { access: Some(tokens.access), refresh: None },
        }
    }

    /// As it is kept.
    pub(super) fn sealed(&self) -> Option<ProviderToken> {
        serde_json::to_string(self).ok().map(ProviderToken)
    }

    /// As it was kept.
    pub(super) fn opened(token: &ProviderToken) -> Result<Self, Failure> {
        serde_json::from_str(&token.0).map_err(|_| Failure::Refused("a kept grant that is none".to_owned()))
    }

    fn token(&self) -> Option<(&str, &'static str)> {
        let refresh = self.refresh.as_deref().map(|token| (token, "refresh_token"));
        refresh.or_else(|| self.access.as_deref().map(|token| (token, "access_token")))
    }
}

/// A refusal that gives no reason.
pub(super) fn status(answer: &Answer) -> Failure {
    Trouble::Status(answer.status.as_u16()).into()
}

fn authenticated(
    http: &Http,
    url: &Url,
    credentials: &Credentials,
    scheme: Scheme,
    form: &[(&str, &str)],
) -> RequestBuilder {
    let (client_id, secret) = (credentials.client_id.as_str(), credentials.secret.as_str());
    let mut pairs = form.to_vec();
    match scheme {
        Scheme::Basic if !secret.is_empty() => {
            return http.post(url, &pairs).header(header::AUTHORIZATION, basic(credentials));
        }
        Scheme::Basic | Scheme::Post => pairs.push(("client_id", client_id)),
    }
    if !secret.is_empty() {
        pairs.push(("client_secret", secret));
    }
    http.post(url, &pairs)
}

/// RFC 6749 section 2.3.1: both halves "encoded using the "application/x-www-form-urlencoded" encoding algorithm".
fn basic(credentials: &Credentials) -> String {
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let pair = format!("{}:{}", encode(&credentials.client_id), encode(&credentials.secret));
    format!("Basic {}", STANDARD.encode(pair))
}

fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[derive(Deserialize)]
struct TokenBody {
    #[serde(default, rename = "access_token")]
    access: Option<String>,
    #[serde(default, rename = "refresh_token")]
    refresh: Option<String>,
    #[serde(default, rename = "id_token")]
    id: Option<String>,
}

/// `unsupported_token_type`: "The authorization server does not support the revocation of the presented token type" (RFC 7009 section
/// 2.2.1). `invalid_token` is Google's word for one that is expired or revoked.
const WORTHLESS: [&str; 3] = ["invalid_token", "unsupported_token_type", "invalid_grant"];
const CODE_CHARS_MAX: usize = 40;
const TOKEN_BYTES_MAX: usize = 16 * 1024;
