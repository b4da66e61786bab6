//! `keypool batch`: a file of tasks, each answered once.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

mod configured;
mod ending;
mod error_log;
mod following;
mod places;
mod progress;
mod sheet;
mod stdout;
mod summary;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context;
use clap::{
    Args, ValueEnum,
    builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser},
};
use keypool_client::batch::{JsonCheck, Output, OutputOptions, input::Format};
use tower_keypool::{KeyId, KeyPool, Strategy};
use tracing_subscriber::{Layer as _, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use super::{
    Failure, STOPPED, model_name, serve,
    source::{self, Source},
};
use crate::{
    client::Calls,
    config::{Inputs, Loaded},
    database::Database,
    reload,
    standing::{Configured, Standings},
    telemetry::MIGRATED,
};
pub(super) use ending::{at, of_each_key};
use error_log::ErrorLog;
use following::Following;
pub(super) use progress::time;
use sheet::Sheet;
use summary::Summary;

/// Answer every task of a file exactly once, as fast as the keys allow.
///
/// Stopped or killed and started again with the same output, it goes on where it was. Tasks are lines of text, JSON lines
/// (a text, or an object with prompt or a whole request, and id, model, system, temperature; what else it has is carried
/// through), one JSON array of them, or CSV or TSV with a column prompt.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Batch {
    /// File of tasks, or `-` for standard input
    #[arg(value_name = "FILE")]
    input: PathBuf,

    /// Where results go: a line of JSON each, or one array where it ends in .json; a run goes on from what is there
    /// [default: `-`, standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// How the tasks are written down [default: by the file's name: .jsonl, .json, .csv, .tsv, else text]
    #[arg(long, value_name = "NAME", value_parser = formats())]
    format: Option<Format>,

    /// The column of CSV (or TSV) that holds the prompt
    #[arg(long, value_name = "NAME", default_value = "prompt")]
    column: String,

    /// Model of tasks that name none [default: gemini-2.5-flash]
    #[arg(long, value_name = "MODEL", value_parser = NonEmptyStringValueParser::new())]
    model: Option<String>,

    /// What the model goes by, in tasks that say nothing of it; @FILE reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    system: Option<String>,

    /// How free answers are: 0 to 2 [default: 1.0]
    #[arg(long, value_name = "NUMBER")]
    temperature: Option<String>,

    /// Slots a key, each with one task at a time; turns slots on [default: 4]
    #[arg(long, value_name = "NUMBER")]
    workers_per_key: Option<String>,

    /// Seconds from a slot's start to its next; turns slots on. The keys' limits hold as well [default: 12.0]
    #[arg(long, value_name = "SECONDS")]
    rate_limit_per_slot: Option<String>,

    /// Requests at a time, without slots [default: what the limits can keep busy]
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["workers_per_key", "rate_limit_per_slot"])]
    concurrency: Option<String>,

    /// How often a task is tried again after a fault of its own or the model's; faults of keys are not counted [default: 3]
    #[arg(long, value_name = "NUMBER")]
    max_retries: Option<String>,

    /// Send again what the provider calls invalid
    #[arg(long)]
    retry_invalid: bool,

    /// Try again what failed in an earlier run
    #[arg(long, requires = "output")]
    retry_failed: bool,

    /// Models to step down to, best first, when no key may serve the one asked for
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    fallback: Vec<String>,

    /// How long to wait for a key before it ends with 3, in seconds or as 10m, 2h [default: as long as it takes]
    #[arg(long, value_name = "SECONDS")]
    max_wait: Option<String>,

    /// End with 3 once the keys' quotas are used up, for a daily cron
    #[arg(long, conflicts_with = "max_wait")]
    until_exhausted: bool,

    /// How long one answer may take, in seconds or as 10m [default: 10m]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<String>,

    /// Put results in the order of the input, once it ends
    #[arg(long, requires = "output")]
    ordered: bool,

    /// Answers are JSON: what stands in fences or between words is found, what is broken repaired
    #[arg(long)]
    parse_json: bool,

    /// The same, checked against a JSON schema
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,

    /// A line for everything that goes wrong, to this file
    #[arg(long, value_name = "FILE")]
    error_log: Option<PathBuf>,

    /// How those lines are written
    #[arg(long, value_name = "NAME", default_value = "text")]
    error_log_format: LogFormat,

    /// Seconds from line to line of the progress, where there is no terminal [default: 2.0]
    #[arg(long, value_name = "SECONDS")]
    monitor_interval: Option<String>,

    /// Show no progress; the summary at the end all the same
    #[arg(long)]
    no_progress: bool,

    /// Neither progress nor summary: nothing but what is wrong
    #[arg(short, long)]
    quiet: bool,

    /// The summary at the end as JSON, to this file
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,

    /// Order among the ready keys of one priority [default: least-loaded]
    #[arg(long, value_name = "NAME", value_parser = serve::strategies())]
    strategy: Option<Strategy>,

    #[command(flatten)]
    pool: Source,
}

