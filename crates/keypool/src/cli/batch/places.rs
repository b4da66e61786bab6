//! The files of a run: none that it writes is another one that it reads or writes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::bail;

use super::shown;
use crate::{config::Loaded, database::Site};

/// A file by the option that names it.
pub(super) struct Named {
    option: &'static str,
    path: PathBuf,
    is_written: bool,
}

/// What is read.
pub(super) fn read(option: &'static str, path: impl Into<PathBuf>) -> Named {
    Named { option, path: path.into(), is_written: false }
}

/// What is written.
pub(super) fn written(option: &'static str, path: impl Into<PathBuf>) -> Named {
    Named { option, path: path.into(), is_written: true }
}

/// Behind a database's name: the files that it is made of.
const OF_DATABASE: [&str; 5] = ["", "-wal", "-shm", ".lock", ".key"];

/// What any run goes by: the files of its configuration, its keys among them, and its databases.
pub(super) fn of_configuration(loaded: &Loaded) -> impl Iterator<Item = Named> {
    let site = Site::of(&loaded.store);
    let beside = loaded.beside.iter().map(|beside| site.beside(&beside.name));
    let databases: Vec<PathBuf> =
        beside.chain([site.clone()]).filter_map(|site| site.path().map(Path::to_owned)).collect();
    let files = loaded.files.iter().map(|file| read("the configuration's", file));
    files.chain(databases.into_iter().flat_map(|path| {
        OF_DATABASE.map(|end| {
            let mut name = path.as_os_str().to_owned();
            name.push(end);
            written("the database", name)
        })
    }))
}

/// Refuses to send keys or settings as prompts.
pub(super) fn is_no_prompts(input: &Path, of_configuration: impl IntoIterator<Item = Named>) -> anyhow::Result<()> {
    let Some(place) = place(input) else { return Ok(()) };
    match of_configuration.into_iter().find(|file| self::place(&file.path).is_some_and(|other| other == place)) {
        Some(file) => bail!(
            "the input {} is {}: its lines would go to the provider as prompts: name the file of tasks",
            shown(input),
            file.shown()
        ),
        None => Ok(()),
    }
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
pub(super) fn apart(files: impl IntoIterator<Item = Named>) -> anyhow::Result<()> {
    let mut known: Vec<(Place, Named)> = Vec::new();
    for file in files {
        let Some(place) = place(&file.path) else { continue };
        let same = known.iter().find(|(other, named)| *other == place && (named.is_written || file.is_written));
        if let Some((_, other)) = same {
            let (one, two) = (other.shown(), file.shown());
            bail!("{one} and {two} are the same file, which would be lost: name another for one of them");
        }
        known.push((place, file));
    }
    Ok(())
}

impl Named {
    fn shown(&self) -> String {
        format!("{} {}", self.option, shown(&self.path)).trim_start().to_owned()
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
