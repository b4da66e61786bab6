//! The commands, and what they share: `opened`, `output`, `key_options`, `key_rows` and `gateway_client`.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

mod add_key;
mod batch;
mod completions;
mod config;
mod db;
mod demo;
mod explain;
mod gateway_client;
mod generate;
mod import;
mod key_options;
mod key_rows;
mod keys;
mod monitor;
mod opened;
mod output;
mod serve;
mod stats;
mod tenants;
mod test_keys;
mod usage;

use std::{path::PathBuf, pin::Pin, process::ExitCode, time::Duration};

use clap::{Args, Parser, Subcommand};
use tower_keypool::config::Environment;

use crate::config::Inputs;

/// A gateway and command-line tool that pools many API keys of LLM providers behind one address.
#[derive(Parser)]
#[command(name = "keypool", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Options of every command")]
struct Common {
    /// The configuration file [default: keypool.toml here, or ~/.config/keypool/keypool.toml] [env: KEYPOOL_CONFIG]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The database of counts, cooldowns, keys and tenants; "none" keeps them in memory only
    /// [default: ~/.local/state/keypool/keypool.db] [env: KEYPOOL_DB]
    #[arg(long, global = true, value_name = "FILE")]
    db: Option<String>,
    /// A Redis server through which several machines share counts and cooldowns [env: KEYPOOL_REDIS_URL]
    #[arg(long, global = true, value_name = "URL")]
    redis: Option<String>,
    /// Log debug messages too
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    verbose: bool,
    /// Log errors only
    #[arg(short, long, global = true)]
    quiet: bool,
}

impl Common {
    fn inputs(&self) -> Inputs {
        let mut inputs = Inputs::new(self.config.clone(), Environment::process());
        inputs.option("--db", "store.path", self.db.clone().map(|db| absolute(&db)));
        inputs.option("--redis", "store.redis", self.redis.clone());
        let level = if self.verbose {
            Some("debug")
        } else if self.quiet {
            Some("error")
        } else {
            None
        };
        inputs.option(if self.quiet { "--quiet" } else { "--verbose" }, "log.level", level.map(str::to_owned));
        inputs
    }
}

/// Makes a path of the command line absolute. It is relative to the working directory, not to the configuration file.
fn absolute(path: &str) -> String {
    if matches!(path, "none" | "auto") {
        return path.to_owned();
    }
    std::path::absolute(path).map_or_else(|_| path.to_owned(), |path| path.display().to_string())
}

#[derive(Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    AddKey(add_key::AddKey),
    Import(import::Import),
    Keys(keys::Keys),
    TestKeys(test_keys::TestKeys),
    Generate(generate::Generate),
    Batch(batch::Batch),
    Usage(usage::Usage),
    Stats(stats::Stats),
    Health(stats::Health),
    Monitor(monitor::Monitor),
    Explain(explain::Explain),
    Tenants(tenants::Tenants),
    Config(config::ConfigCommand),
    Db(db::Db),
    Completions(completions::Completions),
}

/// Exit code for a wrong command line, configuration or input.
const WRONG: u8 = 2;
const OUT_OF_QUOTA: u8 = 3;
const NO_USABLE_KEY: u8 = 4;
/// Exit code after Ctrl-C or a signal.
const STOPPED: u8 = 130;

/// Parses the command line and runs its command.
pub fn run() -> ExitCode {
    let cli = Cli::try_parse().unwrap_or_else(|error| {
        let text = error.to_string();
        let shown = output::without_keys(&text);
        if shown == text {
            error.exit();
        }
        // A key was pasted by mistake.
        eprint!("{shown}");
        std::process::exit(WRONG.into())
    });
    let inputs = cli.common.inputs();
    let result = match cli.command {
        Command::Serve(serve) => serve.run(inputs),
        Command::Demo(demo) => demo.run(),
        Command::AddKey(add_key) => add_key.run(&inputs),
        Command::Import(import) => import.run(&inputs),
        Command::Keys(keys) => keys.run(inputs),
        Command::TestKeys(test_keys) => test_keys.run(inputs),
        Command::Generate(generate) => generate.run(inputs),
        Command::Batch(batch) => batch.run(inputs),
        Command::Usage(usage) => usage.run(&inputs),
        Command::Stats(stats) => stats.run(inputs),
        Command::Health(health) => health.run(inputs),
        Command::Monitor(monitor) => monitor.run(inputs),
        Command::Explain(explain) => explain.run(inputs),
        Command::Tenants(tenants) => tenants.run(&inputs),
        Command::Config(config) => config.run(&inputs),
        Command::Db(db) => db.run(&inputs),
        Command::Completions(completions) => Ok(completions.run()),
    };
    let code = result.unwrap_or_else(|error| {
        output::warn(described(&error));
        let wrong = error.is::<crate::config::Problems>() || error.is::<output::Wrong>();
        ExitCode::from(if wrong { WRONG } else { 1 })
    });
    match output::print_error() {
        // A closed pipe is not an error.
        Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            output::warn(format_args!("standard output: {error}"));
            ExitCode::FAILURE
        }
        _ => code,
    }
}

/// Returns the message of an error with those of its causes that it does not contain.
fn described(error: &anyhow::Error) -> String {
    let causes = error.chain().skip(1).map(ToString::to_string);
    causes.fold(error.to_string(), |all, cause| if all.contains(&cause) { all } else { format!("{all}: {cause}") })
}

/// Returns the text of an option, which `@FILE` reads from a file.
fn text_or_file(option: &str, given: Option<&str>) -> anyhow::Result<Option<String>> {
    let Some(text) = given else { return Ok(None) };
    let Some(file) = text.strip_prefix('@') else { return Ok(Some(text.to_owned())) };
    if file.is_empty() {
        return Err(output::wrong(format!("{option} @: the name of a file is missing after @")));
    }
    let text = std::fs::read_to_string(file);
    text.map(Some).map_err(|error| output::wrong(format!("{option} {file}: {error}")))
}

/// Runs a command on a runtime with this number of worker threads; the default is `TOKIO_WORKER_THREADS`, or one per core.
fn block_on<T>(threads: Option<usize>, command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = threads {
        builder.worker_threads(threads);
    }
    // Boxed, because the runtime is compiled again for each type of future.
    let command: Pin<Box<dyn Future<Output = _> + '_>> = Box::pin(command);
    let runtime = builder.enable_all().build()?;
    let result = runtime.block_on(command);
    // A read of standard input may never end.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cause_of_an_error_is_shown_once() {
        let error = anyhow::Error::from(tower_keypool::Error::store("Redis is away")).context("the pool");
        assert_eq!(described(&error), "the pool: the store failed: Redis is away");
    }
}