/// What was found and opened before anything is sent.
struct Opened {
    check: Option<JsonCheck>,
    log: Option<ErrorLog>,
    output: Option<Output>,
    summary: Option<Summary>,
}

/// How the error log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    /// For people.
    Text,
    /// A line of JSON each.
    Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool batch prompts.txt -o answers.jsonl
  keypool batch prompts.jsonl -o ordered.json --ordered --model gemini-2.5-pro --system @system.txt
  keypool batch prompts.csv -o parsed.jsonl --parse-json --json-schema answer.schema.json
  keypool batch prompts.txt -o slots.jsonl --workers-per-key 4 --rate-limit-per-slot 12 \\
    --error-log errors.log
  0 9 * * *  keypool batch many.txt -o many.jsonl --until-exhausted
  cat prompts.txt | keypool batch - > answers.jsonl

Ctrl-C once: what is under way comes to its end; twice: it stops at once. Either way nothing done is lost.

Exit codes: 0 all answered, 1 some tasks failed (or the system did), 2 command line, configuration or input is wrong, \
3 out of quota (it says until when), 4 no usable key (it lists them), 130 stopped.";

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::NAMES.map(|(name, _)| name)).try_map(|name| name.parse::<Format>())
}

impl Batch {
    pub(super) fn run(mut self) -> Result<(), Failure> {
        self.output = self.output.filter(|path| path != Path::new("-"));
        let mut inputs = self.inputs()?;
        inputs.stay();
        let mut loaded = inputs.load().map_err(|errors| super::config::wrong(&errors))?;
        warn_on_stderr(true);
        model_name::check(loaded.config.batch.model.as_deref(), &loaded)?;
        self.apart(&loaded).map_err(Failure::config)?;
        let sheet = Sheet::of(&self.input, self.format, &self.column)?;
        let check = self.check()?;
        let log = self.error_log.as_ref().map(|path| ErrorLog::open(path, self.error_log_format == LogFormat::Json));
        let log = log.transpose().map_err(Failure::config)?;
        let options = OutputOptions { retry_failed: self.retry_failed, ordered: self.ordered };
        let output =
            self.output.as_ref().map(|path| Output::open(path, &options)).transpose().map_err(Failure::config)?;
        let summary = self.summary.as_deref().map(Summary::open).transpose().map_err(Failure::config)?;

        super::runtime()?.block_on(async {
            let source::Opened { pool, database, keys, inputs } = source::pool(inputs, &mut loaded).await?;
            let used = used_today(&loaded, database.as_ref()).await;
            let following = Following { inputs, keys };
            let ended =
                self.work(&loaded, &pool, following, used, &sheet, Opened { check, log, output, summary }).await;
            pool.shutdown().await;
            ended
        })
    }

    /// Runs it, and says how it ended.
    async fn work(
        &self,
        loaded: &Loaded,
        pool: &KeyPool,
        following: Following,
        used: Option<Standings>,
        sheet: &Sheet,
        Opened { check, log, output, summary }: Opened,
    ) -> Result<(), Failure> {
        let calls = Calls::new(&loaded.roots, &loaded.exits.ways);
        let mut batch = configured::configured(loaded, pool, &calls)?;
        batch = batch.expecting_of(sheet.models.clone());
        if let Some(used) = used {
            for model in batch.models().collect::<Vec<_>>() {
                let used = used.requests_today(&model).map(|(key, used)| (KeyId::from(key), used));
                batch = batch.used_today(&model, used);
            }
        }
        if let Some(check) = check {
            batch = batch.json(check);
        }
        let log = log.map(Arc::new);
        if let Some(log) = log.clone() {
            let clock = pool.clock().clone();
            batch = batch.on_fault(move |fault| log.write(fault, clock.wall()));
        }
        if let Some(tasks) = sheet.tasks {
            batch = batch.expecting(tasks);
        }
        let before = output.as_ref().map(Output::before).unwrap_or_default();
        let shows = !self.no_progress && !self.quiet;
        if shows {
            progress::begin(&batch.plan(), sheet.tasks, before, self.retry_failed);
        }
        let to_stdout = output.is_none();
        if let Some(output) = output {
            batch = batch.output(output);
        }
        let run = match &sheet.path {
            Some(path) => batch.run_file(path, Some(sheet.format), &self.column),
            None => batch.run_stdin(self.format, &self.column),
        };
        let watch = run.watch();
        let (stopped, gone) = (super::interrupted(), reload::terminal_gone());
        let stop = tokio::spawn({
            let watch = watch.clone();
            async move {
                let mut stopped = Box::pin(stopped);
                tokio::select! {
                    () = &mut stopped => {}
                    () = gone => {
                        tokio::spawn(async move {
                            stopped.await;
                            std::process::exit(STOPPED.into());
                        });
                    }
                }
                progress::line("keypool: ending: what is under way comes to its end; Ctrl-C again stops at once");
                watch.stop();
            }
        });
        let following = following.follow(loaded, pool, calls, watch.clone(), self.quiet);
        let interval = loaded.config.batch.monitor_interval.0;
        let shown = shows.then(|| tokio::spawn(progress::show(watch.clone(), sheet.tasks, interval)));
        let (ended, unwritten) = if to_stdout { stdout::print(run).await } else { (run.finish().await.0, None) };
        if let Some(shown) = shown {
            shown.abort();
            let _ = shown.await;
        }
        stop.abort();
        following.abort();
        let told = ending::Told {
            summary,
            output: self.output.as_deref(),
            log_has_gap: log.is_some_and(|log| log.has_gap()),
            unwritten,
            quiet: self.quiet,
            asks_otherwise: self.model.is_some()
                || self.system.is_some()
                || self.temperature.is_some()
                || self.parse_json
                || self.json_schema.is_some(),
        };
        told.tell(&ended, &watch, pool)
    }

