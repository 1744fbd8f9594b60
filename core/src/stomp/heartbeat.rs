//! Who promised whom a sign of life, and how often.

use std::time::Duration;

use crate::limits;
use crate::time::Monotonic;

/// The two directions of a connection's heart-beat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HeartBeat {
    /// The server sends something at least this often.
    pub send: Option<Duration>,
    /// The client promised something at least this often.
    pub receive: Option<Duration>,
}

impl HeartBeat {
    /// Reads a CONNECT frame's `heart-beat`: two numbers of milliseconds, `0,0` when it is missing. `None` if it is malformed.
    pub fn negotiate(header: Option<&str>) -> Option<Self> {
        let (can, wants) = header.unwrap_or("0,0").split_once(',')?;
        let millis = |text: &str| {
            let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().ok()).flatten().map(Duration::from_millis)
        };
        let (can, wants) = (millis(can)?, millis(wants)?);
        // "if <cx> is 0 (the client cannot send heart-beats) or <sy> is 0 (the server does not want to receive
        // heart-beats) then there will be none; otherwise, there will be heart-beats every MAX(<cx>,<sy>) milliseconds"
        let pair = |theirs: Duration, ours: Duration| {
            (!theirs.is_zero()).then(|| theirs.max(ours).max(limits::HEART_BEAT_MIN))
        };
        Some(Self { send: pair(wants, limits::HEART_BEAT_SEND), receive: pair(can, limits::HEART_BEAT_RECEIVE) })
    }

    /// When the server has to send something, if it last did so then.
    pub fn send_by(&self, last_sent: Monotonic) -> Option<Monotonic> {
        self.send.map(|interval| last_sent.plus(interval))
    }

    /// When the client is given up, if it was last heard then.
    pub fn dead_by(&self, last_heard: Monotonic) -> Option<Monotonic> {
        self.receive.map(|interval| last_heard.plus(interval * limits::HEART_BEAT_TOLERANCE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stomp_28_to_30_rates_are_the_slower_of_both() {
        let secs = |n| Some(Duration::from_secs(n));
        for (header, expect) in [
            (None, Some((None, None))),
            (Some("0,0"), Some((None, None))),
            (Some("10000,10000"), Some((secs(10), secs(60)))),
            (Some("120000,0"), Some((None, secs(120)))),
            (Some("0,30000"), Some((secs(30), None))),
            (Some("1,1"), Some((secs(10), secs(60)))),
            (Some(""), None),
            (Some("1"), None),
            (Some("-1,0"), None),
            (Some("a,b"), None),
            (Some("1,2,3"), None),
            (Some("99999999999,0"), None),
        ] {
            let found = HeartBeat::negotiate(header).map(|beat| (beat.send, beat.receive));
            assert_eq!(found, expect, "{header:?}");
        }
    }
}
