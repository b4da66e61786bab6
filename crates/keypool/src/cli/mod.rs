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
mod refused;
mod rekey;
mod said;
mod secret;
mod serve;
mod source;
mod stats;
mod table;
mod tenants;
mod test_keys;
mod usage;

use std::{fmt, num::NonZero, process::ExitCode, time::Duration};

use clap::{Arg, CommandFactory, FromArgMatches, Parser, Subcommand};
use tower_keypool::{config::Whole, store::StoreError};

use self::said::{say, say_json};
use crate::{database::DatabaseError, edits::EditError};

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
    let (cli, json) = match Alone::try_parse().map(|alone| (alone.into(), false)).or_else(|_| parsed()) {
        Ok(parsed) => parsed,
        Err(error) => return refused::refused(&error),
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
        Err(failure) => refused::failed(&failure, json),
    }
}

/// All of the command line, and whether it asks for JSON.
fn parsed() -> Result<(Cli, bool), clap::Error> {
    let mut command = with_numbers(Cli::command());
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let json = refused::asks_json(&matches);
    let cli = Cli::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((cli, json))
}

/// With numbers below none as values of options: whoever reads them says what is allowed, and no option is unknown.
fn with_numbers(command: clap::Command) -> clap::Command {
    let takes = |arg: &Arg| !arg.is_positional() && arg.get_action().takes_values();
    let command = command.mut_args(|arg| if takes(&arg) { arg.allow_negative_numbers(true) } else { arg });
    command.mut_subcommands(with_numbers)
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

    /// The system did not play along. Where it lets this user not at a database, a person can set that right, too.
    fn run(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        if is_denied(&error) { Self::config(error) } else { Self { code: 1, error } }
    }

    /// What keeps a database, or whatever else, from being looked at.
    fn of_look(error: anyhow::Error) -> Self {
        match error.downcast::<DatabaseError>() {
            Ok(error) => error.into(),
            Err(error) => Self::run(error),
        }
    }
}

fn is_denied(error: &anyhow::Error) -> bool {
    let of_database = match error.downcast_ref() {
        Some(DatabaseError::Store(error)) => Some(error),
        _ => None,
    };
    of_database.or_else(|| error.downcast_ref()).is_some_and(StoreError::is_denied)
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
            error @ DatabaseError::Missing(_) => Self::config(error),
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

/// A runtime for the gateway. Where one thread serves it needs no second one to hand its tasks to, and no queues that could
/// be stolen from.
fn runtime_to_serve(threads: Option<Whole<1, 1_024>>) -> Result<tokio::runtime::Runtime, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.map_or_else(|| threads_to_serve(cores), |threads| threads.0.into());
    let mut runtime = match threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    runtime.worker_threads(threads).enable_all().build().map_err(Failure::run)
}

/// Threads that serve, unless somebody says how many. One answers some 40,000 requests a second; each further one takes what
/// they share (the pool, the counts) out of the others' caches: two on two cores cost a sixth more CPU a request than one. The
/// other half is for the threads of the database and the log, for what takes long, and for whoever else is on the machine.
fn threads_to_serve(cores: usize) -> usize {
    cores.div_ceil(2)
}
