//! `keypool keys`: the keys that the database knows, and changes of them.

mod change;
mod list;

use clap::{Args, Subcommand};

use super::Failure;

/// List the keys that the database knows, or change them; a gateway that runs takes each change within 2 s.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(super) struct Keys {
    #[command(subcommand)]
    task: Option<Task>,

    #[command(flatten)]
    list: list::List,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// List them: where they are from, how they stand, what they used today; never a secret
    #[command(after_help = "\
Examples:
  keypool keys list
  keypool keys list --all --json")]
    List(list::List),
    /// Take keys out of the database; their secrets are forgotten, what they used is not
    #[command(after_help = "\
Examples:
  keypool keys remove work
  keypool keys remove work home --json")]
    Remove(change::Remove),
    /// Give a key another secret: name, settings, counts and rests stay
    #[command(after_help = "\
Examples:
  keypool keys replace work                asks for the new secret and does not show it
  pass show gemini | keypool keys replace work -")]
    Replace(change::Replace),
    /// Switch keys off, wherever they are from, until they are switched on
    #[command(after_help = "\
Examples:
  keypool keys disable work --reason 'costs too much'")]
    Disable(change::Disable),
    /// Switch keys on, and lift their rests and those of their owners
    #[command(after_help = "\
Examples:
  keypool keys enable work
  keypool keys enable work home")]
    Enable(change::Enable),
    /// Say something else of keys; what a key file or keypool.toml says comes first
    #[command(after_help = "\
Examples:
  keypool keys set work --weight 1.5 --priority 5 --owner project-a
  keypool keys set work home --rpm 10 --rpd 250 --model gemini-2.5-pro
  keypool keys set work --unset weight,limits")]
    Set(Box<change::Set>),
}

const EXAMPLES: &str = "\
Examples:
  keypool keys                                    the table
  keypool keys --json | jq '.[] | select(.state != \"usable\") | .id'
  keypool keys disable work --reason 'costs too much'
  keypool keys enable work
  keypool keys set work home --weight 1.5 --owner project-a --rpm 10
  keypool keys replace work                       asks for the new secret and does not show it
  keypool keys remove work

Exit codes: 0 done, 1 the database cannot be read or written, 2 the command line is wrong, there is no such database, or no \
key is called so.";

impl Keys {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self.task {
            None => self.list.run(),
            Some(Task::List(list)) => list.run(),
            Some(Task::Remove(remove)) => remove.run(),
            Some(Task::Replace(replace)) => replace.run(),
            Some(Task::Disable(disable)) => disable.run(),
            Some(Task::Enable(enable)) => enable.run(),
            Some(Task::Set(set)) => set.run(),
        }
    }
}
