//! `keypool man`: manual pages.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};

use super::{Cli, Failure};

/// Print the manual page, or write one for each command into a folder.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Man {
    /// The folder to write keypool.1, keypool-serve.1 and the others to
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  keypool man | man -l -
  keypool man --dir ~/.local/share/man/man1";

impl Man {
    pub(super) fn run(self) -> Result<(), Failure> {
        let command = Cli::command();
        if let Some(folder) = self.dir {
            let written = std::fs::create_dir_all(&folder).and_then(|()| clap_mangen::generate_to(command, &folder));
            return written.with_context(|| folder.display().to_string()).map_err(Failure::run);
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page).map_err(Failure::run)?;
        super::say(String::from_utf8_lossy(&page).trim_end());
        Ok(())
    }
}
