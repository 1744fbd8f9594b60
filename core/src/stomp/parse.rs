//! Bytes into frames, in any pieces, in two steps: are there enough bytes? then the frame.
//! Nothing is ever allocated because a header promises it.

use bytes::{Buf, Bytes, BytesMut};

use super::{Command, Frame, Version};
use crate::limits;

/// What a frame may measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLimits {
    /// How many headers.
    pub headers: usize,
    /// One line, in bytes.
    pub line_bytes: usize,
    /// All lines, in bytes.
    pub head_bytes: usize,
    /// The body, in bytes.
    pub body_bytes: usize,
}

impl Default for FrameLimits {
    fn default() -> Self {
        Self {
            headers: limits::FRAME_HEADERS_MAX,
            line_bytes: limits::FRAME_LINE_BYTES_MAX,
            head_bytes: limits::FRAME_HEAD_BYTES_MAX,
            body_bytes: limits::FRAME_BODY_BYTES_MAX,
        }
    }
}

/// Why bytes are not a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The first line is no command of STOMP.
    #[error("unknown command")]
    UnknownCommand,
    /// A header line without a colon, or with an empty name.
    #[error("a header line is malformed")]
    BadHeaderLine,
    /// A command or header that is not UTF-8.
    #[error("a header is not UTF-8")]
    NotUtf8,
    /// An escape that this version does not have.
    #[error("a header has an undefined escape")]
    BadEscape,
    /// A `content-length` that is no number, or two that differ.
    #[error("content-length is malformed")]
    BadContentLength,
    /// A body where none may be.
    #[error("this frame may not have a body")]
    UnexpectedBody,
    /// No NUL after the body.
    #[error("the frame does not end with NUL where its content-length says")]
    MissingNul,
    /// More headers, longer lines or a larger body than allowed.
    #[error("the frame is too large")]
    TooLarge,
}

/// An incremental decoder. It keeps at most one unfinished frame.
#[derive(Debug)]
pub struct Decoder {
    limits: FrameLimits,
    version: Version,
    buffer: BytesMut,
    head: Head,
}

/// How far the unfinished frame was looked at.
#[derive(Debug, Default)]
struct Head {
    /// Where the next line begins.
    line: usize,
    /// How many lines are complete, the command's among them.
    lines: usize,
    /// Where the body begins and how long it is said to be, once the blank line was seen.
    body: Option<(usize, Option<usize>)>,
    /// How far the body was searched for its NUL.
    searched: usize,
}

impl Decoder {
    /// A decoder for the frames of a new connection.
    pub fn new(limits: FrameLimits) -> Self {
        Self { limits, version: Version::V1_2, buffer: BytesMut::new(), head: Head::default() }
    }

    /// From the next frame on, this version's escapes and line ends.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// More bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a frame has begun and not ended.
    pub fn is_inside_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next complete frame. After an error there is none.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.head.lines == 0 && self.head.line == 0 {
            self.skip_line_ends();
        }
        if self.head.body.is_none() && !self.find_head()? {
            return Ok(None);
        }
        let Some((start, length)) = self.head.body else { return Ok(None) };
        let Some(end) = self.find_end(start, length)? else { return Ok(None) };
        let mut bytes = self.buffer.split_to(end + 1).freeze();
        self.head = Head::default();
        if self.buffer.is_empty() {
            // An idle connection keeps no buffer.
            self.buffer = BytesMut::new();
        }
        let head = bytes.split_to(start);
        let body = bytes.slice(..end - start);
        self.frame(&head, body).map(Some)
    }

    /// "The body is then followed by the NULL octet [...] which can be optionally followed by multiple EOLs."
    fn skip_line_ends(&mut self) {
        let ends = self.buffer.iter().take_while(|b| matches!(b, b'\n' | b'\r')).count();
        self.buffer.advance(ends);
    }

    /// Looks for the blank line, and measures every line on the way. Says whether it was found.
    fn find_head(&mut self) -> Result<bool, FrameError> {
        loop {
            let rest = &self.buffer[self.head.line..];
            let Some(length) = memchr::memchr(b'\n', rest) else {
                let too_long = rest.len() > self.limits.line_bytes || self.buffer.len() > self.limits.head_bytes;
                if memchr::memchr(0, rest).is_some() {
                    return Err(FrameError::BadHeaderLine);
                }
                return if too_long { Err(FrameError::TooLarge) } else { Ok(false) };
            };
            let line = trim_cr(&rest[..length], self.version);
            let next = self.head.line + length + 1;
            if line.len() > self.limits.line_bytes || next > self.limits.head_bytes {
                return Err(FrameError::TooLarge);
            }
            if memchr::memchr(0, line).is_some() {
                // The frame ended before its blank line.
                return Err(FrameError::BadHeaderLine);
            }
            if line.is_empty() {
                let promised = content_length(&self.buffer[..self.head.line], self.version)?;
                if promised.is_some_and(|promised| promised > self.limits.body_bytes) {
                    return Err(FrameError::TooLarge);
                }
                self.head.body = Some((next, promised));
                self.head.searched = next;
                return Ok(true);
            }
            self.head.lines += 1;
            if self.head.lines > self.limits.headers + 1 {
                return Err(FrameError::TooLarge);
            }
            if self.head.lines == 1 && Command::parse(line).is_none() {
                return Err(FrameError::UnknownCommand);
            }
            self.head.line = next;
        }
    }

    /// Where the closing NUL stands.
    fn find_end(&mut self, start: usize, length: Option<usize>) -> Result<Option<usize>, FrameError> {
        if let Some(length) = length {
            // "If a frame contains the content-length header, this number of octets MUST be read, regardless of
            // whether or not there are NULL octets in the body. The frame still needs to be terminated with a NULL octet."
            return match self.buffer.get(start + length) {
                None => Ok(None),
                Some(0) => Ok(Some(start + length)),
                Some(_) => Err(FrameError::MissingNul),
            };
        }
        match memchr::memchr(0, &self.buffer[self.head.searched..]) {
            Some(at) if self.head.searched + at - start > self.limits.body_bytes => Err(FrameError::TooLarge),
            Some(at) => Ok(Some(self.head.searched + at)),
            None if self.buffer.len() - start > self.limits.body_bytes => Err(FrameError::TooLarge),
            None => {
                self.head.searched = self.buffer.len();
                Ok(None)
            }
        }
    }

    fn frame(&self, head: &[u8], body: Bytes) -> Result<Frame, FrameError> {
        let mut lines = lines(head, self.version);
        let command = lines.next().and_then(Command::parse).ok_or(FrameError::UnknownCommand)?;
        if !body.is_empty() && !command.may_have_body() {
            return Err(FrameError::UnexpectedBody);
        }
        let version = if command.escapes_headers() { self.version } else { Version::V1_0 };
        let headers = lines
            .map(|line| {
                let line = std::str::from_utf8(line).map_err(|_| FrameError::NotUtf8)?;
                let (name, value) = line.split_once(':').ok_or(FrameError::BadHeaderLine)?;
                if name.is_empty() {
                    return Err(FrameError::BadHeaderLine);
                }
                Ok((unescape(name, version)?, unescape(value, version)?))
            })
            .collect::<Result<_, _>>()?;
        Ok(Frame { command, headers, body })
    }
}

