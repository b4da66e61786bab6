//! Files that are read whole, where there is something to read from: reading a named pipe would wait for as long as nobody
//! writes, without a word, and a device has nothing in it, or no end.

use std::{fs, io, path::Path};

/// All bytes of a file. What is no file is refused, but for a pipe or a terminal that was given on purpose (`/dev/stdin`).
///
/// # Errors
/// When it cannot be read, or is a device, a named pipe or a socket.
pub fn read_bytes(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    let path = path.as_ref();
    match kind(path)? {
        None => fs::read(path),
        Some(kind) => Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, and no file"))),
    }
}

/// The same as text.
///
/// # Errors
/// The same, and when it is no UTF-8.
pub fn read_text(path: impl AsRef<Path>) -> io::Result<String> {
    String::from_utf8(read_bytes(path)?).map_err(|_| {
        // As the standard library says it.
        io::Error::new(io::ErrorKind::InvalidData, "stream did not contain valid UTF-8")
    })
}

/// What is there that nobody should read from; `None`: a file or a folder, or what was given on purpose.
pub(crate) fn kind(path: &Path) -> io::Result<Option<&'static str>> {
    let found = fs::metadata(path)?;
    Ok(if found.is_file() || found.is_dir() || is_on_purpose(path) { None } else { kind_of(&found) })
}

/// Whether it is what the command itself was given: its input (`/dev/stdin`), or a pipe of the shell's (`/dev/fd/63`).
fn is_on_purpose(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || path.starts_with("/dev/fd")
        || (path.starts_with("/proc") && path.parent().is_some_and(|folder| folder.ends_with("fd")))
}

#[cfg(unix)]
fn kind_of(found: &fs::Metadata) -> Option<&'static str> {
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
fn kind_of(_: &fs::Metadata) -> Option<&'static str> {
    None
}
