//! What a setting names that stands outside of it: a secret's file, certificates, a provider.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use tower_keypool::{
    Anthropic, Gemini, OpenAi, Provider,
    config::{Document, Origin},
};

use super::{Config, ProviderName};
use crate::client::Roots;

/// What a secret is whose file cannot be read, which was noted.
pub(super) const UNREAD: &str = "unread";

/// A secret that a setting holds, or a file that another one names; of both the one that is set nearer to the command line
/// holds.
pub(super) fn secret_of(
    (text_at, file_at): (&str, &str),
    text: Option<&str>,
    file: Option<&Path>,
    folder: &Path,
    document: &mut Document<'_>,
    files: &mut BTreeSet<PathBuf>,
) -> Option<String> {
    let near = |origin: &Origin| match origin {
        Origin::Flag(_) => 2,
        Origin::Env(_) => 1,
        _ => 0,
    };
    let text = text.map(str::to_owned);
    let Some(path) = file else { return text };
    let (text_from, file_from) = (near(&document.origin(text_at)), near(&document.origin(file_at)));
    if text.is_some() && text_from > file_from {
        return text;
    }
    if text.is_some() && text_from == file_from {
        let name = text_at.rsplit('.').next().unwrap_or_default();
        document.problem(file_at, format!("expected only one of {name} and {name}_file"));
    }
    let path = if file_from == 0 { folder.join(path) } else { path.to_owned() };
    match tower_keypool::config::read_text(&path) {
        Ok(text) => {
            files.insert(path);
            Some(text.trim().to_owned())
        }
        Err(error) => {
            document.problem(file_at, format!("{} cannot be read: {error}", path.display()));
            Some(UNREAD.to_owned())
        }
    }
}

/// The certificates to trust. What is wrong with their file is noted.
pub(super) fn roots(
    config: &Config,
    folder: &Path,
    document: &mut Document<'_>,
    files: &mut BTreeSet<PathBuf>,
) -> Roots {
    let Some(path) = &config.gateway.cacert else { return Roots::mozilla() };
    let in_file = matches!(document.origin("gateway.cacert"), Origin::File { .. });
    let path = if in_file { folder.join(path) } else { path.clone() };
    let roots = Roots::from_file(&path).unwrap_or_else(|error| {
        document.problem("gateway.cacert", format!("{}: {error}", path.display()));
        Roots::mozilla()
    });
    files.insert(path);
    roots
}

/// The provider at an address, which stands at `place`.
pub(super) fn provider_at(
    name: ProviderName,
    upstream: Option<&str>,
    place: &str,
    document: &mut Document<'_>,
) -> Arc<dyn Provider> {
    let made = match (name, upstream) {
        (ProviderName::Gemini, None) => return Arc::new(Gemini::new()),
        (ProviderName::OpenAi, None) => return Arc::new(OpenAi::new()),
        (ProviderName::Anthropic, None) => return Arc::new(Anthropic::new()),
        (ProviderName::Gemini, Some(base)) => Gemini::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
        (ProviderName::OpenAi, Some(base)) => OpenAi::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
        (ProviderName::Anthropic, Some(base)) => Anthropic::at(base).map(|made| Arc::new(made) as Arc<dyn Provider>),
    };
    made.unwrap_or_else(|error| {
        document.problem(place, error.to_string());
        Arc::new(Gemini::new())
    })
}
