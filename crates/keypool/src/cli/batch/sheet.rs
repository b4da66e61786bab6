//! The tasks, looked through before anything is sent.

use std::{
    collections::BTreeMap,
    fmt::Write,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::anyhow;
use keypool_client::batch::input::{Format, Place, Survey};

use super::{super::Failure, shown};
use crate::{config::count, telemetry::plain};

/// What is known of the input.
pub(super) struct Sheet {
    /// The file; none for standard input.
    pub(super) path: Option<PathBuf>,
    pub(super) format: Format,
    /// How many tasks, where that can be known.
    pub(super) tasks: Option<u64>,
    /// And how many of them name which model.
    pub(super) models: BTreeMap<Option<Arc<str>>, u64>,
}

impl Sheet {
    /// Looks through a file, and names everything in it that is no task.
    pub(super) fn of(path: &Path, format: Option<Format>, column: &str) -> Result<Self, Failure> {
        let format_of = || format.unwrap_or_else(|| Format::of(path));
        if path == Path::new("-") {
            return Ok(Self { path: None, format: format_of(), tasks: None, models: BTreeMap::new() });
        }
        let unreadable = |error| unreadable(path, &error);
        let there = path.metadata().map_err(unreadable)?;
        if there.is_dir() {
            return Err(unreadable(io::ErrorKind::IsADirectory.into()));
        }
        let sheet = Self { path: Some(path.to_owned()), format: format_of(), tasks: None, models: BTreeMap::new() };
        if !there.is_file() {
            // A pipe can be read once.
            return Ok(sheet);
        }
        let survey = Survey::of(path, sheet.format, column).map_err(unreadable)?;
        if survey.wrong_in_all > 0 {
            return Err(Failure::config(anyhow!("{}: {}", shown(path), wrong(&survey))));
        }
        Ok(Self { tasks: Some(survey.tasks), models: survey.models, ..sheet })
    }
}

/// With what to do about it.
fn unreadable(path: &Path, error: &io::Error) -> Failure {
    let why = match error.kind() {
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    };
    Failure::config(anyhow!("{}: {why}: name a file of tasks that can be read, or - for standard input", shown(path)))
}

/// What is no task, one by one.
fn wrong(survey: &Survey) -> String {
    if let [wrong] = &*survey.wrong
        && wrong.fatal
    {
        return plain(&wrong.to_string());
    }
    let in_list = survey.wrong.iter().any(|wrong| matches!(wrong.place, Place::Item(_)));
    let number = usize::try_from(survey.wrong_in_all).unwrap_or(usize::MAX);
    let lines = count(number, if in_list { "item" } else { "line" });
    let mut text = format!("{lines} {} no task:", if number == 1 { "is" } else { "are" });
    for wrong in &survey.wrong {
        let _ = write!(text, "\n  {}", plain(&wrong.to_string()));
    }
    text
}
