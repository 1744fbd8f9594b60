//! Where every server's log goes, and which secrets it must not hold. `tests/secrets.sh` looks for them when all tests are done.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// A log of its own for somebody who writes one.
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// An empty one. Its name says which test it is of.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let test = std::thread::current().name().unwrap_or("main").replace("::", ".");
        let path = folder().join(format!("{}-{number}-{test}.log", std::process::id()));
        let file = File::create(&path).expect("the folder of the logs can be written");
        Self { path, file }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The end to write to, for a process. No pipe is between, so that nobody waits for its reader.
    pub(crate) fn writer(&self) -> Stdio {
        Stdio::from(self.file.try_clone().expect("an open file can be shared"))
    }
}

/// The folder of the logs, beside the build.
fn folder() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = super::target().join("test-logs");
        std::fs::create_dir_all(&folder).expect("a folder can be made beside the build");
        folder
    });
    &FOLDER
}

/// Notes that no log may hold this text. What is too short to be told from other text is passed over.
pub(crate) fn secret(text: &str) {
    static NOTED: LazyLock<Mutex<(BTreeSet<String>, File)>> = LazyLock::new(|| {
        let path = folder().join(format!("{}.secrets", std::process::id()));
        let file = OpenOptions::new().create(true).append(true).open(path);
        Mutex::new((BTreeSet::new(), file.expect("the folder of the logs can be written")))
    });
    // A line each: what has several would be looked for in pieces.
    if text.len() < SECRET_BYTES_MIN || text.contains(['\n', '\r']) {
        return;
    }
    let mut noted = NOTED.lock().expect("nobody panics with it");
    if noted.0.insert(text.to_owned()) {
        writeln!(noted.1, "{text}").expect("it can be noted");
    }
}

/// Notes the values of a query or a cookie, `name=value`, as they are and as they are meant. Who issued them is no secret.
pub(crate) fn secret_pairs(text: &str, separator: char) {
    let pairs = text.split(separator).filter_map(|pair| pair.trim().split_once('='));
    for (_, value) in pairs.filter(|(name, _)| *name != "iss") {
        secret(value);
        secret(&percent_decoded(value));
    }
}

/// Notes what a server keeps to itself, in every spelling that a log may have.
pub(crate) fn secret_keys(path: &Path) {
    let Ok(text) = std::fs::read_to_string(path) else { return };
    // A file that a test has broken holds nothing that a server reads.
    let file: Value = serde_json::from_str(&text).unwrap_or_default();
    let entries = ["keys", "mac_secrets"].into_iter().filter_map(|part| file[part].as_array()).flatten();
    for text in entries.flat_map(|entry| ["private_key", "secret"].map(|part| entry[part].as_str())).flatten() {
        let bytes = STANDARD.decode(text).expect("the key file's base64");
        // PKCS#8 puts a private key behind its algorithm: an Ed25519 key at 16, a P-256 key at 36.
        for part in [Some(&bytes[..]), bytes.get(16..48), bytes.get(36..68)].into_iter().flatten() {
            let spelled = |spell: fn(&u8) -> String| part.iter().map(spell).collect::<Vec<_>>();
            secret(&STANDARD.encode(part));
            secret(&URL_SAFE_NO_PAD.encode(part));
            secret(&spelled(|byte| format!("{byte:02x}")).concat());
            secret(&spelled(u8::to_string).join(", "));
        }
    }
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let byte = after.get(..2).and_then(|hex| u8::from_str_radix(hex, 16).ok());
        bytes.push(byte.unwrap_or(b'%'));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&bytes).into_owned()
}

const SECRET_BYTES_MIN: usize = 12;
