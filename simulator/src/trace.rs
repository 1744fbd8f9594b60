//! What happened: a fingerprint of everything, and on demand a story to read.

use std::fmt;

/// The fingerprint and the story of one world.
pub(crate) struct Trace {
    hash: u64,
    story: Option<Vec<String>>,
}

/// What is hashed, so that no two kinds are taken for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A task was chosen.
    Pick,
    /// A port was called.
    Call,
    /// Bytes went to a server.
    Up,
    /// Bytes went to a client.
    Down,
    /// Something broke, or came back.
    Fault,
}

impl Trace {
    /// Nothing has happened. Without a story only the fingerprint is kept.
    pub(crate) fn new(with_story: bool) -> Self {
        Self { hash: FNV_OFFSET, story: with_story.then(Vec::new) }
    }

    /// Something happened at this moment.
    pub(crate) fn note(&mut self, now: u64, kind: Kind, number: u64, bytes: &[u8]) {
        self.mix(&[kind as u8]);
        self.mix(&now.to_le_bytes());
        self.mix(&number.to_le_bytes());
        self.mix(bytes);
    }

    /// A line of the story.
    pub(crate) fn tell(&mut self, now: u64, who: &str, what: fmt::Arguments<'_>) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>4}.{:03}  {who:<9} {what}", now / 1_000, now % 1_000));
        }
    }

    /// The fingerprint so far.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// The story so far; it is told once.
    pub(crate) fn take_story(&mut self) -> Vec<String> {
        self.story.take().unwrap_or_default()
    }

    /// FNV-1a, 64 bits.
    fn mix(&mut self, bytes: &[u8]) {
        let mut hash = self.hash;
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(FNV_PRIME);
        }
        self.hash = hash;
    }
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        let mut trace = Trace::new(false);
        trace.mix(b"a");
        assert_eq!(trace.hash(), 0xaf63_dc4c_8601_ec8c);
    }
}
