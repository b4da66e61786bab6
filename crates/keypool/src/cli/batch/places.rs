//! The files of a run: none that it writes is another one that it reads or writes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::bail;

use super::shown;

/// A file by the option that names it.
pub(super) struct Named<'a> {
    option: &'static str,
    path: &'a Path,
    is_written: bool,
}

/// What is read.
pub(super) fn read<'a>(option: &'static str, path: &'a Path) -> Named<'a> {
    Named { option, path, is_written: false }
}

/// What is written.
pub(super) fn written<'a>(option: &'static str, path: &'a Path) -> Named<'a> {
    Named { option, path, is_written: true }
}

/// Which file it is.
#[derive(PartialEq, Eq)]
enum Place {
    /// By device and number, whatever it is called.
    #[cfg(unix)]
    There(u64, u64),
    /// By its path, where it is not there yet.
    At(PathBuf),
}

/// Refuses two names of one file, unless it is only read.
pub(super) fn apart<'a>(files: impl IntoIterator<Item = Named<'a>>) -> anyhow::Result<()> {
    let mut known: Vec<(Place, Named<'_>)> = Vec::new();
    for file in files {
        let Some(place) = place(file.path) else { continue };
        let same = known.iter().find(|(other, named)| *other == place && (named.is_written || file.is_written));
        if let Some((_, other)) = same {
            let (one, two) = (other.shown(), file.shown());
            bail!("{one} and {two} are the same file, which would be lost: name another for one of them");
        }
        known.push((place, file));
    }
    Ok(())
}

impl Named<'_> {
    fn shown(&self) -> String {
        format!("{} {}", self.option, shown(self.path)).trim_start().to_owned()
    }
}

/// None of a device, a pipe or a folder: what is written there replaces nothing.
fn place(path: &Path) -> Option<Place> {
    match fs::metadata(path) {
        Ok(there) if !there.is_file() => None,
        #[cfg(unix)]
        Ok(there) => {
            use std::os::unix::fs::MetadataExt;
            Some(Place::There(there.dev(), there.ino()))
        }
        #[cfg(not(unix))]
        Ok(_) => fs::canonicalize(path).ok().map(Place::At),
        Err(_) => {
            let folder = |path: &Path| path.parent().unwrap_or(Path::new("")).to_owned();
            // A link may lead to what is not there yet.
            let path = fs::read_link(path).map_or_else(|_| path.to_owned(), |to| folder(path).join(to));
            let folder = Some(folder(&path)).filter(|folder| !folder.as_os_str().is_empty());
            let folder = fs::canonicalize(folder.unwrap_or_else(|| ".".into())).ok()?;
            Some(Place::At(folder.join(path.file_name()?)))
        }
    }
}
