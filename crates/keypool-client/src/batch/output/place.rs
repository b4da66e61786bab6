//! Where an output really is, and how a file comes into the place of another.

use std::{
    fs::{self, File, OpenOptions},
    io,
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

/// A new file with the rights of the one for which it will stand.
pub(super) fn create_like(new: &Path, like: &Path) -> io::Result<File> {
    let there = fs::metadata(like).ok();
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    if there.is_some() {
        // Nobody looks into it before it has them.
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    let file = options.open(new)?;
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

/// Puts a file that was written in the place of another, at once and for good.
pub(super) fn replace(new: &Path, old: &Path) -> io::Result<()> {
    fs::rename(new, old)?;
    // A folder that cannot be synced says so; the file is whole in any case.
    File::open(folder(old)).and_then(|folder| folder.sync_all()).or(Ok(()))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
