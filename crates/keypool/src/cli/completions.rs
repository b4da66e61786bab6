//! `keypool completions`: what a shell completes.

use clap::{Args, Command, CommandFactory};
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
        clap_complete::generate(self.shell, &mut shown(&Cli::command()), "keypool", &mut text);
        super::say(String::from_utf8_lossy(&text).trim_end());
    }
}

/// A command without what its help does not show: shells would offer that all the same.
fn shown(command: &Command) -> Command {
    // A command's name lives as long as the process, and this one ends here.
    let name: &'static str = Box::leak(command.get_name().to_owned().into_boxed_str());
    let args = command.get_arguments().filter(|arg| !arg.is_hide_set()).cloned();
    let commands = command.get_subcommands().filter(|command| !command.is_hide_set()).map(shown);
    let mut shown = Command::new(name)
        .args(args)
        .subcommands(commands)
        .disable_help_subcommand(command.is_disable_help_subcommand_set());
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    if command.get_version().is_some() {
        shown = shown.version(env!("CARGO_PKG_VERSION"));
    }
    shown
}