    /// Refuses to write what it reads or goes by, or twice to one file.
    fn apart(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let is_stdin = self.input == Path::new("-");
        let input = if is_stdin { Path::new("/dev/stdin") } else { &self.input };
        places::is_no_prompts(input, places::of_configuration(loaded))?;
        let system = self.system.as_deref().and_then(|system| system.strip_prefix('@')).map(Path::new);
        let output = self.output.as_deref().unwrap_or(Path::new("/dev/stdout"));
        let name = if self.output.is_some() { "-o" } else { "" };
        let beside = self.output.as_deref().map(Output::beside).unwrap_or_default();
        let rest = [
            self.json_schema.as_deref().map(|path| places::read("--json-schema", path)),
            system.map(|path| places::read("--system", path)),
            self.error_log.as_deref().map(|path| places::written("--error-log", path)),
            self.summary.as_deref().map(|path| places::written("--summary", path)),
        ];
        let files = [places::read("the input", input), places::written(name, output)].into_iter();
        let files = files.chain(beside.into_iter().map(|path| places::written("beside the output", path)));
        places::apart(places::of_configuration(loaded).chain(files).chain(rest.into_iter().flatten()))
    }

    /// Options are settings like others, and win.
    fn inputs(&self) -> Result<Inputs, Failure> {
        let list = |items: &[String]| (!items.is_empty()).then(|| items.join(","));
        let system = self.system.as_deref().map(source::text_or_file).transpose()?;
        // A minute's windows are waited for.
        let max_wait = if self.until_exhausted { Some("65s".to_owned()) } else { self.max_wait.clone() };
        let given = [
            ("--strategy", "pool.strategy", self.strategy.map(|strategy| strategy.to_string())),
            ("--fallback", "pool.fallback", list(&self.fallback)),
            ("--model", "batch.model", self.model.clone()),
            ("--system", "batch.system", system),
            ("--temperature", "batch.temperature", self.temperature.clone()),
            ("--workers-per-key", "batch.workers_per_key", self.workers_per_key.clone()),
            ("--rate-limit-per-slot", "batch.rate_limit_per_slot", self.rate_limit_per_slot.clone()),
            ("--concurrency", "batch.concurrency", self.concurrency.clone()),
            ("--max-retries", "batch.max_retries", self.max_retries.clone()),
            ("--retry-invalid", "batch.retry_invalid", self.retry_invalid.then(|| "true".to_owned())),
            ("--max-wait", "batch.max_wait", max_wait),
            ("--timeout", "batch.timeout", self.timeout.clone()),
            ("--monitor-interval", "batch.monitor_interval", self.monitor_interval.clone()),
        ];
        Ok(self.pool.inputs(given))
    }

    fn check(&self) -> Result<Option<JsonCheck>, Failure> {
        let Some(path) = &self.json_schema else { return Ok(self.parse_json.then(JsonCheck::any)) };
        let wrong = || format!("--json-schema {}", path.display());
        let text = tower_keypool::config::read_text(path).with_context(wrong).map_err(Failure::config)?;
        let schema = serde_json::from_str(&text).with_context(wrong).map_err(Failure::config)?;
        JsonCheck::schema(&schema).with_context(wrong).map_err(Failure::config).map(Some)
    }
}

/// What all who work on the database have used today. One that cannot be read now tells nothing: it is for the forecast.
async fn used_today(loaded: &Loaded, database: Option<&Database>) -> Option<Standings> {
    let configured = Configured::by(&*loaded.provider, loaded.keys.keys.clone(), loaded);
    Standings::of(Some(database?), &configured).await.ok()
}

/// Standard output may carry results: what goes wrong is said beside it; `of_keys`: and what befalls each of them.
pub(super) fn warn_on_stderr(of_keys: bool) {
    let is_told = move |of: &tracing::Metadata<'_>| {
        let of_a_migration = of.target() == MIGRATED && *of.level() <= tracing::Level::INFO;
        of_a_migration || *of.level() <= tracing::Level::WARN && (of_keys || of.target() != "tower_keypool::events")
    };
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(false);
    let lines = lines.with_target(false).without_time().with_filter(filter_fn(is_told));
    let _ = tracing_subscriber::registry().with(lines).try_init();
}

/// A path, as a message names it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