/// The complete, non-empty lines of a head.
fn lines(head: &[u8], version: Version) -> impl Iterator<Item = &[u8]> {
    head.split(|b| *b == b'\n').map(move |line| trim_cr(line, version)).filter(|line| !line.is_empty())
}

/// In 1.2 a line may end with CR LF; in 1.0 and 1.1 a CR is part of the line.
fn trim_cr(line: &[u8], version: Version) -> &[u8] {
    match (line, version) {
        ([line @ .., b'\r'], Version::V1_2) => line,
        _ => line,
    }
}

/// The promised length of the body: digits and nothing else. Two that differ are an attempt at something.
fn content_length(head: &[u8], version: Version) -> Result<Option<usize>, FrameError> {
    let mut promised = None;
    for line in lines(head, version) {
        let Some(value) = line.strip_prefix(b"content-length:") else { continue };
        let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
        let text = std::str::from_utf8(value).ok().filter(|_| digits).ok_or(FrameError::BadContentLength)?;
        // A number beyond usize is only too large; it is compared with the limit like any other.
        let length = text.parse().unwrap_or(usize::MAX);
        if promised.is_some_and(|promised| promised != length) {
            return Err(FrameError::BadContentLength);
        }
        promised = Some(length);
    }
    Ok(promised)
}

