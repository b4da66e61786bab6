//! The tasks, looked through before anything is sent.

use std::{
    fmt::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use keypool_client::batch::input::{Format, Survey};

use super::{super::Failure, shown};

/// What is known of the input.
pub(super) struct Sheet {
    /// The file; none for standard input.
    pub(super) path: Option<PathBuf>,
    pub(super) format: Format,
    /// How many tasks, where that can be known.
    pub(super) tasks: Option<u64>,
}

impl Sheet {
    /// Looks through a file, and names everything in it that is no task.
    pub(super) fn of(path: &Path, format: Option<Format>, column: &str) -> Result<Self, Failure> {
        let format_of = || format.unwrap_or_else(|| Format::of(path));
        if path == Path::new("-") {
            return Ok(Self { path: None, format: format_of(), tasks: None });
        }
        let seekable = path.metadata().with_context(|| shown(path)).map_err(Failure::config)?.is_file();
        let sheet = Self { path: Some(path.to_owned()), format: format_of(), tasks: None };
        if !seekable {
            // A pipe can be read once.
            return Ok(sheet);
        }
        let survey = Survey::of(path, sheet.format, column).with_context(|| shown(path)).map_err(Failure::config)?;
        if survey.wrong_in_all > 0 {
            let mut text = format!("{}: {} of its lines are no task:", shown(path), survey.wrong_in_all);
            for wrong in &survey.wrong {
                let _ = write!(text, "\n  {}", crate::telemetry::plain(&wrong.to_string()));
            }
            return Err(Failure::config(anyhow!(text)));
        }
        Ok(Self { tasks: Some(survey.tasks), ..sheet })
    }
}
