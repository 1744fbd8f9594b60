//! The file that holds the server's secrets: who reads it can sign in as anybody.
//!
//! It is JSON: `{"version": 1, "mac_secret": BASE64, "keys": [{"kid", "algorithm": "EdDSA", "private_key": BASE64
//! of PKCS#8 DER, "created_at": SECONDS}, ...]}`. The first key signs; all of them verify.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::{Jwk, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::{Deserialize, Serialize};
use transtalk_core::ports::Entropy;

/// Why a key file cannot be used. None of it tells a secret.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It, or its folder, cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// There is none, and none can be made.
    #[error("the key file {} cannot be written", path.display())]
    Unwritable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than its owner can read or change it.
    #[error(
        "the key file {0} has mode {mode:04o}, so that others may have read its secrets; \
         if you are sure that nobody has, run `chmod 600 {0}`, else remove it: a new one is made and everybody signs in again",
        path.display()
    )]
    TooOpen {
        /// Which file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is not what this server wrote.
    #[error("the key file {} is malformed: {why}; restore it, or remove it: a new one is made and everybody signs in again", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
}

/// The secrets, read and checked.
pub(super) struct KeyFile {
    pub(super) mac_secret: [u8; 32],
    /// At least one.
    pub(super) keys: Vec<StoredKey>,
}

/// A key pair.
pub(super) struct StoredKey {
    pub(super) kid: String,
    pub(super) signing: EncodingKey,
    /// The public half.
    pub(super) public: Jwk,
}

impl KeyFile {
    /// Reads the file; makes it first if there is none.
    pub(super) fn open(path: &Path, entropy: &dyn Entropy) -> Result<Self, KeyFileError> {
        match Self::read(path) {
            Err(KeyFileError::Unreadable { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path, entropy).map_err(|source| KeyFileError::Unwritable { path: path.to_owned(), source })?;
                // What is there now counts: another process may have been faster.
                Self::read(path)
            }
            read => read,
        }
    }

    fn read(path: &Path) -> Result<Self, KeyFileError> {
        let unreadable = |source| KeyFileError::Unreadable { path: path.to_owned(), source };
        let malformed = |why| KeyFileError::Malformed { path: path.to_owned(), why };

        let file = File::open(path).map_err(unreadable)?;
        // The open file is asked, not the path, so that nobody swaps it in between.
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(malformed("it is not a file"));
        }
        if let Some(mode) = too_open(&metadata) {
            return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(malformed("it is too large"));
        }
        // The parser's own words could quote a secret.
        let document: Document =
            serde_json::from_slice(&bytes).map_err(|_| malformed("it is not the JSON that is expected"))?;
        Self::check(&document).map_err(malformed)
    }

    fn check(document: &Document) -> Result<Self, &'static str> {
        if document.version != VERSION {
            return Err("its version is not 1");
        }
        if document.keys.is_empty() {
            return Err("there is no key in it");
        }
        let mac_secret = STANDARD.decode(&document.mac_secret).ok().and_then(|secret| secret.try_into().ok());
        let mac_secret = mac_secret.ok_or("its MAC secret is not 32 bytes of base64")?;
        let keys: Vec<StoredKey> = document.keys.iter().map(StoredKey::check).collect::<Result<_, _>>()?;
        let is_first = |(index, key): (usize, &StoredKey)| keys.iter().position(|k| k.kid == key.kid) == Some(index);
        if !keys.iter().enumerate().all(is_first) {
            return Err("two keys have the same kid");
        }
        Ok(Self { mac_secret, keys })
    }
}

impl StoredKey {
    fn check(entry: &Entry) -> Result<Self, &'static str> {
        if entry.algorithm != ALGORITHM {
            return Err("a key's algorithm is not EdDSA");
        }
        if entry.kid.is_empty() || entry.kid.len() > KID_BYTES_MAX {
            return Err("a key's kid is empty or too long");
        }
        let der = STANDARD.decode(&entry.private_key).map_err(|_| "a private key is not base64")?;
        let signing = EncodingKey::from_ed_der(&der);
        // This derives the public half, and so is also the proof that the private one is whole.
        let public = Jwk::from_encoding_key(&signing, Algorithm::EdDSA)
            .map_err(|_| "a private key is not an Ed25519 key in PKCS#8")?;
        Ok(Self { kid: entry.kid.clone(), signing, public })
    }
}

/// What is in the file. It has no `Debug`, since nearly all of it is secret.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    version: u32,
    mac_secret: String,
    keys: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    kid: String,
    algorithm: String,
    private_key: String,
    created_at: u64,
}

/// Puts a new file in place, whole and on disk, or leaves the one that somebody else has put there.
fn create(path: &Path, entropy: &dyn Entropy) -> io::Result<()> {
    let mut suffix = [0; 8];
    entropy.fill(&mut suffix);
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{:016x}.tmp", u64::from_le_bytes(suffix)));
    let temporary = path.with_file_name(name);

    let file = private_file().write(true).create_new(true).open(&temporary)?;
    let placed = write_new(file, entropy).and_then(|()| place(&temporary, path));
    // It is gone already if it was renamed.
    let _ = fs::remove_file(&temporary);
    placed
}

fn write_new(mut file: File, entropy: &dyn Entropy) -> io::Result<()> {
    // The file system says when this was: an adapter that signs has no clock.
    let created_at = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let (mut seed, mut mac_secret) = ([0; 32], [0; 32]);
    entropy.fill(&mut seed);
    entropy.fill(&mut mac_secret);

    let der = [ED25519_PKCS8_PREFIX, &seed].concat();
    let thumbprint = Jwk::from_encoding_key(&EncodingKey::from_ed_der(&der), Algorithm::EdDSA)
        .and_then(|public| public.thumbprint(ThumbprintHash::SHA256));
    let key = Entry {
        kid: thumbprint.map_err(io::Error::other)?,
        algorithm: ALGORITHM.to_owned(),
        private_key: STANDARD.encode(der),
        created_at,
    };
    let document = Document { version: VERSION, mac_secret: STANDARD.encode(mac_secret), keys: vec![key] };
    serde_json::to_writer_pretty(&mut file, &document)?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn place(temporary: &Path, path: &Path) -> io::Result<()> {
    // A link, unlike a rename, never replaces what another process has put there a moment ago.
    match fs::hard_link(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Ok(()) => {}
        // Some file systems know no links.
        Err(_) => fs::rename(temporary, path)?,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Nobody else may read the file, from its first moment on.
fn private_file() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
    options
}

/// The mode, if it lets in more than the owner's reading and writing.
#[cfg(unix)]
fn too_open(metadata: &fs::Metadata) -> Option<u32> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    (mode & !MODE != 0).then_some(mode)
}

/// Elsewhere the folder's own rules have to do.
#[cfg(not(unix))]
fn too_open(_: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(unix)]
const MODE: u32 = 0o600;
const VERSION: u32 = 1;
const ALGORITHM: &str = "EdDSA";
const KID_BYTES_MAX: usize = 128;
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// What stands before the 32 bytes of an Ed25519 key in PKCS#8 (RFC 8410 section 7, without attributes).
const ED25519_PKCS8_PREFIX: &[u8] =
    &[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
