//! Signing in: a link to the provider, and what comes back.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Services;
use super::ending::{end_session, record};
use super::limit::{Limited, Payer, spend};
use super::withdraw::keep_grant;
use crate::auth::{AuditEvent, Device, RefreshToken, Session, SignInCookie, code_challenge};
use crate::error::{ErrorCode, Failure};
use crate::id::{SessionId, UserId};
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::{AuthorizationRequest, Claims, CodeExchange, Consumed, IdentityError, Profile, TokenKind};
use crate::time::Timestamp;
use crate::user::{Email, User};

/// A sign-in that has begun.
pub struct Begun {
    /// Where the browser goes.
    pub url: String,
    /// What the browser keeps meanwhile, in a cookie that scripts cannot read.
    pub cookie: String,
}

/// The tokens of a session.
pub struct Tokens {
    /// The access token, without `Bearer `.
    pub access: String,
    /// The refresh token, for the cookie.
    pub refresh: String,
    /// When the refresh token ends.
    pub refresh_until: Timestamp,
}

/// A completed sign-in.
pub struct SignedIn {
    /// Who.
    pub user: User,
    /// The new session's tokens.
    pub tokens: Tokens,
}

/// What the browser brought back from the provider.
#[derive(Clone, Copy, Default)]
pub struct Returned<'a> {
    /// The authorization code.
    pub code: &'a str,
    /// The state, from clients that return it.
    pub state: Option<&'a str>,
    /// The issuer, from providers that name it and clients that return it (RFC 9207).
    pub issuer: Option<&'a str>,
}

/// Makes the link to a provider, or to the first one. It is bound to the browser by the cookie alone, because the first client returns
/// only the code.
pub async fn begin_sign_in(
    services: &Services,
    provider: Option<&str>,
    redirect_uri: &str,
    address: &str,
) -> Result<Begun, Failure> {
    let provider = services.provider(provider).ok_or(ErrorCode::UnknownProvider)?;
    spend(services, Limited::BeginSignIn, Payer::Address(address)).await?;
    let expires_at = services.clock.now().plus(limits::SIGN_IN_DEADLINE);
    let cookie = SignInCookie::begin(services.entropy.as_ref(), provider.name(), redirect_uri, expires_at);
    let request = AuthorizationRequest {
        redirect_uri: cookie.redirect_uri.clone(),
        state: cookie.state.clone(),
        nonce: cookie.nonce.clone(),
        code_challenge: code_challenge(&cookie.verifier),
    };
    let url = provider.authorization_url(&request).await.map_err(refusal)?;
    Ok(Begun { url, cookie: cookie.encode(services.signer.as_ref()) })
}

/// Exchanges the returned code and begins a session. A sign-in is completed once; a client that returns `state` has it checked.
pub async fn complete_sign_in(
    services: &Services,
    returned: Returned<'_>,
    cookie: Option<&str>,
    device: Device,
) -> Result<SignedIn, Failure> {
    let Returned { code, state, issuer } = returned;
    let too_long = |text: &str| text.len() > limits::OAUTH_PARAMETER_BYTES_MAX;
    if code.is_empty() || too_long(code) || state.is_some_and(too_long) || issuer.is_some_and(too_long) {
        return Err(ErrorCode::BadRequest.into());
    }
    spend(services, Limited::SignIn, Payer::Address(&device.address)).await?;
    let cookie = cookie.filter(|cookie| cookie.len() <= limits::TOKEN_BYTES_MAX).ok_or(ErrorCode::SignInNotBegun)?;
    let begun = SignInCookie::decode(cookie, services.signer.as_ref(), services.clock.now());
    let begun = begun.ok_or(ErrorCode::SignInNotBegun)?;
    if state.is_some_and(|state| state != begun.state) {
        return Err(ErrorCode::SignInNotBegun.into());
    }
    let provider = services.provider(Some(&begun.provider)).ok_or(ErrorCode::UnknownProvider)?;
    if state.is_none() && provider.needs_state() {
        return Err(ErrorCode::StateRequired.into());
    }
    // RFC 9207 section 2.4: an answer of another issuer is not taken to this one's token endpoint (mix-up).
    if let (Some(says), Some(is)) = (issuer, provider.issuer())
        && says != is
    {
        return Err(ErrorCode::CodeRefused.into());
    }
    if services.single_use.consume(&format!("sign-in:{}", begun.id), begun.expires_at).await? == Consumed::Already {
        return Err(ErrorCode::CodeRefused.into());
    }
    let exchange = CodeExchange {
        code: code.to_owned(),
        state: begun.state,
        redirect_uri: begun.redirect_uri,
        code_verifier: begun.verifier,
        nonce: begun.nonce,
    };
    let authorized = provider.exchange(&exchange).await.map_err(refusal)?;
    let now = services.clock.now();
    let user = account(UserId::mint(services.entropy.as_ref()), authorized.profile, now);
    let user = services.users.register(&user).await?;
    // First of all, or nobody could give it back.
    if let Some(token) = &authorized.grant {
        keep_grant(services, user.id, provider.name(), token).await?;
    }
    spend(services, Limited::SignIn, Payer::Account(user.id)).await?;
    let id = SessionId::mint(services.entropy.as_ref());
    let address = device.address.clone();
    let session = Session::begin(id, user.id, device, &services.settings.lifetimes, now);
    services.sessions.add(&session, &record(&session, AuditEvent::SignedIn, &address, now)).await?;
    // Whoever left while they signed in has left: the session was not there to be ended with the others.
    let stays = services.users.find(user.id).await?.is_some_and(|user| user.withdrawn_at.is_none());
    if !stays {
        end_session(services, &session, record(&session, AuditEvent::Denied, &address, now)).await?;
        services.pipeline.give_back();
        return Err(ErrorCode::CodeRefused.into());
    }
    end_surplus(services, &session, &address).await?;
    Ok(SignedIn { user, tokens: tokens(services, &session, now) })
}