/// "Undefined escape sequences such as \t MUST be treated as a fatal protocol error."
fn unescape(text: &str, version: Version) -> Result<String, FrameError> {
    if version == Version::V1_0 || !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        plain.push(match (chars.next(), version) {
            (Some('n'), _) => '\n',
            (Some('c'), _) => ':',
            (Some('\\'), _) => '\\',
            (Some('r'), Version::V1_2) => '\r',
            _ => return Err(FrameError::BadEscape),
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::super::encode;
    use super::*;
    use proptest::prelude::*;

    fn decode(bytes: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut decoder = Decoder::new(FrameLimits::default());
        decoder.push(bytes);
        let mut frames = Vec::new();
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    #[test]
    fn stomp_01_to_03_a_frame_has_lines_a_blank_one_a_body_and_a_nul() {
        let frames = decode(b"\n\r\nSEND\r\ndestination:/a\r\n\r\nhi\0\n\n\r\nDISCONNECT\n\n\0\n").unwrap();
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].header("destination"), Some("/a"));
        assert_eq!(&frames[0].body[..], b"hi");
        assert_eq!(frames[1].command, Command::Disconnect);
    }

    #[test]
    fn stomp_04_to_07_malformed_heads_are_refused() {
        for (bytes, error) in [
            (&b"send\n\n\0"[..], FrameError::UnknownCommand),
            (b"HELLO\n", FrameError::UnknownCommand),
            (b"SEND\nno colon\n\n\0", FrameError::BadHeaderLine),
            (b"SEND\n:value\n\n\0", FrameError::BadHeaderLine),
            (b"SEND\ndestination:/a\0", FrameError::BadHeaderLine),
            (b"SEND\na:\xff\n\n\0", FrameError::NotUtf8),
            (b"SUBSCRIBE\nid:1\n\nbody\0", FrameError::UnexpectedBody),
        ] {
            assert_eq!(decode(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
        }
        assert_eq!(decode(b"SEND\nempty:\n\n\0").unwrap()[0].header("empty"), Some(""));
    }

    #[test]
    fn stomp_08_and_12_the_body_ends_where_it_is_said_or_at_the_first_nul() {
        let frames = decode(b"SEND\ncontent-length:3\n\na\0b\0SEND\n\nab\0").unwrap();
        assert_eq!(&frames[0].body[..], b"a\0b");
        assert_eq!(&frames[1].body[..], b"ab");
        assert_eq!(decode(b"SEND\ncontent-length:1\n\nab\0"), Err(FrameError::MissingNul));
    }

    #[test]
    fn stomp_13_16_18_and_19_escapes_blanks_and_repetitions() {
        let frame = &decode(b"SEND\nk\\cey: a\\r\\n\\c\\\\ \nx:1\nx:2\n\n\0").unwrap()[0];
        assert_eq!(frame.header("k:ey"), Some(" a\r\n:\\ "));
        assert_eq!(frame.header("x"), Some("1"));
        assert_eq!(decode(b"SEND\na:\\t\n\n\0"), Err(FrameError::BadEscape));
        assert_eq!(decode(b"SEND\na:\\\n\n\0"), Err(FrameError::BadEscape));
        assert_eq!(decode(b"CONNECT\na:\\t\n\n\0").unwrap()[0].header("a"), Some("\\t"));
    }

    #[test]
    fn stomp_20_a_promise_is_measured_before_it_is_believed() {
        for promise in ["65537", "2147483648", "9223372036854775808", "99999999999999999999999999"] {
            assert_eq!(decode(format!("SEND\ncontent-length:{promise}\n\n").as_bytes()), Err(FrameError::TooLarge));
        }
        for bad in ["-1", "1e3", " 5", "", "+1", "1\ncontent-length:2"] {
            assert_eq!(
                decode(format!("SEND\ncontent-length:{bad}\n\nx\0").as_bytes()),
                Err(FrameError::BadContentLength),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn stomp_20_each_limit_holds_at_the_limit_and_not_beyond() {
        let limits = FrameLimits { headers: 2, line_bytes: 10, head_bytes: 40, body_bytes: 4 };
        let check = |bytes: &str| {
            let mut decoder = Decoder::new(limits);
            decoder.push(bytes.as_bytes());
            decoder.next_frame().map(|frame| frame.is_some())
        };
        assert_eq!(check("SEND\na:1\nb:2\n\nabcd\0"), Ok(true));
        assert_eq!(check("SEND\na:1\nb:2\nc:3\n\n\0"), Err(FrameError::TooLarge));
        assert_eq!(check("SEND\na:12345678\n\n\0"), Ok(true));
        assert_eq!(check("SEND\na:123456789\n\n\0"), Err(FrameError::TooLarge));
        assert_eq!(check("SEND\na:123456789"), Err(FrameError::TooLarge));
        assert_eq!(check("SEND\n\nabcde"), Err(FrameError::TooLarge));
        assert_eq!(check("SEND\n\nabcde\0"), Err(FrameError::TooLarge));
        assert_eq!(check("SEND\n\nabcd"), Ok(false));
    }

    fn any_frame() -> impl Strategy<Value = Frame> {
        let text = "[ -~가-힣\r\n:\\\\]{0,12}";
        let headers = proptest::collection::vec((text, text), 0..5);
        (headers, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(headers, body)| Frame {
            command: Command::Send,
            headers: headers.into_iter().filter(|(name, _)| !name.is_empty() && name != "content-length").collect(),
            body: body.into(),
        })
    }

    proptest! {
        #[test]
        fn stomp_17_and_66_what_is_encoded_is_decoded_over_any_split(frames in proptest::collection::vec(any_frame(), 1..4), cuts in proptest::collection::vec(0usize..400, 0..8)) {
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| encode(frame, Version::V1_2)).collect();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let mut decoder = Decoder::new(FrameLimits::default());
            let mut decoded = Vec::new();
            for pair in cuts.windows(2) {
                decoder.push(&bytes[pair[0]..pair[1]]);
                while let Some(mut frame) = decoder.next_frame().unwrap() {
                    frame.headers.retain(|(name, _)| name != "content-length");
                    decoded.push(frame);
                }
            }
            prop_assert_eq!(decoded, frames);
            prop_assert!(!decoder.is_inside_frame());
        }

        #[test]
        fn any_bytes_end_in_a_frame_an_error_or_a_wait(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode(&bytes);
        }
    }
}
