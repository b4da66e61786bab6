//! `keypool generate`

use std::{
    io::Read,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Args;
use keypool_batch::{Answer, AnswerStream, Finish, Prompt, UnavailableCause};
use serde_json::json;
use tower_keypool::{Error, ErrorKind, pool::Attempt};

use super::{
    NO_USABLE_KEY, OUT_OF_QUOTA, STOPPED, block_on,
    keys::sentences,
    opened::{Opened, Source},
    output::{Json, plain, print, print_json, rounded_seconds, short, warn, write, wrong},
    serve::EndSignals,
    text_or_file,
};
use crate::{
    config::{Inputs, ProviderKind},
    error::ApiError,
    proxy::{check_key::no_answer, pools::ProviderPool},
};

/// Maximum time between two pieces of an answer.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Send one prompt with the pooled keys and print the answer as it arrives.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generate {
    /// The prompt; - reads it from standard input
    #[arg(value_name = "PROMPT|-", allow_hyphen_values = true)]
    prompt: String,
    /// The model [default with Gemini: gemini-2.5-flash]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The system instruction; @FILE reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    system: Option<String>,
    /// The maximum number of tokens in the answer [default with Anthropic: 8192]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    max_output_tokens: Option<u32>,
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

Exit codes: 0 answered, 1 not answered or not completely, 2 the command line or the configuration is wrong, 3 out of quota, 4 the \
keys are rejected or disabled, 130 stopped.";

impl Generate {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        let prompt = self.read_prompt()?;
        let system = text_or_file("--system", self.system.as_deref())?;
        inputs.option("--fallback", "pool.fallback", self.fallback.iter().cloned());
        inputs.option("--wait", "pool.wait", self.wait.clone());
        self.source.set(&mut inputs);
        block_on(Some(2), async {
            self.source.check_files()?;
            let opened = Opened::open(&inputs).await?;
            let default = (opened.loaded.config.gateway.provider == ProviderKind::Gemini).then_some("gemini-2.5-flash");
            let model = self.model.as_deref().or(default).filter(|model| !model.is_empty());
            let model = model.ok_or_else(|| wrong("no model is set: use --model"))?;
            let mut prompt = Prompt::text(prompt).model(model);
            if let Some(system) = system {
                prompt = prompt.system(system);
            }
            if let Some(tokens) = self.max_output_tokens {
                prompt = prompt.max_output_tokens(tokens);
            }
            let mut signals = EndSignals::catch()?;
            tokio::select! {
                code = answer(&opened, model, &prompt, self.output.json) => code,
                () = signals.next() => Ok(ExitCode::from(STOPPED)),
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

async fn answer(opened: &Opened, model: &str, prompt: &Prompt, json: bool) -> anyhow::Result<ExitCode> {
    let provider = opened.pools.of_model(model).unwrap_or_else(|| opened.pools.own());
    let client = opened.client(provider, TIMEOUT)?;
    let began = Instant::now();
    let mut text = String::new();
    let answered = match client.stream(prompt).await {
        Ok(stream) => read(stream, json, &mut text).await,
        Err(error) => Err(error),
    };
    let (code, errors, attempts) = match &answered {
        Ok(answer) => match incomplete(answer) {
            Some(why) => (1, vec![why], &answer.attempts),
            None => (0, Vec::new(), &answer.attempts),
        },
        Err(error) => {
            let (code, errors) = failed(opened, provider, error).await?;
            (code, errors, error.attempts())
        }
    };
    if json {
        let (answer, last) = (answered.as_ref().ok(), attempts.last());
        print_json(&json!({
            "text": text,
            "error": (!errors.is_empty()).then(|| errors.join("\n")),
            "finish_reason": answer.and_then(|answer| answer.finish_reason.as_deref()),
            "model": last.and_then(Attempt::model),
            "key": last.map(Attempt::key),
            "project": last.map(Attempt::project),
            "provider": &*provider.name,
            "attempts": attempts.len(),
            "usage": answer.and_then(|answer| answer.usage),
            "seconds": rounded_seconds(began.elapsed()),
        }));
    } else if !text.is_empty() && !text.ends_with('\n') {
        print("");
    }
    for error in errors {
        warn(error);
    }
    flush(provider).await;
    Ok(ExitCode::from(code))
}

/// Reads an answer, and prints it as it arrives.
async fn read(mut stream: AnswerStream, json: bool, text: &mut String) -> Result<Answer, keypool_batch::Error> {
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if !json {
            write(terminal(&piece).as_bytes());
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

/// Returns the exit code and the reasons why there is no answer, with the state of each key if none is usable.
async fn failed(
    opened: &Opened,
    provider: &ProviderPool,
    error: &keypool_batch::Error,
) -> anyhow::Result<(u8, Vec<String>)> {
    let message = plain(&short(&error.to_string(), 500));
    let Some(cause) = error.unavailable_cause() else {
        return Ok((
            1,
            vec![match library(error) {
                Some(error) if error.kind() == ErrorKind::Transport => no_answer(&provider.pool, error),
                Some(error) => ApiError::from(error).message,
                None => message,
            }],
        ));
    };
    // The last attempt may have failed for another reason, such as a refused connection.
    let last = error.attempts().last().and_then(|attempt| attempt.outcome().failure());
    let mut errors = vec![match last.and_then(tower_keypool::Failure::message) {
        Some(cause) => format!("{message}; the last attempt at {}: {cause}", provider.pool.provider().base()),
        None => message,
    }];
    if cause == UnavailableCause::Keys {
        errors.extend(sentences(opened, &provider.name).await?);
    }
    let code = match cause {
        UnavailableCause::Quota => OUT_OF_QUOTA,
        UnavailableCause::Keys => NO_USABLE_KEY,
        _ => 1,
    };
    Ok((code, errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_feeds_are_kept_and_control_characters_are_replaced() {
        assert_eq!(terminal("a\n\tb\u{1b}[0m\n"), "a\n\tb [0m\n");
    }
}
