//! Two kinds of time, never mixed: what the calendar says, and what has passed.
//! Both are values that are handed in; nothing in this crate reads a clock.

use std::fmt;
use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Wall time in milliseconds since 1970-01-01T00:00:00Z. It may jump when the clock is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// From milliseconds since 1970.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// From whole seconds since 1970, as in a token's claims.
    pub fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since 1970, rounded down.
    pub fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// Later by this much.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// Earlier by this much, and not before 1970.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }

    /// What has passed since the other; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 in UTC with milliseconds, for example `2026-11-23T03:04:05.678Z`.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = i128::from(self.0) * 1_000_000;
        let text = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok().and_then(|at| at.format(&Rfc3339).ok());
        match text {
            Some(text) => f.write_str(&with_millis(&text)),
            None => f.write_str("9999-12-31T23:59:59.999Z"),
        }
    }
}

/// Time that only moves forward, in milliseconds since some start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Monotonic(u64);

impl Monotonic {
    /// From milliseconds since the start.
    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the start.
    pub fn as_millis(self) -> u64 {
        self.0
    }

    /// Later by this much.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    /// What has passed since the other; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Always three digits of a second: the library writes as many as are needed.
fn with_millis(rfc3339: &str) -> String {
    let (head, fraction) = match rfc3339.trim_end_matches('Z').split_once('.') {
        Some((head, fraction)) => (head, fraction),
        None => (rfc3339.trim_end_matches('Z'), ""),
    };
    format!("{head}.{fraction:0<3}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_shows_its_zone_and_three_digits() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (1_700_000_000_120, "2023-11-14T22:13:20.120Z"),
            (u64::MAX, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Timestamp::from_millis(millis).to_string(), text);
        }
    }
}
