//! `keypool generate`

use std::{
    io::{Read, Write as _},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use keypool_batch::{Answer, AnswerStream, Finish, Prompt};
use serde_json::json;
use tower_keypool::{
    Error, ErrorKind,
    pool::{Attempt, UnavailableReason},
};

use super::{
    block_on,
    keys::rows,
    opened::{Opened, Source},
    output::{Json, no_answer, plain, print_json, short, warn, wrong},
};
use crate::{
    config::Inputs,
    proxy::{handler, pools::ProviderPool},
    tenants::matches,
};

const OUT_OF_QUOTA: u8 = 3;
const NO_USABLE_KEY: u8 = 4;
const STOPPED: u8 = 130;
/// Maximum time between two pieces of an answer.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Send one prompt with the pooled keys and print the answer as it arrives.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generate {
    /// The prompt; - reads it from standard input
    #[arg(value_name = "PROMPT|-", allow_hyphen_values = true)]
    prompt: String,
    /// The model
    #[arg(long, value_name = "MODEL", default_value = "gemini-2.5-flash")]
    model: String,
    /// The system instruction; @FILE reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    system: Option<String>,
    /// Fallback models, used in this order when no key can serve the requested one
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    fallback: Vec<String>,
    /// The maximum time to wait for a key: seconds, or 500ms, 5s, 1m [default: 5s]
    #[arg(long, value_name = "TIME")]
    wait: Option<String>,
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    output: Json,
}

const EXAMPLES: &str = "\
Examples:
  keypool generate 'Why is the sky blue?'
  git diff | keypool generate - --system 'Write a commit message' --model gemini-2.5-pro --fallback gemini-2.5-flash

Exit codes: 0 answered, 1 not answered or not completely, 2 the command line or the configuration is wrong, 3 out of quota, 4 no usable key, \
130 stopped.";

impl Generate {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        let prompt = self.read_prompt()?;
        let system = match self.system.as_deref().map(|system| (system, system.strip_prefix('@'))) {
            Some((_, Some(file))) => {
                Some(std::fs::read_to_string(file).map_err(|error| wrong(format!("--system {file}: {error}")))?)
            }
            system => system.map(|(text, _)| text.to_owned()),
        };
        inputs.option("--fallback", "pool.fallback", self.fallback.iter().cloned());
        inputs.option("--wait", "pool.wait", self.wait.clone());
        self.source.set(&mut inputs);
        block_on(Some(2), async {
            let opened = Opened::open(&inputs).await?;
            tokio::select! {
                code = answer(&opened, &self.model, &prompt, system.as_deref(), self.output.json) => code,
                _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(STOPPED)),
            }
        })
    }

    fn read_prompt(&self) -> anyhow::Result<String> {
        let mut prompt = self.prompt.clone();
        if prompt == "-" {
            prompt.clear();
            std::io::stdin().read_to_string(&mut prompt).map_err(|error| wrong(format!("standard input: {error}")))?;
        }
        if prompt.trim().is_empty() { Err(wrong("the prompt is empty")) } else { Ok(prompt) }
    }
}

