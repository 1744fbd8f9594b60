//! Leaving for good: the account is emptied and all sessions end in one commit; what the provider granted is given back after it.
//!
//! The second half can be interrupted, so it is never remembered in memory alone: grants of users who have left lie in the store
//! until they are given back, and every node's sweep looks for them.

use std::collections::BTreeSet;

use super::ending::close_sockets;
use super::{Principal, Services};
use crate::auth::{AuditEvent, AuditRecord};
use crate::error::Failure;
use crate::id::UserId;
use crate::limits;
use crate::mutant::{Mutant, planted};
use crate::ports::{Grant, IdentityError, ProviderToken, Revocation};

/// Ends the account. Rooms and messages stay for the others, under a neutral name.
pub async fn withdraw(services: &Services, principal: &Principal, address: &str) -> Result<(), Failure> {
    let at = services.clock.now();
    let audit = AuditRecord {
        at,
        user: principal.user,
        session: Some(principal.session),
        event: AuditEvent::LoggedOut,
        address: address.to_owned(),
        detail: "withdrawn".to_owned(),
    };
    let ended = services.users.withdraw(principal.user, &Revocation { at, audit }).await?;
    for session in ended.unwrap_or_default() {
        close_sockets(services, session).await;
    }
    services.pipeline.give_back();
    Ok(())
}

/// Keeps what a provider granted, sealed, until the user leaves.
pub(super) async fn keep_grant(
    services: &Services,
    user: UserId,
    provider: &str,
    token: &ProviderToken,
) -> Result<(), Failure> {
    let mut nonce = [0; 12];
    services.entropy.fill(&mut nonce);
    let sealed = services.signer.seal(nonce, &context(user, provider), token.0.as_bytes());
    Ok(services.grants.put(&Grant { user, issuer: provider.to_owned(), sealed }).await?)
}

/// Gives back what the providers granted for users who have left. What cannot be given back now stays for the next time;
/// what nobody can ever give back (its provider is gone from the configuration, or its key from the key file) is dropped.
pub(super) async fn give_back_grants(services: &Services) -> Result<(), Failure> {
    if planted(Mutant::GrantsKept) {
        return Ok(());
    }
    // A provider that cannot answer is asked once, and what stays because of it lies before what is looked at next:
    // it must not hold up the grants of the others.
    let mut silent: BTreeSet<String> = BTreeSet::new();
    let mut stay: u32 = 0;
    loop {
        let grants = services.grants.left(limits::GRANTS_MAX.saturating_add(stay)).await?;
        let next = grants.get(stay as usize..).unwrap_or_default();
        if next.is_empty() {
            return Ok(());
        }
        for grant in next {
            if silent.contains(&grant.issuer) {
                stay += 1;
                continue;
            }
            let opened = services.signer.open(&context(grant.user, &grant.issuer), &grant.sealed);
            let token = opened.and_then(|bytes| String::from_utf8(bytes).ok()).map(ProviderToken);
            if let (Some(provider), Some(token)) = (services.provider(Some(&grant.issuer)), token)
                && let Err(IdentityError::Unavailable { .. }) = provider.revoke(&token).await
            {
                silent.insert(grant.issuer.clone());
                stay += 1;
                continue;
            }
            services.grants.remove(grant.user, &grant.issuer).await?;
        }
    }
}

/// What a sealed grant is tied to: nobody can put one user's into another's row.
fn context(user: UserId, provider: &str) -> Vec<u8> {
    format!("grant of user {user} by {provider}").into_bytes()
}
