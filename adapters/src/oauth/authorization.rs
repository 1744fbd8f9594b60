//! The link that the browser follows to a provider (RFC 6749 section 4.1.1, RFC 7636 section 4.3).

use transtalk_core::ports::AuthorizationRequest;
use url::Url;

/// The link. A query that the address has already is kept (RFC 6749 section 3.1).
pub(super) fn authorization_url(
    endpoint: &Url,
    client_id: &str,
    scopes: &str,
    request: &AuthorizationRequest,
    more: &[(&str, &str)],
) -> String {
    let mut url = endpoint.clone();
    {
        let mut pairs = url.query_pairs_mut();
        pairs
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", &request.redirect_uri);
        if !scopes.is_empty() {
            pairs.append_pair("scope", scopes);
        }
        pairs
            .append_pair("state", &request.state)
            .append_pair("code_challenge", &request.code_challenge)
            .append_pair("code_challenge_method", "S256")
            .extend_pairs(more);
    }
    url.into()
}
