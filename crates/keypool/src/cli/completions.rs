//! `keypool completions` and `keypool man`

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, output};

/// Print the completion script for a shell
#[derive(Args)]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "keypool", &mut script);
        output::write(&script);
        ExitCode::SUCCESS
    }
}

/// Print the manual page of keypool, or write the manual pages of all commands into a folder
#[derive(Args)]
pub(super) struct Man {
    /// The folder for the manual pages
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        if let Some(folder) = &self.folder {
            let failed = || format!("{}: the manual pages cannot be written", folder.display());
            std::fs::create_dir_all(folder).with_context(failed)?;
            clap_mangen::generate_to(Cli::command(), folder).with_context(failed)?;
        } else {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            output::write(&page);
        }
        Ok(ExitCode::SUCCESS)
    }
}
