//! `keypool man`: manual pages.

use std::{io, path::PathBuf};

use anyhow::Context;
use clap::{Args, Command, CommandFactory};

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
        let mut command = Cli::command().disable_help_subcommand(true);
        command.build();
        let Some(folder) = self.dir else {
            let written = page(&command).map_err(Failure::run)?;
            super::say(String::from_utf8_lossy(&written).trim_end());
            return Ok(());
        };
        let write = || {
            std::fs::create_dir_all(&folder)?;
            let mut open = vec![&command];
            while let Some(command) = open.pop() {
                std::fs::write(folder.join(format!("{}.1", name(command))), page(command)?)?;
                open.extend(command.get_subcommands().filter(|command| !command.is_hide_set()));
            }
            io::Result::Ok(())
        };
        write().with_context(|| folder.display().to_string()).map_err(Failure::run)
    }
}

/// `keypool-keys-set`.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn page(command: &Command) -> io::Result<Vec<u8>> {
    let man = clap_mangen::Man::new(command.clone()).title(name(command).to_uppercase());
    let man = man.source(concat!("keypool ", env!("CARGO_PKG_VERSION"))).manual("keypool");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.extend_from_slice(behind(&command.get_after_help().map(ToString::to_string).unwrap_or_default()).as_bytes());
    Ok(page)
}

/// What help says behind the options: examples line by line, so that they can be copied, and paragraphs.
fn behind(help: &str) -> String {
    let mut text = String::new();
    for paragraph in help.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let lines = |text: &str| text.lines().map(literal).collect::<Vec<_>>().join("\n");
        match paragraph.strip_prefix("Examples:\n") {
            Some(examples) => text.extend([".SH EXAMPLES\n.nf\n", &lines(examples), "\n.fi\n"]),
            None => text.extend([".PP\n", &lines(paragraph), "\n"]),
        }
    }
    text
}

/// A line as it is: nothing in it is a request to troff, and hyphens and quotes are those of a shell.
fn literal(line: &str) -> String {
    let mut text = String::from("\\&");
    for character in line.chars() {
        match character {
            '\\' => text.push_str("\\e"),
            '-' => text.push_str("\\-"),
            '\'' => text.push_str("\\(aq"),
            '`' => text.push_str("\\(ga"),
            '"' => text.push_str("\\(dq"),
            '~' => text.push_str("\\(ti"),
            '^' => text.push_str("\\(ha"),
            other => text.push(other),
        }
    }
    text
}
