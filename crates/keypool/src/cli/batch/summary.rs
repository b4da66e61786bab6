//! The summary at the end, as JSON in a file of its own.

use std::{
    fs::{self, File},
    io::{BufReader, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use keypool_client::batch::{Ended, Statistics};
use serde_json::{Value, json};

use super::shown;

/// A file that was opened before anything is sent.
pub(super) struct Summary {
    path: PathBuf,
    file: File,
}

impl Summary {
    /// Opens it. An earlier summary is replaced; what is something else stays.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        if fs::metadata(path).is_ok_and(|there| there.is_file() && there.len() > 0) && !is_summary(path) {
            let name = shown(path);
            bail!("--summary {name}: this is no summary of a batch: name another file, or take this one away");
        }
        let file = File::options().write(true).create(true).truncate(false).open(path);
        let wrong = || format!("--summary {} (make its folder, or name another file)", shown(path));
        Ok(Self { path: path.to_owned(), file: file.with_context(wrong)? })
    }

    /// Writes it.
    pub(super) fn write(&self, ended: &Ended, statistics: &Statistics) -> anyhow::Result<()> {
        let how = match ended {
            Ended::Done => "done",
            Ended::Stopped => "stopped",
            Ended::OutOfQuota(_) => "out_of_quota",
            Ended::NoKey(_) => "no_key",
            Ended::Astray(_) => "astray",
            _ => "failed",
        };
        let mut summary = json!(statistics);
        summary["ended"] = how.into();
        if let Ended::OutOfQuota(why) | Ended::NoKey(why) = ended {
            summary["why"] = why.to_string().into();
            summary["back_in"] = why.may_serve_in().map(|next| next.as_secs_f64()).into();
        }
        self.put(&format!("{}\n", serde_json::to_string_pretty(&summary)?))
            .with_context(|| format!("--summary {}", shown(&self.path)))
    }

    fn put(&self, text: &str) -> std::io::Result<()> {
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        (&self.file).write_all(text.as_bytes())
    }
}

/// Whether an earlier run wrote it.
fn is_summary(path: &Path) -> bool {
    let read = File::open(path).ok().and_then(|file| serde_json::from_reader(BufReader::new(file)).ok());
    read.is_some_and(|summary: Value| summary["ended"].is_string())
}
