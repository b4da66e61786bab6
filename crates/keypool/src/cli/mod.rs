//! The command line: one file a command.

mod add_key;
mod administrator;
mod batch;
mod beside;
mod completions;
mod config;
mod db;
mod demo;
mod explain;
mod generate;
mod health;
mod hidden;
mod import;
mod keys;
mod man;
mod model_name;
mod monitor;
mod options;
mod said;
mod secret;
mod serve;
mod source;
mod stats;
mod table;
mod tenants;
mod test_keys;
mod usage;

use std::{fmt, io::Write, process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use self::said::{say, say_json};
use crate::{
    database::DatabaseError,
    edits::EditError,
    telemetry::{plain, plain_text},
};

/// Many LLM API keys, used as if they were one key that never runs dry.
#[derive(Debug, Parser)]
#[command(name = "keypool", version, max_term_width = 100, arg_required_else_help = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Batch(Box<batch::Batch>),
    Generate(Box<generate::Generate>),
    Demo(demo::Demo),
    AddKey(Box<add_key::AddKey>),
    Import(import::Import),
    Keys(keys::Keys),
    TestKeys(test_keys::TestKeys),
    Tenants(tenants::Tenants),
    Usage(usage::Usage),
    Stats(stats::Stats),
    Monitor(monitor::Monitor),
    Health(health::Health),
    Explain(explain::Explain),
    Db(db::Db),
    Config(config::Config),
    Completions(completions::Completions),
    Man(man::Man),
}

/// A command line that serves. The options of all commands are half a megabyte of code, which nobody needs again and which
/// would stay in a gateway's memory; whatever else a command line says, or says wrong, [`Cli`] reads.
#[derive(Debug, Parser)]
#[command(name = "keypool")]
struct Alone {
    #[command(subcommand)]
    command: Served,
}

#[derive(Debug, Subcommand)]
enum Served {
    Serve(serve::Serve),
}

impl From<Alone> for Cli {
    fn from(Alone { command: Served::Serve(serve) }: Alone) -> Self {
        Self { command: Command::Serve(serve) }
    }
}

const EXAMPLES: &str = "\
Examples:
  keypool demo                      watch a pool of ten keys at work, against a simulator
  GEMINI_API_KEY=… keypool serve    one key or many, on http://127.0.0.1:5000
  keypool batch prompts.txt -o answers.jsonl    every prompt answered once, at the full rate
  keypool generate 'Why is the sky blue?'       one prompt, answered as it comes
  keypool add-key                   ask for a key, and keep it in the database for serve
  keypool test-keys                 which keys are good, and what to do about the others
  keypool monitor                   keys and models, live
  keypool serve --help              all about serving
  keypool config show               every setting, and who set it";

/// Reads the command line and runs the command. Exit codes: 0 when it ended as asked, 2 for a wrong command line or
/// configuration, 1 for anything else, unless a command says otherwise.
pub fn run() -> ExitCode {
    let cli = match Alone::try_parse().map(Cli::from).or_else(|_| Cli::try_parse()) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
    };
    let ended = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Batch(batch) => batch.run(),
        Command::Generate(generate) => generate.run(),
        Command::Demo(demo) => demo.run(),
        Command::AddKey(add) => add.run(),
        Command::Import(import) => import.run(),
        Command::Keys(keys) => keys.run(),
        Command::TestKeys(test) => test.run(),
        Command::Tenants(tenants) => tenants.run(),
        Command::Usage(usage) => usage.run(),
        Command::Stats(stats) => stats.run(),
        Command::Monitor(monitor) => monitor.run(),
        Command::Health(health) => health.run(),
        Command::Explain(explain) => explain.run(),
        Command::Completions(completions) => {
            completions.run();
            Ok(())
        }
        Command::Man(man) => man.run(),
        Command::Db(db) => db.run(),
        Command::Config(config) => config.run(),
    };
    match ended.and_then(|()| said::whole()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // It may name what others wrote: lines stay, nothing steers the terminal.
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "keypool: {}", plain_text(&secret::masked(failure.to_string())));
            ExitCode::from(failure.code)
        }
    }
}

/// A command line that is wrong, or one that asks for help. What may be a secret in it is not printed.
fn refused(error: &clap::Error) -> ExitCode {
    let words: Vec<String> = std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let secrets = words.iter().flat_map(|word| word.split('=')).filter(|word| secret::may_be(word));
    let secrets: Vec<&str> = secrets.collect();
    let code = ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    if secrets.is_empty() && words.iter().all(|word| plain(word) == *word) {
        // In colour, where that can be shown.
        let _ = error.print();
        return code;
    }
    let text = secrets.iter().fold(error.render().to_string(), |text, secret| text.replace(secret, "***"));
    eprint!("{}", plain_text(&text));
    code
}

/// The exit code of what somebody stopped.
const STOPPED: u8 = 130;

/// Why a command ended otherwise than asked.
#[derive(Debug)]
struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// The command line, or what it names, is wrong: a person can set it right.
    fn config(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 2, error: error.into() }
    }

    /// What is asked for comes with an exit code of its own.
    fn with(code: u8, error: impl Into<anyhow::Error>) -> Self {
        Self { code, error: error.into() }
    }

    /// The system did not play along.
    fn run(error: impl Into<anyhow::Error>) -> Self {
        Self { code: 1, error: error.into() }
    }
}

impl From<EditError> for Failure {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Store(error) => Self::run(error),
            error => Self::config(anyhow::anyhow!("{error}")),
        }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        match error {
            DatabaseError::Config(errors) => config::wrong(&errors),
            error @ DatabaseError::Store(_) => Self::run(error),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The chain of causes on one line.
        write!(f, "{:#}", self.error)
    }
}

/// Signals so soon after the first are the same one: `timeout` sends its own to the process and to its group.
const ONE_SIGNAL: Duration = Duration::from_millis(200);

/// Resolves at the first Ctrl-C or SIGTERM from now on; a second one, later than a moment, ends the process at once.
fn interrupted() -> impl Future<Output = ()> {
    let mut signals = StopSignals::new();
    async move {
        signals.next().await;
        tokio::spawn(async move {
            let same = async {
                loop {
                    signals.next().await;
                }
            };
            let _: Result<(), _> = tokio::time::timeout(ONE_SIGNAL, same).await;
            signals.next().await;
            std::process::exit(130);
        });
    }
}

/// They are heard from when this is made, not from when somebody waits.
struct StopSignals {
    #[cfg(unix)]
    unix: Option<[tokio::signal::unix::Signal; 2]>,
}

impl StopSignals {
    fn new() -> Self {
        Self {
            #[cfg(unix)]
            unix: {
                use tokio::signal::unix::{SignalKind, signal};
                let both = signal(SignalKind::interrupt()).and_then(|int| Ok([int, signal(SignalKind::terminate())?]));
                both.ok()
            },
        }
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        if let Some([interrupt, terminate]) = &mut self.unix {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// A runtime for a command.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::run)
}
