//! Identifiers as types of their own, so that no room is ever taken for a user.
//! They are parsed once, at the edge, and never changed. Numbers fit into a JavaScript number.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::limits;
use crate::ports::Entropy;
use crate::time::Timestamp;

/// A text or number that is not an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0}")]
pub struct InvalidId(pub &'static str);

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u64);

        impl $name {
            /// From 1 to 2^53-1, else an error.
            pub fn new(value: u64) -> Result<Self, InvalidId> {
                if (1..=limits::NUMBER_ID_MAX).contains(&value) { Ok(Self(value)) } else { Err(InvalidId($noun)) }
            }

            /// A fresh one, by chance.
            pub fn mint(entropy: &dyn Entropy) -> Self {
                let mut bytes = [0; 8];
                entropy.fill(&mut bytes);
                Self((u64::from_le_bytes(bytes) & limits::NUMBER_ID_MAX).max(1))
            }

            /// The number.
            pub fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                // `parse` alone would take "+1" and "01", and two spellings of one room are one too many.
                let plain = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
                if !plain {
                    return Err(InvalidId($noun));
                }
                text.parse().map_err(|_| InvalidId($noun)).and_then(Self::new)
            }
        }
    };
}

macro_rules! bytes_id {
    ($(#[$doc:meta])* $name:ident, $len:literal, $noun:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                let digits = text.as_bytes();
                if digits.len() != $len * 2 {
                    return Err(InvalidId($noun));
                }
                let mut bytes = [0; $len];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let digit = |b: u8| match b {
                        b'0'..=b'9' => Ok(b - b'0'),
                        b'a'..=b'f' => Ok(b - b'a' + 10),
                        _ => Err(InvalidId($noun)),
                    };
                    *byte = digit(pair[0])? << 4 | digit(pair[1])?;
                }
                Ok(Self(bytes))
            }
        }
    };
}

number_id!(
    /// A user's account. Never reused, not even after withdrawal.
    UserId,
    "user id"
);
number_id!(
    /// A chat room.
    RoomId,
    "room id"
);
bytes_id!(
    /// A signed-in session (`sid`): a family of refresh tokens and all access tokens they gave.
    SessionId,
    16,
    "session id"
);
bytes_id!(
    /// A message, written as 24 hexadecimal digits (the wire's `chatId`).
    MessageId,
    12,
    "message id"
);
bytes_id!(
    /// One live connection to the gateway.
    ConnectionId,
    8,
    "connection id"
);

macro_rules! mint_by_chance {
    ($($name:ident)*) => {$(
        impl $name {
            /// A fresh one, by chance.
            pub fn mint(entropy: &dyn Entropy) -> Self {
                let mut id = Self(Default::default());
                entropy.fill(&mut id.0);
                id
            }
        }
    )*};
}

mint_by_chance!(SessionId ConnectionId);

impl MessageId {
    /// A fresh one: 6 bytes of milliseconds, 6 of chance. Ids that rise with time lie side by side in a store's index,
    /// which makes storing a message twice as cheap.
    pub fn mint(now: Timestamp, entropy: &dyn Entropy) -> Self {
        let mut bytes = [0; 12];
        let [_, _, millis @ ..] = now.as_millis().to_be_bytes();
        let (time, chance) = bytes.split_at_mut(millis.len());
        time.copy_from_slice(&millis);
        entropy.fill(chance);
        Self(bytes)
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $noun:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text, if it is within the limits.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) { Ok(Self(text.into())) } else { Err(InvalidId($noun)) }
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// The `id` header of a SUBSCRIBE frame: unique within its connection.
    SubscriptionId,
    "subscription id",
    |text| !text.is_empty() && text.len() <= limits::SUBSCRIPTION_ID_BYTES_MAX
);
text_id!(
    /// The `client-message-id` header of a SEND: the same one again is the same message again.
    ClientMessageId,
    "client message id",
    |text| (1..=limits::CLIENT_MESSAGE_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
);

/// A message's place in its room: 1, 2, 3, ... without a gap. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first message.
    pub const ZERO: Self = Self(0);

    /// The following place.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a message's published state has changed. 0 when it was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Revision(pub u32);

impl Revision {
    /// The one after.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        assert_eq!("12".parse::<RoomId>().map(RoomId::get), Ok(12));
        for bad in ["", "0", "01", "+1", "-1", " 1", "1.0", "9007199254740992", "99999999999999999999", "abc"] {
            assert_eq!(bad.parse::<RoomId>(), Err(InvalidId("room id")), "{bad:?}");
        }
        assert!("9007199254740991".parse::<RoomId>().is_ok());
    }

    #[test]
    fn hexadecimal_ids_read_back() {
        let text = "00ff10a0b1c2d3e4f5061728";
        assert_eq!(text.parse::<MessageId>().unwrap().to_string(), text);
        assert!("00FF10a0b1c2d3e4f5061728".parse::<MessageId>().is_err());
        assert!("00".parse::<MessageId>().is_err());
    }

    #[test]
    fn a_client_message_id_has_a_narrow_alphabet() {
        assert!(ClientMessageId::new("a-Z_9").is_ok());
        let long = "x".repeat(65);
        for bad in ["", "a b", "a/b", "é", &long] {
            assert!(ClientMessageId::new(bad).is_err(), "{bad:?}");
        }
    }
}