async fn answer(
    opened: &Opened,
    model: &str,
    prompt: &str,
    system: Option<&str>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    let claims = |provider: &&Arc<ProviderPool>| provider.models.iter().any(|pattern| matches(pattern, model));
    let provider = opened.pools.iter().find(claims).unwrap_or_else(|| opened.pools.own());
    let client = opened.client(provider, TIMEOUT)?;
    let mut prompt = Prompt::text(prompt).model(model);
    if let Some(system) = system {
        prompt = prompt.system(system);
    }
    let began = Instant::now();
    let mut text = String::new();
    let answered = match client.stream(&prompt).await {
        Ok(stream) => read(stream, json, &mut text).await,
        Err(error) => Err(error),
    };
    let (error, attempts) = match &answered {
        Ok(answer) => (incomplete(answer), &answer.attempts),
        Err(error) => (Some(plain(&short(&error.to_string(), 500))), error.attempts()),
    };
    if json {
        let (answer, last) = (answered.as_ref().ok(), attempts.last());
        print_json(&json!({
            "text": text,
            "error": error,
            "finish_reason": answer.and_then(|answer| answer.finish_reason.as_deref()),
            "model": last.and_then(Attempt::model),
            "key": last.map(Attempt::key),
            "project": last.map(Attempt::project),
            "provider": &*provider.name,
            "attempts": attempts.len(),
            "usage": answer.and_then(|answer| answer.usage),
            "seconds": (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        }));
    } else if !text.is_empty() && !text.ends_with('\n') {
        println!();
    }
    let code = match (answered.as_ref().err().and_then(library), error) {
        (Some(error), _) => failed(opened, provider, error).await?,
        (None, Some(error)) => {
            warn(error);
            ExitCode::FAILURE
        }
        (None, None) => ExitCode::SUCCESS,
    };
    flush(provider).await;
    Ok(code)
}

/// Reads an answer, and prints it as it arrives.
async fn read(mut stream: AnswerStream, json: bool, text: &mut String) -> Result<Answer, keypool_batch::Error> {
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if !json {
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(terminal(&piece).as_bytes()).and_then(|()| out.flush());
        }
        text.push_str(&piece);
    }
    stream.finish()
}

/// Returns an error message if the answer is not complete.
fn incomplete(answer: &Answer) -> Option<String> {
    let why = match &answer.finish {
        Finish::Stop => return None,
        Finish::MaxTokens => "cut at the limit of output tokens",
        Finish::Blocked(_) => "blocked by the provider",
        Finish::Empty => "empty",
        _ => "not complete",
    };
    let reason = answer.finish_reason.as_deref().unwrap_or("the provider gave no reason");
    Some(plain(&short(&format!("the answer is {why}: {reason}"), 500)))
}

/// Returns the library's error, if that is the source.
fn library(error: &keypool_batch::Error) -> Option<&Error> {
    std::error::Error::source(error)?.downcast_ref()
}

/// Writes the remaining counts to the store.
async fn flush(provider: &ProviderPool) {
    let _ = tokio::time::timeout(Duration::from_secs(2), provider.pool.shutdown()).await;
}

/// Replaces control characters except line feeds and tabs, so that an answer cannot control the terminal.
fn terminal(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|line| {
            let end = line.chars().last().filter(|last| matches!(last, '\n' | '\t'));
            let body = end.map_or(line, |_| &line[..line.len() - 1]);
            plain(body) + end.map(String::from).as_deref().unwrap_or_default()
        })
        .collect()
}

/// Prints why no key served the request, and the state of each key if none is usable.
async fn failed(opened: &Opened, provider: &ProviderPool, error: &Error) -> anyhow::Result<ExitCode> {
    let message = handler::failure(error).0.message;
    if let Some(unavailable) = error.as_unavailable() {
        // The last attempt may have failed for another reason, such as a refused connection.
        let last = error.attempts().last().and_then(|attempt| attempt.outcome().failure());
        match last.and_then(tower_keypool::Failure::message) {
            Some(cause) => {
                warn(format_args!("{message}; the last attempt at {}: {cause}", provider.pool.provider().base()));
            }
            None => warn(&message),
        }
        let is_permanent =
            |reason: &UnavailableReason| matches!(reason, UnavailableReason::Disabled | UnavailableReason::Model);
        if !unavailable.reasons().iter().all(|(reason, _)| is_permanent(reason)) {
            return Ok(ExitCode::from(OUT_OF_QUOTA));
        }
        for row in rows(opened).await?.iter().filter(|row| *row.provider == *provider.name) {
            warn(format_args!(
                "{} ({}): {} {}; {}",
                row.id,
                row.listed_at,
                row.state.as_str(),
                row.why(),
                row.advice()
            ));
        }
        return Ok(ExitCode::from(NO_USABLE_KEY));
    }
    match error.kind() {
        ErrorKind::Transport => warn(no_answer(&provider.pool, error)),
        _ => warn(message),
    }
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_feeds_are_kept_and_control_characters_are_replaced() {
        assert_eq!(terminal("a\n\tb\u{1b}[0m\n"), "a\n\tb [0m\n");
    }
}
