//! `keypool generate`

use std::{
    io::{Read, Write as _},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::BytesMut;
use clap::Args;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower_keypool::{
    Attempts, Error, ErrorKind,
    pool::{Attempt, UnavailableReason},
};

use super::{
    block_on,
    keys::rows,
    opened::{Opened, Source},
    output::{Json, no_answer, note, plain, say_json, short, wrong},
};
use crate::{
    config::Inputs,
    error::Dialect,
    proxy::{handler, pools::ProviderPool},
    tenants::matches,
};

const OUT_OF_QUOTA: u8 = 3;
const NO_USABLE_KEY: u8 = 4;
const STOPPED: u8 = 130;

/// Answer one prompt over the keys that `keypool serve` has. The answer is printed as it comes.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generate {
    /// The prompt; -: standard input
    #[arg(value_name = "PROMPT|-", allow_hyphen_values = true)]
    prompt: String,
    /// The model
    #[arg(long, value_name = "MODEL", default_value = "gemini-2.5-flash")]
    model: String,
    /// The system instruction; @FILE reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    system: Option<String>,
    /// Models that take the place of one that no key can serve, best first
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',')]
    fallback: Vec<String>,
    /// How long to wait for a key: seconds, or 500ms, 5s, 1m [default: 5s]
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

Exit codes: 0 answered, 1 not answered, 2 the command line or the configuration is wrong, 3 out of quota, 4 no usable key, \
130 stopped.";

/// What came of a prompt.
#[derive(Default)]
struct Answer {
    text: String,
    finish: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    error: Option<String>,
}

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
    let began = Instant::now();
    let answer = provider.send(request(provider.dialect, model, prompt, system)?).await;
    let (head, mut body) = match answer {
        Ok(answer) => answer.into_parts(),
        Err(error) => {
            let code = failed(opened, provider, &error).await?;
            flush(provider).await;
            return Ok(code);
        }
    };
    let attempts = head.extensions.get::<Attempts>().cloned().unwrap_or_default();
    let mut read = Answer::default();
    let mut left = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame.map_err(|error| read.error = Some(format!("the answer broke off: {error}"))) else {
            break;
        };
        left.extend_from_slice(frame.data_ref().map_or(&[][..], |data| data));
        if !head.status.is_success() {
            continue;
        }
        while let Some(end) = left.iter().position(|byte| *byte == b'\n') {
            let line = left.split_to(end + 1);
            let Some(event) = line.strip_prefix(b"data:") else { continue };
            let Ok(event) = serde_json::from_slice::<Value>(event) else { continue };
            let piece = read.take(provider.dialect, &event);
            if !json {
                let mut out = std::io::stdout().lock();
                let _ = out.write_all(terminal(&piece).as_bytes()).and_then(|()| out.flush());
            }
        }
    }
    drop(body);
    if !head.status.is_success() {
        let value: Value = serde_json::from_slice(&left).unwrap_or_default();
        let said = value["error"]["message"].as_str().unwrap_or_default();
        read.error = Some(format!("the provider answered {}: {}", head.status, plain(&short(said, 500))));
    }
    if read.error.is_none() && read.text.is_empty() {
        let why = read.finish.as_deref().unwrap_or("no reason is given");
        read.error = Some(format!("the answer is empty: {why}"));
    }
    let last = attempts.last();
    if json {
        say_json(&json!({
            "text": read.text,
            "error": read.error,
            "finish_reason": read.finish,
            "model": last.and_then(Attempt::model),
            "key": last.map(Attempt::key),
            "project": last.map(Attempt::project),
            "provider": &*provider.name,
            "attempts": attempts.len(),
            "usage": { "input_tokens": read.input_tokens, "output_tokens": read.output_tokens },
            "seconds": (began.elapsed().as_secs_f64() * 1_000.0).round() / 1_000.0,
        }));
    } else if !read.text.is_empty() && !read.text.ends_with('\n') {
        println!();
    }
    flush(provider).await;
    Ok(match &read.error {
        None => ExitCode::SUCCESS,
        Some(error) => {
            note(error);
            ExitCode::FAILURE
        }
    })
}

/// What was counted goes to the store.
async fn flush(provider: &ProviderPool) {
    let _ = tokio::time::timeout(Duration::from_secs(2), provider.pool.shutdown()).await;
}

