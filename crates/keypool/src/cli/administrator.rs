//! Whoever asks a gateway's admin API: the token, from one place for all commands.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{
    io::{IsTerminal, Read},
    path::PathBuf,
};

use anyhow::{Context, anyhow};
use clap::Args;

use super::{
    Failure,
    hidden::{self, Signals},
};
use crate::config::Inputs;

/// The token of the admin API.
#[derive(Debug, Args)]
pub(super) struct Administrator {
    /// The token of its admin API [default: that of the configuration] [env: KEYPOOL_ADMIN_TOKEN]. On the command line it
    /// stands in the shell's history; `-` reads it from standard input
    #[arg(long, value_name = "TOKEN|-", conflicts_with = "admin_token_file", allow_hyphen_values = true)]
    admin_token: Option<String>,

    /// The file that holds that token [env: KEYPOOL_ADMIN_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

impl Administrator {
    /// Whether the command line says anything of a token.
    pub(super) fn is_given(&self) -> bool {
        self.admin_token.is_some() || self.admin_token_file.is_some()
    }

    /// The token: of the command line, which is warned of where it stands there itself, else as a gateway with this
    /// configuration and environment has it; `None` where nobody says one. `then`: who hears signals from then on.
    pub(super) fn token(&self, inputs: &Inputs, then: Signals) -> Result<Option<String>, Failure> {
        let token = match (&self.admin_token, &self.admin_token_file) {
            (Some(token), _) if token == "-" && std::io::stdin().is_terminal() => {
                Some(hidden::ask("Admin token (it is not shown): ", then)?)
            }
            (Some(token), _) if token == "-" => {
                let mut text = String::new();
                std::io::stdin().read_to_string(&mut text).map_err(Failure::run)?;
                Some(text)
            }
            (Some(token), _) => {
                eprintln!(
                    "keypool: warning: a token on the command line stands in the shell's history and in the list of \
                     processes; --admin-token-file or KEYPOOL_ADMIN_TOKEN does not"
                );
                Some(token.clone())
            }
            (None, Some(path)) => {
                let read = tower_keypool::config::read_text(path);
                Some(read.with_context(|| format!("--admin-token-file {}", path.display())).map_err(Failure::config)?)
            }
            (None, None) => inputs.admin_token(),
        };
        match token.map(|token| token.trim().to_owned()) {
            Some(token) if token.is_empty() => Err(Failure::config(anyhow!("the admin token is empty"))),
            token => Ok(token),
        }
    }
}
