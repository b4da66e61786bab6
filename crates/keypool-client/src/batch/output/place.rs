//! Where an output really is, and how a file comes into the place of another.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter},
    path::{Path, PathBuf},
};

/// More links in a row than a system follows.
const MOST_LINKS: usize = 40;

/// Where a path leads, through links: one file has one lock, and a link stays one when its file is written anew. One that leads
/// to nothing yet leads to what would be made.
pub(super) fn resolve(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::canonicalize(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            known => return known,
        }
        let folder = folder(&path).to_owned();
        let Ok(to) = fs::read_link(&path) else {
            let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
            return Ok(fs::canonicalize(folder)?.join(name));
        };
        path = folder.join(to);
    }
    Err(io::Error::other("too many links in a row"))
}

/// The same name with more at its end.
pub(super) fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// What stands behind the name of a file while one is made in its place.
pub(super) const NEW: &str = ".new";

/// A new file with the rights of the one for which it will stand. What is there already is somebody's.
fn create_like(new: &Path, like: &Path) -> io::Result<File> {
    let there = fs::metadata(like).ok();
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if there.is_some() {
        // Nobody looks into it before it has them.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", new.display()));
    let file = options.open(new).map_err(named)?;
    if let Some(there) = there {
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, fchown};
            // Only root can give it to another; where nobody can, it stays with who writes.
            let _ = fchown(&file, Some(there.uid()), Some(there.gid()));
        }
        // A file system without rights has none to keep.
        let _ = file.set_permissions(there.permissions());
    }
    Ok(file)
}

/// Makes a file with the rights of `like` and what is written to it, and puts it in the place of `old`, at once and for good. One
/// that did not come to its end goes.
pub(super) fn write_anew(
    old: &Path,
    like: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> io::Result<()> {
    let new = with_end(old, NEW);
    let mut target = BufWriter::with_capacity(1 << 18, create_like(&new, like)?);
    let written = write(&mut target).and_then(|()| {
        target.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        replace(&new, old)
    });
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

fn replace(new: &Path, old: &Path) -> io::Result<()> {
    fs::rename(new, old)?;
    // A folder that cannot be synced says so; the file is whole in any case.
    File::open(folder(old)).and_then(|folder| folder.sync_all()).or(Ok(()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
