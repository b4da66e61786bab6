//! How a command that did not end as asked says so: to people on standard error, and where JSON was asked for also as
//! JSON on standard output, unless it told something there already.

use std::{io::Write, process::ExitCode};

use clap::ArgMatches;
use serde_json::json;

use super::{Failure, said, say_json, secret};
use crate::telemetry::{plain, plain_text};

/// Whether a command line asks for JSON.
pub(super) fn asks_json(matches: &ArgMatches) -> bool {
    let here = matches.try_get_one::<bool>("json").ok().flatten().copied().unwrap_or_default();
    here || matches.subcommand().is_some_and(|(_, more)| asks_json(more))
}

/// A command failed.
pub(super) fn failed(Failure { code, error }: &Failure, json: bool) -> ExitCode {
    // It may name what others wrote: lines stay, nothing steers the terminal.
    let message = plain_text(&secret::masked(format!("{error:#}")));
    // Nobody may be there to read it.
    let _ = writeln!(std::io::stderr(), "keypool: {message}");
    tell(&message, *code, json);
    ExitCode::from(*code)
}

/// A command line that is wrong, or one that asks for help. What may be a secret in it is not printed.
pub(super) fn refused(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let secrets = words.iter().flat_map(|word| word.split('=')).filter(|word| secret::may_be(word));
    let secrets: Vec<&str> = secrets.collect();
    let code = u8::try_from(error.exit_code()).unwrap_or(2);
    let text = secrets.iter().fold(error.render().to_string(), |text, secret| text.replace(secret, "***"));
    let text = plain_text(&text);
    if secrets.is_empty() && words.iter().all(|word| plain(word) == *word) {
        // In colour, where that can be shown.
        let _ = error.print();
    } else {
        eprint!("{text}");
    }
    let asks_json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let said = text.split("\n\nUsage:").next().unwrap_or(&text).split("\n\nFor more").next().unwrap_or_default();
    tell(said.trim_start_matches("error: ").trim(), code, asks_json && error.use_stderr());
    ExitCode::from(code)
}

fn tell(message: &str, code: u8, json: bool) {
    if json && !said::anything() {
        say_json(&json!({ "error": { "message": message, "exit_code": code } }));
    }
}
