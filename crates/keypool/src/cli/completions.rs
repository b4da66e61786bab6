//! `keypool completions`: what a shell completes.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;

/// Print the completions of a shell.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Completions {
    /// Which shell
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  source <(keypool completions bash)
  keypool completions zsh > ~/.zfunc/_keypool
  keypool completions fish > ~/.config/fish/completions/keypool.fish";

impl Completions {
    pub(super) fn run(self) {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "keypool", &mut text);
        super::say(String::from_utf8_lossy(&text).trim_end());
    }
}
