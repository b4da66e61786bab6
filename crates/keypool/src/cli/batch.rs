//! `keypool batch`

use std::{
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, ValueEnum, value_parser};
use keypool_batch::{
    Batch as Engine, BatchError, Client, ErrorLog, Input, InputFormat, Output, OutputError, OutputOptions,
    PromptOptions, Run, RunOutcome, Summary, batch::Bar,
};

use super::{
    NO_USABLE_KEY, OUT_OF_QUOTA, STOPPED, block_on,
    keys::sentences,
    opened::{Opened, Source},
    output::{Json, print_json, warn, wrong},
    serve::EndSignals,
    text_or_file,
};
use crate::{
    config::{BatchSection, HumanDuration, Inputs, Loaded, ProviderKind},
    reload::Files,
};

/// Answer a file of prompts within the limits of the keys. A second run resumes where the first one stopped.
///
/// The input is lines of text, JSON lines, a JSON array, CSV or TSV. Results are JSON lines, or a JSON array if the
/// output file ends in .json; they include failed tasks. A task that fails because of its key is sent again with
/// another key, and this does not count as a retry.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Batch {
    /// The file of prompts; - reads standard input
    #[arg(value_name = "FILE|-", allow_hyphen_values = true)]
    input: PathBuf,
    /// The file of results, which a later run resumes [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The format of the input [default: from the name of the file or the first line of standard input]
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// The column of CSV or TSV that holds the prompt
    #[arg(long, value_name = "NAME", default_value = "prompt")]
    column: String,
    /// The model for tasks that do not name one [default with Gemini: gemini-2.5-flash]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The system instruction; @FILE reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    system: Option<String>,
    /// The temperature, 0 to 2
    #[arg(long, value_name = "NUMBER", value_parser = temperature)]
    temperature: Option<f64>,
    /// The maximum number of tokens in an answer
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..))]
    max_output_tokens: Option<u32>,
    /// The maximum number of simultaneous requests with each key
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..))]
    workers_per_key: Option<u32>,
    /// The minimum time between the starts of two requests of a worker: seconds, or 500ms, 12s
    #[arg(long, value_name = "TIME")]
    rate_limit_per_slot: Option<HumanDuration>,
    /// The maximum number of simultaneous requests with all keys, instead of --workers-per-key [default: 8 for each key,
    /// 32 to 512 in total]
    #[arg(long, value_name = "NUMBER", value_parser = value_parser!(u32).range(1..),
          conflicts_with_all = ["workers_per_key", "rate_limit_per_slot"])]
    concurrency: Option<u32>,
    /// The maximum number of retries of a failed task; failures of keys do not count [default: 3]
    #[arg(long, value_name = "NUMBER")]
    max_retries: Option<u32>,
    /// The maximum time for one answer [default: 600s]
    #[arg(long, value_name = "TIME")]
    timeout: Option<HumanDuration>,
    /// Retry the tasks that failed in an earlier run
    #[arg(long, requires = "output")]
    retry_failed: bool,
    /// Within this run, also retry requests that are invalid (400) or refused, up to --max-retries times
    #[arg(long)]
    retry_invalid: bool,
    /// Fallback models, used in this order when no key can serve the requested one
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    fallback: Vec<String>,
    /// Stop when no answer has arrived for this time
    #[arg(long, value_name = "TIME")]
    max_wait: Option<HumanDuration>,
    /// Stop with exit code 3 when the daily quota of all keys is used up
    #[arg(long, conflicts_with = "max_wait")]
    until_exhausted: bool,
    /// Write results in the order of the tasks
    #[arg(long, requires = "output")]
    ordered: bool,
    /// Parse answers as JSON; an answer that is not JSON is retried
    #[arg(long)]
    parse_json: bool,
    /// Check answers against this JSON schema; an answer that does not match is retried
    #[arg(long, value_name = "FILE")]
    json_schema: Option<PathBuf>,
    /// Write a line for each error to this file
    #[arg(long, value_name = "FILE")]
    error_log: Option<PathBuf>,
    /// The time between two lines of progress when standard error is not a terminal [default: 10s]
    #[arg(long, value_name = "TIME")]
    monitor_interval: Option<HumanDuration>,
    /// Show no progress
    #[arg(long)]
    no_progress: bool,
    #[command(flatten)]
    source: Source,
    // With `--json` the summary is JSON; results always are.
    #[command(flatten)]
    summary: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool batch prompts.txt -o answers.jsonl
  keypool batch prompts.csv -o parsed.jsonl --parse-json --json-schema answer.schema.json
  keypool batch many.txt -o many.jsonl --until-exhausted

The first Ctrl-C or SIGTERM waits for the requests in flight, the second one stops at once.

With --json the summary is JSON, on standard error if standard output has the results.

Exit codes: 0 all tasks were answered, 1 some failed, or --max-wait has passed and the provider cannot be reached or fails, 2 the \
command line, the configuration or the input is wrong, 3 out of quota, 4 the keys are rejected or disabled, 130 stopped.";

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Text,
    Jsonl,
    Json,
    Csv,
}

