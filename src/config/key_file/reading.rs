//! Reading a key file's bytes, where it is something to read from.

use std::{fs, io, path::Path};

use super::FileError;

/// All bytes of it. What is no file is refused, but for a pipe or a terminal that was given on purpose: reading a named
/// pipe would wait for as long as nobody writes, without a word, and a device has no keys, or no end.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>, FileError> {
    let failed = |source: io::Error| FileError::read(path, source);
    let found = fs::metadata(path).map_err(failed)?;
    if !found.is_file()
        && !found.is_dir()
        && !is_on_purpose(path)
        && let Some(kind) = kind(&found)
    {
        return Err(FileError::NotAFile { path: path.to_owned(), kind });
    }
    fs::read(path).map_err(failed)
}

/// Whether it is what the command itself was given: its input (`/dev/stdin`), or a pipe of the shell's (`/dev/fd/63`).
fn is_on_purpose(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || (path.starts_with("/proc") && path.parent().is_some_and(|folder| folder.ends_with("fd")))
}

#[cfg(unix)]
fn kind(found: &fs::Metadata) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt;

    let kind = found.file_type();
    if kind.is_fifo() {
        Some("a named pipe")
    } else if kind.is_char_device() || kind.is_block_device() {
        Some("a device")
    } else if kind.is_socket() {
        Some("a socket")
    } else {
        None
    }
}

#[cfg(not(unix))]
fn kind(_: &fs::Metadata) -> Option<&'static str> {
    None
}
