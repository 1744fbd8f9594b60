//! Frames into bytes.

use std::borrow::Cow;
use std::fmt::Write;

use bytes::Bytes;

use super::{Frame, Version};

/// The frame's bytes, the closing NUL among them. A frame that may have a body always says how long it is.
pub fn encode(frame: &Frame, version: Version) -> Bytes {
    let mut head = String::with_capacity(128);
    head.push_str(frame.command.as_str());
    head.push('\n');
    for (name, value) in &frame.headers {
        if frame.command.escapes_headers() {
            head.push_str(&escape(name, version));
            head.push(':');
            head.push_str(&escape(value, version));
        } else {
            head.push_str(name);
            head.push(':');
            head.push_str(value);
        }
        head.push('\n');
    }
    if frame.command.may_have_body() {
        // Writing to a String does not fail.
        let _ = writeln!(head, "content-length:{}", frame.body.len());
    }
    head.push('\n');
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(&frame.body);
    bytes.push(0);
    bytes.into()
}

/// A header's name or value as it stands in a frame of this version.
///
/// 1.2: `\r`, `\n`, `\c` and `\\`. 1.1 knows no `\r`. 1.0 knows no escapes at all, so what cannot be written is left out.
pub fn escape(text: &str, version: Version) -> Cow<'_, str> {
    if !text.contains(['\r', '\n', ':', '\\', '\0']) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match (c, version) {
            ('\0', _) | ('\n' | '\r', Version::V1_0) => {}
            (_, Version::V1_0) => escaped.push(c),
            ('\r', Version::V1_2) => escaped.push_str("\\r"),
            ('\n', _) => escaped.push_str("\\n"),
            (':', _) => escaped.push_str("\\c"),
            ('\\', _) => escaped.push_str("\\\\"),
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}
