//! From which page a request comes, and whether it may use this browser's cookies.
//!
//! Browsers send cookies whoever made the page that asks, so whatever changes something by a cookie looks at the page first
//! (cross-site request forgery). `Origin` names it; `Sec-Fetch-Site` says how it stands to us, and no page can forge either.

use std::sync::Arc;

use poem::http::Method;
use poem::{Endpoint, Middleware, Request, Result};
use transtalk_core::ErrorCode;

use crate::app::App;
use crate::caller::Caller;
use crate::error::ApiError;

/// Where a request comes from, as far as it is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    /// Whether the origin is an allowed one, if there is any.
    pub(crate) origin: Option<bool>,
    pub(crate) site: Site,
}

/// `Sec-Fetch-Site` (W3C Fetch Metadata section 2.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Site {
    SameOrigin,
    /// `same-site`: another origin of our site.
    Sibling,
    /// `cross-site`.
    Foreign,
    /// The user's own doing: an address that was typed.
    User,
    /// No browser, or an old one.
    Unsaid,
}

impl Site {
    /// The header's value. What is unknown is taken for the worst.
    pub(crate) fn of(value: Option<&str>) -> Self {
        match value {
            None => Self::Unsaid,
            Some("same-origin") => Self::SameOrigin,
            Some("same-site") => Self::Sibling,
            Some("none") => Self::User,
            Some(_) => Self::Foreign,
        }
    }
}

impl Source {
    /// Whether it is certainly a page that may use the server: then its cookies are its user's will, and a lease for a socket.
    pub(crate) fn is_trusted(self) -> bool {
        self.origin.unwrap_or(self.site == Site::SameOrigin)
    }

    /// Whether an unsafe method may be used. `has_cookie`: one of ours is with it. `has_token`: so is an `Authorization` header,
    /// which no page of another site can add to a request of its own.
    pub(crate) fn may_change(self, has_cookie: bool, has_token: bool) -> bool {
        !has_cookie || self.is_trusted() || (self.origin.is_none() && has_token && !self.is_foreign())
    }

    /// Whether a refresh, which goes by the cookie alone, is looked at. It is a GET, and older clients and scripts do not say where
    /// they come from; what is certainly somebody else's page neither rotates nor uses up anything.
    pub(crate) fn may_refresh(self) -> bool {
        self.site != Site::Foreign || self.origin == Some(true)
    }

    fn is_foreign(self) -> bool {
        matches!(self.site, Site::Sibling | Site::Foreign)
    }
}

/// Refuses unsafe methods with our cookies from pages that may not use them.
pub(crate) struct OriginRule(pub(crate) Arc<App>);

impl<E: Endpoint> Middleware<E> for OriginRule {
    type Output = OriginRuleEndpoint<E>;

    fn transform(&self, inner: E) -> OriginRuleEndpoint<E> {
        OriginRuleEndpoint { inner, app: self.0.clone() }
    }
}

/// An endpoint behind [`OriginRule`].
pub(crate) struct OriginRuleEndpoint<E> {
    inner: E,
    app: Arc<App>,
}

impl<E: Endpoint> Endpoint for OriginRuleEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, request: Request) -> Result<E::Output> {
        let is_safe = [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE].contains(request.method());
        let caller = Caller::of(&request);
        let has_cookie = caller.refresh.is_some() || caller.sign_in.is_some();
        if !is_safe && !caller.source(&self.app).may_change(has_cookie, caller.authorization.is_some()) {
            return Err(ApiError::from(ErrorCode::OriginNotAllowed).into());
        }
        self.inner.call(request).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: Option<bool> = Some(false);
    const YES: Option<bool> = Some(true);

    #[test]
    fn an_unsafe_method_with_a_cookie_needs_a_page_that_is_known() {
        use Site as S;
        for (origin, site, has_token, expect) in [
            // Origin decides, whatever else is said.
            (YES, S::Foreign, false, true),
            (YES, S::Sibling, true, true),
            (YES, S::Unsaid, false, true),
            (NO, S::SameOrigin, true, false),
            (NO, S::Foreign, true, false),
            (NO, S::Unsaid, true, false),
            (NO, S::Unsaid, false, false),
            // Without it, the browser has to say that it is our own page.
            (None, S::SameOrigin, false, true),
            (None, S::SameOrigin, true, true),
            (None, S::Sibling, false, false),
            (None, S::Foreign, false, false),
            (None, S::User, false, false),
            (None, S::Unsaid, false, false),
            // Or the request goes by its token, and is not another page's.
            (None, S::Unsaid, true, true),
            (None, S::User, true, true),
            (None, S::Sibling, true, false),
            (None, S::Foreign, true, false),
        ] {
            let source = Source { origin, site };
            assert_eq!(source.may_change(true, has_token), expect, "{source:?} {has_token}");
            assert!(source.may_change(false, has_token), "nothing of the browser's is used: {source:?}");
        }
    }

    #[test]
    fn a_refresh_from_somebody_elses_page_is_not_looked_at() {
        for (origin, site, expect) in [
            (None, Site::Foreign, false),
            (NO, Site::Foreign, false),
            (YES, Site::Foreign, true),
            (None, Site::Sibling, true),
            (None, Site::SameOrigin, true),
            (None, Site::User, true),
            (None, Site::Unsaid, true),
        ] {
            let source = Source { origin, site };
            assert_eq!(source.may_refresh(), expect, "{source:?}");
        }
    }

    #[test]
    fn a_lease_needs_an_allowed_origin_or_our_own_page() {
        for (origin, site, expect) in [
            (YES, Site::Foreign, true),
            (YES, Site::Unsaid, true),
            (NO, Site::SameOrigin, false),
            (None, Site::SameOrigin, true),
            (None, Site::Sibling, false),
            (None, Site::User, false),
            (None, Site::Unsaid, false),
        ] {
            let source = Source { origin, site };
            assert_eq!(source.is_trusted(), expect, "{source:?}");
        }
    }

    #[test]
    fn an_unknown_word_is_the_worst() {
        assert_eq!(Site::of(Some("same-origin")), Site::SameOrigin);
        assert_eq!(Site::of(Some("none")), Site::User);
        assert_eq!(Site::of(Some("Same-Origin")), Site::Foreign);
        assert_eq!(Site::of(None), Site::Unsaid);
    }
}