fn temperature(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|degree| (0.0..=2.0).contains(degree)).ok_or_else(|| "expected 0 to 2".to_owned())
}

impl Batch {
    pub(super) fn run(mut self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        inputs.option("--fallback", "pool.fallback", std::mem::take(&mut self.fallback));
        self.source.set(&mut inputs);
        block_on(None, async {
            self.source.check_files()?;
            let loaded = inputs.load()?;
            let files = Files::read(&inputs, &loaded, None);
            let opened = Opened::open_loaded(loaded).await?;
            let settings = self.settings(&opened.loaded.config.batch)?;
            let client = opened.client(opened.pools.own(), settings.timeout.0)?;
            self.check_error_log(&opened.loaded)?;
            let engine = self.engine(&client, &settings, opened.loaded.config.gateway.provider)?;
            let (input, output) = (self.open_input()?, self.open_output()?);
            let signals = EndSignals::catch()?;
            let run = engine.start(input, output).map_err(|error| wrong(error.to_string()))?;
            tokio::select! {
                () = self.follow(&run, signals) => {}
                () = opened.follow_keys(&inputs, files) => {}
            }
            let summary = run.finish().await;
            let _ = tokio::time::timeout(Duration::from_secs(2), client.pool().shutdown()).await;
            let summary = match summary {
                // The reader of standard output, such as `head`, has read enough.
                Err(BatchError::Output(OutputError::Io { error, .. }))
                    if self.output.is_none() && error.kind() == ErrorKind::BrokenPipe =>
                {
                    return Ok(ExitCode::SUCCESS);
                }
                summary => summary.map_err(of_output)?,
            };
            match self.output {
                Some(_) if self.summary.json => print_json(&summary),
                // Standard output has the results.
                None if self.summary.json => {
                    let _ = writeln!(std::io::stderr(), "{}", serde_json::to_string_pretty(&summary)?);
                }
                _ => warn(&summary),
            }
            if matches!(summary.outcome, RunOutcome::NoKeys { .. }) {
                sentences(&opened, &opened.pools.own().name).await?.into_iter().for_each(warn);
            }
            Ok(code(&summary))
        })
    }

    /// Returns the options of the command line, with those of the configuration as defaults.
    fn settings(&self, configured: &BatchSection) -> anyhow::Result<BatchSection> {
        let system = text_or_file("--system", self.system.as_deref())?;
        let given = configured.clone();
        if self.timeout.is_some_and(|timeout| timeout.0.is_zero()) {
            return Err(wrong("--timeout: expected more than 0"));
        }
        Ok(BatchSection {
            model: self.model.clone().or(given.model),
            system: system.or(given.system),
            temperature: self.temperature.or(given.temperature),
            max_output_tokens: self.max_output_tokens.or(given.max_output_tokens),
            workers_per_key: self.workers_per_key.or(given.workers_per_key.filter(|_| self.concurrency.is_none())),
            rate_limit_per_slot: self
                .rate_limit_per_slot
                .or(given.rate_limit_per_slot.filter(|_| self.concurrency.is_none())),
            concurrency: self.concurrency.map(|most| most as usize).or(given.concurrency),
            max_retries: self.max_retries.unwrap_or(given.max_retries),
            timeout: self.timeout.unwrap_or(given.timeout),
        })
    }

    fn engine(&self, client: &Client, settings: &BatchSection, provider: ProviderKind) -> anyhow::Result<Engine> {
        let default = (provider == ProviderKind::Gemini).then(|| "gemini-2.5-flash".to_owned());
        // Without a model of the run, each task must name one.
        let model = settings.model.clone().or(default).unwrap_or_default();
        let mut options = PromptOptions::new();
        if let Some(system) = &settings.system {
            options = options.system(system.as_str());
        }
        if let Some(temperature) = settings.temperature {
            options = options.temperature(temperature);
        }
        if let Some(tokens) = settings.max_output_tokens {
            options = options.max_output_tokens(tokens);
        }
        let mut engine = Engine::new(client, model).options(options).max_retries(settings.max_retries);
        match (settings.workers_per_key, settings.rate_limit_per_slot, settings.concurrency) {
            (None, None, None) => {}
            (None, None, Some(workers)) => engine = engine.workers(workers),
            (workers, interval, _) => {
                let interval = interval.map_or(Duration::ZERO, |interval| interval.0);
                engine = engine.slots(workers.unwrap_or(1) as usize, interval);
            }
        }
        if self.retry_invalid {
            engine = engine.retry_invalid();
        }
        if self.until_exhausted {
            engine = engine.until_exhausted();
        }
        if let Some(wait) = self.max_wait {
            engine = engine.max_wait(wait.0);
        }
        if self.parse_json {
            engine = engine.parse_json();
        }
        if let Some(file) = &self.json_schema {
            let schema = serde_json::from_str(&read(file, "--json-schema")?);
            let schema = schema.map_err(|error| wrong(format!("--json-schema {}: {error}", file.display())))?;
            engine = engine.json_schema(schema).map_err(|error| wrong(format!("--json-schema: {error}")))?;
        }
        if let Some(file) = &self.error_log {
            let log =
                ErrorLog::file(file).map_err(|error| wrong(format!("--error-log {}: {error}", file.display())))?;
            engine = engine.error_log(log);
        }
        Ok(engine)
    }

