//! Our two cookies: how they are read, and how they are set and deleted.

use poem::Request;
use poem::http::header;

use crate::config::SameSite;

/// The refresh token's. It goes everywhere, since it also entitles a socket.
pub(crate) const REFRESH: Cookie = Cookie { name: "refreshToken", path: "/" };
/// The one that ties a sign-in to its browser. It goes to the routes of the sign-in and nowhere else.
pub(crate) const SIGN_IN: Cookie = Cookie { name: "signIn", path: "/api/v1/auth" };

/// A cookie of ours. Scripts never see it.
pub(crate) struct Cookie {
    name: &'static str,
    path: &'static str,
}

impl Cookie {
    /// The value that the browser sent. Of two with one name the last counts: browsers send the older one first (RFC 6265 section 5.4),
    /// and there are two when `auth.cookie_same_site` was changed.
    pub(crate) fn of(&self, request: &Request) -> Option<String> {
        let lines = request.headers().get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        lines
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .rfind(|(name, _)| *name == self.name)
            .map(|(_, value)| value.to_owned())
    }

    /// A `Set-Cookie` value.
    pub(crate) fn set(&self, value: &str, max_age_secs: u64, same_site: SameSite) -> String {
        let attributes = match same_site {
            // A cookie for another site's page is kept apart for each such site, or browsers refuse it as a tracker's.
            SameSite::None => "SameSite=None; Partitioned",
            SameSite::Lax => "SameSite=Lax",
        };
        let Self { name, path } = self;
        format!("{name}={value}; Max-Age={max_age_secs}; Path={path}; Secure; HttpOnly; {attributes}")
    }

    /// A `Set-Cookie` value that deletes it: all its attributes are the same, or the browser takes it for another cookie.
    pub(crate) fn delete(&self, same_site: SameSite) -> String {
        self.set("", 0, same_site)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_by_their_whole_name() {
        let line = "xrefreshToken=a; refreshToken=b; refreshToken=c; signIn=d=e";
        let request = Request::builder().header("cookie", line).finish();
        assert_eq!(REFRESH.of(&request).as_deref(), Some("c"));
        assert_eq!(SIGN_IN.of(&request).as_deref(), Some("d=e"));
    }

    #[test]
    fn a_cookie_is_set_and_deleted_with_the_same_attributes() {
        for (same_site, attributes) in [
            (SameSite::None, "Path=/; Secure; HttpOnly; SameSite=None; Partitioned"),
            (SameSite::Lax, "Path=/; Secure; HttpOnly; SameSite=Lax"),
        ] {
            assert_eq!(REFRESH.set("abc", 60, same_site), format!("refreshToken=abc; Max-Age=60; {attributes}"));
            assert_eq!(REFRESH.delete(same_site), format!("refreshToken=; Max-Age=0; {attributes}"));
        }
    }
}
