//! The file that holds the server's secrets: who reads it can sign in as anybody.
//!
//! Only its owner may read it, and it is only ever replaced whole. What stands in it is in `document`, how it changes
//! in `rotation`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use transtalk_core::ports::Entropy;

use super::document::Secrets;

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
    /// It cannot be made or replaced.
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
    /// One more key, and it would be too large to be read again.
    #[error("the key file {} holds too many keys; rotate them less often, or with a shorter overlap", path.display())]
    Full {
        /// Which file.
        path: PathBuf,
    },
}

impl KeyFileError {
    /// Whether there is no such file.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self, Self::Unreadable { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// The file's bytes, if only its owner can read them.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyFileError> {
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
    Ok(bytes)
}

/// What stands in the file.
pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Secrets, KeyFileError> {
    Secrets::parse(bytes).map_err(|why| KeyFileError::Malformed { path: path.to_owned(), why })
}

/// Puts a first file in place, whole and on disk, or leaves the one that somebody else has put there.
pub(super) fn create(path: &Path, secrets: &Secrets, entropy: &dyn Entropy) -> Result<(), KeyFileError> {
    let bytes = checked(path, secrets)?;
    // A link, unlike a rename, never replaces what another process has put there a moment ago.
    let place = |temporary: &Path| match fs::hard_link(temporary, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Ok(()) => Ok(()),
        // Some file systems know no links.
        Err(_) => fs::rename(temporary, path),
    };
    put(path, &bytes, None, entropy, place).map_err(|source| KeyFileError::Unwritable { path: path.to_owned(), source })
}

/// Lets one process at a time change the file. The lock ends with the returned value, or with the process.
pub(super) struct Locked<'a> {
    path: &'a Path,
    _lock: File,
}

impl<'a> Locked<'a> {
    /// Waits until nobody else changes the file.
    pub(super) fn new(path: &'a Path) -> Result<Self, KeyFileError> {
        let lock = || {
            // Not the file itself: it is replaced, and then a waiting process would hold the lock of the replaced one.
            let lock = private_file().write(true).create(true).truncate(false).open(beside(path, ".lock")?)?;
            // If root was first, the server must be able to lock as well. Whoever may not give it away need not.
            if let Ok(metadata) = fs::metadata(path) {
                let _ = give(&lock, &metadata);
            }
            lock.lock()?;
            Ok(lock)
        };
        let lock = lock().map_err(|source| KeyFileError::Unwritable { path: path.to_owned(), source })?;
        Ok(Self { path, _lock: lock })
    }

    /// What stands in the file now.
    pub(super) fn read(&self) -> Result<Secrets, KeyFileError> {
        parse(self.path, &read(self.path)?)
    }

    /// Replaces the file, whole, so that a reader sees the one or the other.
    pub(super) fn replace(&self, secrets: &Secrets, entropy: &dyn Entropy) -> Result<(), KeyFileError> {
        let bytes = checked(self.path, secrets)?;
        let replace = || {
            let owner = fs::metadata(self.path)?;
            put(self.path, &bytes, Some(&owner), entropy, |temporary| fs::rename(temporary, self.path))
        };
        replace().map_err(|source| KeyFileError::Unwritable { path: self.path.to_owned(), source })
    }
}

/// The bytes to write, which were read back: nobody may be left with a file that cannot be used.
fn checked(path: &Path, secrets: &Secrets) -> Result<Vec<u8>, KeyFileError> {
    let bytes =
        secrets.write().map_err(|source| KeyFileError::Unwritable { path: path.to_owned(), source: source.into() })?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(KeyFileError::Full { path: path.to_owned() });
    }
    parse(path, &bytes)?;
    Ok(bytes)
}

/// Writes a file beside, on disk, and lets it be put in place.
fn put(
    path: &Path,
    bytes: &[u8],
    owner: Option<&fs::Metadata>,
    entropy: &dyn Entropy,
    place: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let mut suffix = [0; 8];
    entropy.fill(&mut suffix);
    let temporary = beside(path, &format!(".{:016x}.tmp", u64::from_le_bytes(suffix)))?;
    let mut file = private_file().write(true).create_new(true).open(&temporary)?;
    let write = || {
        // Root may rotate the keys of a server that runs as somebody else, and that must be able to read them.
        owner.map_or(Ok(()), |owner| give(&file, owner))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        place(&temporary)
    };
    let placed = write();
    // It is gone already if it was renamed.
    let _ = fs::remove_file(&temporary);
    placed?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Another name in the same folder.
fn beside(path: &Path, suffix: &str) -> io::Result<PathBuf> {
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(suffix);
    Ok(path.with_file_name(name))
}

/// Nobody else may read the file, from its first moment on.
fn private_file() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has modes"))]
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, MODE);
    options
}

/// Makes the file the other's owner's.
#[cfg(unix)]
fn give(file: &File, other: &fs::Metadata) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;

    let own = file.metadata()?;
    if (own.uid(), own.gid()) == (other.uid(), other.gid()) {
        return Ok(());
    }
    std::os::unix::fs::fchown(file, Some(other.uid()), Some(other.gid()))
}

/// The mode, if it lets in more than the owner's reading and writing.
#[cfg(unix)]
fn too_open(metadata: &fs::Metadata) -> Option<u32> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o7777;
    (mode & !MODE != 0).then_some(mode)
}

/// Elsewhere the folder's own rules have to do.
#[cfg(not(unix))]
fn give(_: &File, _: &fs::Metadata) -> io::Result<()> {
    Ok(())
}

/// Elsewhere the folder's own rules have to do.
#[cfg(not(unix))]
fn too_open(_: &fs::Metadata) -> Option<u32> {
    None
}

#[cfg(unix)]
const MODE: u32 = 0o600;
const FILE_BYTES_MAX: u64 = 64 * 1024;