    /// Refuses an error log in a file that this run uses for something else.
    fn check_error_log(&self, loaded: &Loaded) -> anyhow::Result<()> {
        let Some(log) = &self.error_log else { return Ok(()) };
        // The log and the output may not exist yet.
        let real = |path: &Path| {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let in_folder = || Some(folder.canonicalize().ok()?.join(path.file_name()?));
            path.canonicalize().ok().or_else(in_folder).unwrap_or_else(|| path.to_owned())
        };
        let journal = self.output.as_ref().map(|output| PathBuf::from(format!("{}.journal", output.display())));
        let key_files = loaded.pools().into_iter().flat_map(|settings| settings.key_files().collect::<Vec<_>>());
        let used = key_files.chain([self.input.clone()]).chain(self.output.clone()).chain(journal);
        let is_used = used.map(|path| real(&path)).any(|path| path == real(log) && !Path::new("/dev/null").eq(&path));
        if is_used {
            let log = log.display();
            return Err(wrong(format!("--error-log {log}: this is the output, the input or a key file")));
        }
        Ok(())
    }

    fn open_input(&self) -> anyhow::Result<Input> {
        let csv = || InputFormat::Csv { column: self.column.clone() };
        let named = self.format.map(|format| match format {
            Format::Text => InputFormat::Lines,
            Format::Jsonl => InputFormat::JsonLines,
            Format::Json => InputFormat::JsonArray,
            Format::Csv => csv(),
        });
        let opened = if self.input == Path::new("-") {
            Input::stdin(named)
        } else {
            let format = named.unwrap_or_else(|| match InputFormat::of_path(&self.input) {
                InputFormat::Csv { .. } => csv(),
                InputFormat::Tsv { .. } => InputFormat::Tsv { column: self.column.clone() },
                other => other,
            });
            Input::open_as(&self.input, format)
        };
        opened.map_err(|error| wrong(format!("{}: {error}", self.input.display())))
    }

    fn open_output(&self) -> anyhow::Result<Output> {
        let options = OutputOptions { ordered: self.ordered, retry_failed: self.retry_failed };
        if let Some(file) = self
            .output
            .as_ref()
            .filter(|file| matches!(InputFormat::of_path(file), InputFormat::Csv { .. } | InputFormat::Tsv { .. }))
        {
            let why = "results are JSON lines: name it .jsonl or .json";
            return Err(wrong(format!("--output {}: {why}", file.display())));
        }
        match &self.output {
            Some(file) => Output::file(file, &options).map_err(|error| match error {
                OutputError::Io { ref error, .. } if is_wrong_path(error) => {
                    wrong(format!("--output {}: {error}", file.display()))
                }
                error => of_output(error.into()),
            }),
            None => Ok(Output::writer(std::io::stdout())),
        }
    }

    /// Shows progress until the run ends; the first Ctrl-C drains it, the second one stops it.
    async fn follow(&self, run: &Run, mut signals: EndSignals) {
        let (control, bar) = (run.control(), Bar::new());
        let stopping = async {
            signals.next().await;
            let why = "stopping: waiting for the requests in flight; press Ctrl-C again to stop at once";
            if self.no_progress {
                warn(why);
            } else {
                bar.suspend(|| warn(why));
            }
            control.stop();
            signals.next().await;
            control.abort();
            std::future::pending::<()>().await;
        };
        let every = self.monitor_interval.map_or(Duration::from_secs(10), |every| every.0);
        let showing = async { if self.no_progress { run.ended().await } else { bar.follow(run, every).await } };
        tokio::select! {
            () = showing => {}
            () = stopping => {}
        }
    }
}

fn read(file: &Path, option: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(file).map_err(|error| wrong(format!("{option} {}: {error}", file.display())))
}

/// Reports whether a path names a folder, or a file in a folder that does not exist.
fn is_wrong_path(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory)
}

/// Maps an output that cannot be written to a failure, and one with other contents to a wrong command line.
fn of_output(error: BatchError) -> anyhow::Error {
    match error {
        BatchError::Output(OutputError::Io { .. }) => error.into(),
        other => wrong(other.to_string()),
    }
}

fn code(summary: &Summary) -> ExitCode {
    match summary.outcome {
        RunOutcome::Exhausted { .. } | RunOutcome::WaitedTooLong { .. } => ExitCode::from(OUT_OF_QUOTA),
        RunOutcome::NoKeys { .. } => ExitCode::from(NO_USABLE_KEY),
        RunOutcome::Unreachable { .. } => ExitCode::FAILURE,
        RunOutcome::Stopped => ExitCode::from(STOPPED),
        _ if summary.input_error.is_some() => ExitCode::from(super::WRONG),
        _ if summary.failed + summary.skipped_failed > 0 => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}