/// Nobody needs more sessions than [`limits::SESSIONS_MAX`]: those that began first end.
async fn end_surplus(services: &Services, newest: &Session, address: &str) -> Result<(), Failure> {
    let now = services.clock.now();
    let sessions = services.sessions.list(newest.user).await?;
    let others = sessions.iter().filter(|session| session.id != newest.id && session.is_live(now));
    for session in others.skip(limits::SESSIONS_MAX - 1) {
        let mut audit = record(session, AuditEvent::LoggedOut, address, now);
        audit.detail = format!("too many sessions, by session {}", newest.id);
        end_session(services, session, audit).await?;
    }
    Ok(())
}

fn refusal(error: IdentityError) -> Failure {
    match error {
        IdentityError::Refused { .. } => Failure::Refused(ErrorCode::CodeRefused),
        IdentityError::Unavailable { source, .. } => Failure::Unavailable { part: "identity provider", source },
    }
}

/// Makes accounts for people who have not signed in yet, so that rooms with them can be opened. Who has one keeps it.
pub async fn introduce(services: &Services, profiles: Vec<Profile>) -> Result<(), Failure> {
    for profile in profiles {
        let id = UserId::mint(services.entropy.as_ref());
        services.users.register(&account(id, profile, services.clock.now())).await?;
    }
    Ok(())
}

/// The current tokens of a session. The refresh token of a generation is always the same text; access tokens differ by `jti`.
pub(super) fn tokens(services: &Services, session: &Session, now: Timestamp) -> Tokens {
    let mut jti = [0; 16];
    if !planted(Mutant::JtiRepeats) {
        services.entropy.fill(&mut jti);
    }
    let claims = Claims {
        user: session.user,
        session: session.id,
        generation: session.generation,
        jti: URL_SAFE_NO_PAD.encode(jti),
        issued_at: now,
        expires_at: now.plus(services.settings.lifetimes.access).min(session.absolute_expires_at),
    };
    let refresh = RefreshToken { session: session.id, generation: session.generation };
    Tokens {
        access: services.signer.sign(TokenKind::Access, &claims),
        refresh: refresh.encode(services.signer.as_ref()),
        refresh_until: session.expires_at,
    }
}

/// An account from whatever the provider told: what is malformed counts as missing, and every missing part has a default.
fn account(id: UserId, profile: Profile, now: Timestamp) -> User {
    let email = profile.email.as_deref().and_then(|email| Email::new(email).ok());
    let trimmed = |text: &str| text.trim().chars().take(limits::NAME_CHARS_MAX).collect::<String>();
    let local = email.as_ref().and_then(|email| email.as_str().split('@').next()).unwrap_or("user");
    let name = profile.name.as_deref().map(trimmed).filter(|name| !name.is_empty()).unwrap_or_else(|| trimmed(local));
    let picture = profile.picture.filter(|url| url.starts_with("https://") && url.len() <= limits::PICTURE_BYTES_MAX);
    User {
        id,
        identity: profile.identity,
        email_verified: profile.email_verified && email.is_some(),
        email,
        name,
        picture,
        language: profile.language,
        created_at: now,
        withdrawn_at: None,
    }
}