fn request(dialect: Dialect, model: &str, prompt: &str, system: Option<&str>) -> anyhow::Result<Request<Body>> {
    let messages = |system: Option<&str>| {
        let system = system.map(|text| json!({ "role": "system", "content": text }));
        system.into_iter().chain([json!({ "role": "user", "content": prompt })]).collect::<Vec<_>>()
    };
    let (path, body) = match dialect {
        Dialect::Gemini => {
            let mut body = json!({ "contents": [{ "role": "user", "parts": [{ "text": prompt }] }] });
            if let Some(system) = system {
                body["systemInstruction"] = json!({ "parts": [{ "text": system }] });
            }
            let model = model.strip_prefix("models/").unwrap_or(model);
            (format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"), body)
        }
        Dialect::OpenAi => {
            let usage = json!({ "include_usage": true });
            let body = json!({ "model": model, "messages": messages(system), "stream": true, "stream_options": usage });
            ("/v1/chat/completions".to_owned(), body)
        }
        Dialect::Anthropic => {
            let mut body = json!({ "model": model, "max_tokens": 8_192, "messages": messages(None), "stream": true });
            if let Some(system) = system {
                body["system"] = system.into();
            }
            ("/v1/messages".to_owned(), body)
        }
    };
    let mut request = Request::post(path).header("content-type", "application/json");
    if dialect == Dialect::Anthropic {
        request = request.header("anthropic-version", "2023-06-01");
    }
    request.body(Body::from(body.to_string())).map_err(|_| wrong(format!("{model} is no name of a model")))
}

impl Answer {
    /// Takes what an event brings. The new text is returned.
    fn take(&mut self, dialect: Dialect, event: &Value) -> String {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        if let Some(message) = event["error"]["message"].as_str() {
            self.error = Some(format!("the answer broke off: {}", plain(&short(message, 500))));
        }
        let (piece, finish, input, output) = match dialect {
            Dialect::Gemini => {
                let candidate = &event["candidates"][0];
                let parts = candidate["content"]["parts"].as_array().map(Vec::as_slice).unwrap_or_default();
                let spoken =
                    parts.iter().filter(|part| part["thought"] != true).filter_map(|part| part["text"].as_str());
                let usage = &event["usageMetadata"];
                let thoughts = usage["thoughtsTokenCount"].as_u64().unwrap_or(0);
                let output = usage["candidatesTokenCount"].as_u64().map(|tokens| tokens + thoughts);
                let finish = text(&candidate["finishReason"]).or_else(|| text(&event["promptFeedback"]["blockReason"]));
                (spoken.collect::<String>(), finish, usage["promptTokenCount"].as_u64(), output)
            }
            Dialect::OpenAi => {
                let choice = &event["choices"][0];
                let (usage, piece) = (&event["usage"], text(&choice["delta"]["content"]).unwrap_or_default());
                (
                    piece,
                    text(&choice["finish_reason"]),
                    usage["prompt_tokens"].as_u64(),
                    usage["completion_tokens"].as_u64(),
                )
            }
            Dialect::Anthropic => {
                let piece = text(&event["delta"]["text"]).unwrap_or_default();
                let input = event["message"]["usage"]["input_tokens"].as_u64();
                (piece, text(&event["delta"]["stop_reason"]), input, event["usage"]["output_tokens"].as_u64())
            }
        };
        self.text.push_str(&piece);
        self.finish = finish.or(self.finish.take());
        self.input_tokens = input.or(self.input_tokens);
        self.output_tokens = output.or(self.output_tokens);
        piece
    }
}

/// What a model wrote must not act on the terminal.
fn terminal(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .map(|line| {
            let end = line.chars().last().filter(|last| matches!(last, '\n' | '\t'));
            let body = end.map_or(line, |_| &line[..line.len() - 1]);
            plain(body) + end.map(String::from).as_deref().unwrap_or_default()
        })
        .collect()
}

/// Says why no key served, and lists what is known against keys where none is usable.
async fn failed(opened: &Opened, provider: &ProviderPool, error: &Error) -> anyhow::Result<ExitCode> {
    let message = handler::failure(error).0.message;
    if let Some(unavailable) = error.as_unavailable() {
        // The last attempt may have another cause, such as a connection that was refused.
        let last = error.attempts().last().and_then(|attempt| attempt.outcome().failure());
        match last.and_then(tower_keypool::Failure::message) {
            Some(cause) => {
                note(format_args!("{message}; the last attempt at {}: {cause}", provider.pool.provider().base()));
            }
            None => note(&message),
        }
        let is_for_good =
            |reason: &UnavailableReason| matches!(reason, UnavailableReason::Disabled | UnavailableReason::Model);
        if !unavailable.reasons().iter().all(|(reason, _)| is_for_good(reason)) {
            return Ok(ExitCode::from(OUT_OF_QUOTA));
        }
        for row in rows(opened).await?.iter().filter(|row| *row.provider == *provider.name) {
            note(format_args!(
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
        ErrorKind::Transport => note(no_answer(&provider.pool, error)),
        _ => note(message),
    }
    Ok(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_dialect_is_read() {
        let mut answer = Answer::default();
        let event = json!({ "candidates": [{ "content": { "parts": [{ "text": "no", "thought": true }, { "text": "Hi" }] },
            "finishReason": "STOP" }], "usageMetadata": { "promptTokenCount": 3, "candidatesTokenCount": 1 } });
        assert_eq!(answer.take(Dialect::Gemini, &event), "Hi");
        assert_eq!((answer.input_tokens, answer.finish.as_deref()), (Some(3), Some("STOP")));
        let event = json!({ "choices": [{ "delta": { "content": " you" } }] });
        assert_eq!(answer.take(Dialect::OpenAi, &event), " you");
        let event = json!({ "type": "content_block_delta", "delta": { "type": "text_delta", "text": "!" } });
        answer.take(Dialect::Anthropic, &event);
        assert_eq!(answer.text, "Hi you!");
    }

    #[test]
    fn lines_are_kept_and_control_letters_are_not() {
        assert_eq!(terminal("a\n\tb\u{1b}[0m\n"), "a\n\tb [0m\n");
    }
}
