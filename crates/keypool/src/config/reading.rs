//! A configuration while it is read: what its settings name outside of the file, and what is wrong.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tower_keypool::config::{Document, Environment, Origin, Problem};

use super::address::Weak;

/// What a secret is whose file cannot be read, which was noted.
pub(super) const UNREAD: &str = "unread";

/// The file, what is laid over it, and what was found so far.
pub(super) struct Reading<'a> {
    pub(super) document: Document<'a>,
    pub(super) environment: &'a Environment,
    /// Where the file stands: paths in it are relative to that.
    pub(super) folder: PathBuf,
    /// Every file that is named.
    pub(super) files: BTreeSet<PathBuf>,
    /// What is wrong outside of the document.
    pub(super) problems: Vec<Problem>,
    /// What is to be said of tokens that are no fault.
    pub(super) weak: Weak,
}

impl<'a> Reading<'a> {
    pub(super) fn of(document: Document<'a>, folder: PathBuf, environment: &'a Environment) -> Self {
        let (files, problems, weak) = (BTreeSet::new(), Vec::new(), Weak::default());
        Self { document, environment, folder, files, problems, weak }
    }

    /// Something is wrong with the setting at this place.
    pub(super) fn problem(&mut self, place: &str, what: impl Into<String>) {
        self.document.problem(place, what);
    }

    /// A path that the setting at this place holds: of one in the file, relative to its folder.
    pub(super) fn path(&self, place: &str, path: &Path) -> PathBuf {
        let in_file = matches!(self.document.origin(place), Origin::File { .. });
        if in_file { self.folder.join(path) } else { path.to_owned() }
    }

    /// A secret that a setting holds, or a file that another one names; of both the one that is set nearer to the command
    /// line holds.
    pub(super) fn secret(
        &mut self,
        (text_at, file_at): (&str, &str),
        text: Option<&str>,
        file: Option<&Path>,
    ) -> Option<String> {
        let near = |origin: &Origin| match origin {
            Origin::Flag(_) => 2,
            Origin::Env(_) => 1,
            _ => 0,
        };
        let text = text.map(str::to_owned);
        let Some(path) = file else { return text };
        let (text_from, file_from) = (near(&self.document.origin(text_at)), near(&self.document.origin(file_at)));
        if text.is_some() && text_from > file_from {
            return text;
        }
        if text.is_some() && text_from == file_from {
            let name = text_at.rsplit('.').next().unwrap_or_default();
            self.problem(file_at, format!("expected only one of {name} and {name}_file"));
        }
        let path = if file_from == 0 { self.folder.join(path) } else { path.to_owned() };
        match tower_keypool::config::read_text(&path) {
            Ok(text) => {
                self.files.insert(path);
                Some(text.trim().to_owned())
            }
            Err(error) => {
                self.problem(file_at, format!("{} cannot be read: {error}", path.display()));
                Some(UNREAD.to_owned())
            }
        }
    }
}
