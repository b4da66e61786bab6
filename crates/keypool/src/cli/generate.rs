//! `keypool generate`: one prompt, answered on the terminal.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{
    io::{IsTerminal, Read, Write},
    time::Duration,
};

use anyhow::anyhow;
use clap::{Args, builder::NonEmptyStringValueParser};
use keypool_client::{Client, ErrorKind, Generate as Request, api::is_block};
use serde_json::json;
use tower_keypool::{Exhausted, KeyPool, OutReason};

use super::{
    Failure, STOPPED,
    batch::{at, of_each_key, time},
    model_name, said, say_json,
    source::{self, Source},
};
use crate::{
    client::Calls,
    config::{Loaded, ProviderName},
    telemetry::{plain, plain_text},
};

/// Answer one prompt, on the terminal as it comes.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Generate {
    /// The prompt; `-`: standard input
    #[arg(value_name = "PROMPT|-")]
    prompt: String,

    /// The model
    #[arg(long, value_name = "MODEL", default_value = keypool_client::DEFAULT_MODEL, value_parser = NonEmptyStringValueParser::new())]
    model: String,

    /// What the model goes by; @FILE reads it from a file
    #[arg(long, value_name = "TEXT|@FILE")]
    system: Option<String>,

    /// How free the answer is: 0 to 2 [default: the model's own]
    #[arg(long, value_name = "NUMBER", value_parser = temperature)]
    temperature: Option<f64>,

    /// Models to step down to, best first, when no key may serve the one asked for
    #[arg(long, value_name = "MODEL,…", value_delimiter = ',', value_parser = NonEmptyStringValueParser::new())]
    fallback: Vec<String>,

    /// How long to wait for a key, in seconds or as 10m [default: pool.wait, 5 s unless set]
    #[arg(long, value_name = "SECONDS")]
    max_wait: Option<String>,

    /// The whole answer as JSON: text, key, model, attempts, usage
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    pool: Source,
}

const EXAMPLES: &str = "\
Examples:
  keypool generate 'Why is the sky blue?'
  git diff | keypool generate - --system 'Write a commit message' --temperature 0.2
  keypool generate 'Three colours' --model gemini-2.5-pro --fallback gemini-2.5-flash
  keypool generate 'Three colours' --json | jq -r '.text, .key_id'

Exit codes: 0 answered, 1 not answered (refused, blocked, broken off), 2 the command line or the configuration is wrong, \
3 out of quota (and when to come back), 4 no usable key, 130 stopped.";

fn temperature(text: &str) -> Result<f64, String> {
    let given = text.parse().ok().filter(|degree| (0.0..=2.0).contains(degree));
    given.ok_or_else(|| "expected 0 to 2".to_owned())
}

impl Generate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let fallback = (!self.fallback.is_empty()).then(|| self.fallback.join(","));
        let given = [("--fallback", "pool.fallback", fallback), ("--max-wait", "pool.wait", self.max_wait.clone())];
        let inputs = self.pool.inputs(given);
        let mut loaded = inputs.load().map_err(|errors| super::config::wrong(&errors))?;
        if loaded.config.gateway.provider != ProviderName::Gemini {
            return Err(Failure::config(anyhow!(
                "generate speaks Gemini's API, and these keys are for another: `echo PROMPT | keypool batch - --model \
                 MODEL` speaks theirs"
            )));
        }
        model_name::check(Some(&self.model), &loaded)?;
        let system = self.system.as_deref().map(source::text_or_file).transpose()?;
        let prompt = self.prompt()?;
        // What befalls keys is in the error, or of no matter.
        super::batch::warn_on_stderr(false);
        super::runtime()?.block_on(async {
            let source::Opened { pool, .. } = source::pool(inputs, &mut loaded).await?;
            let asked = self.asked(&client(&loaded, &pool), prompt, system);
            let answered = tokio::select! {
                answered = self.answer(asked, &pool) => answered,
                () = super::interrupted() => Err(Failure::with(STOPPED, anyhow!("stopped"))),
            };
            pool.shutdown().await;
            answered
        })
    }

    fn prompt(&self) -> Result<String, Failure> {
        let mut text = self.prompt.clone();
        if text == "-" {
            text.clear();
            std::io::stdin().read_to_string(&mut text).map_err(Failure::config)?;
        }
        if text.trim().is_empty() {
            return Err(Failure::config(anyhow!("the prompt is empty")));
        }
        Ok(text)
    }

    fn asked(&self, client: &Client, prompt: String, system: Option<String>) -> Request {
        let mut asked = client.generate(prompt).model(&*self.model);
        if let Some(system) = system {
            asked = asked.system(system);
        }
        self.temperature.into_iter().fold(asked, Request::temperature)
    }

    async fn answer(&self, asked: Request, pool: &KeyPool) -> Result<(), Failure> {
        let failed = |error| failure(&error, pool);
        if self.json {
            let answer = asked.await.map_err(failed)?;
            let blocked = answer.response().block_reason();
            say_json(&json!({
                "text": answer.text(),
                "finish_reason": answer.finish_reason().or(blocked),
                "requested_model": answer.requested_model(),
                "model": answer.used_model(),
                "key_id": answer.key_id().map(ToString::to_string),
                "attempts": answer.attempts(),
                "usage": answer.usage(),
            }));
            let empty = answer.text().is_empty();
            return ending(empty, answer.finish_reason(), blocked);
        }
        let mut stream = asked.stream().await.map_err(failed)?;
        let on_terminal = std::io::stdout().is_terminal();
        let (mut empty, mut ends_line, mut finish, mut blocked) = (true, false, None, None);
        while let Some(piece) = stream.next().await {
            let piece = piece.map_err(|error| {
                if !empty {
                    // What is wrong does not stand behind half a sentence.
                    let _ = writeln!(std::io::stdout());
                }
                failed(error)
            })?;
            finish = piece.finish_reason().map(str::to_owned).or(finish);
            blocked = piece.block_reason().map(str::to_owned).or(blocked);
            let text = piece.text();
            if text.is_empty() {
                continue;
            }
            empty = false;
            ends_line = text.ends_with('\n');
            let text = if on_terminal { plain_text(&text) } else { text };
            let mut out = std::io::stdout().lock();
            if !said::note(out.write_all(text.as_bytes()).and_then(|()| out.flush())) {
                // Nobody reads any more.
                return Ok(());
            }
        }
        if !empty && !ends_line {
            said::note(writeln!(std::io::stdout()));
        }
        ending(empty, finish.as_deref(), blocked.as_deref())
    }
}

fn client(loaded: &Loaded, pool: &KeyPool) -> Client {
    let settings = loaded.config.pool();
    Client::builder(pool)
        .timeout(loaded.config.batch.timeout.0)
        .transport(Calls::new(&loaded.roots, &loaded.exits.ways))
        .fallback(settings.fallback())
        // Where no key is left, what is said is when to come back.
        .retry(settings.retry().exhausted_instead(true))
        .build()
}

/// How it ended, where that is not as it should be.
fn ending(empty: bool, finish: Option<&str>, blocked: Option<&str>) -> Result<(), Failure> {
    match (blocked, finish) {
        (Some(why), _) => Err(Failure::with(1, anyhow!("the prompt was blocked: {}", plain(why)))),
        (None, why) if empty => {
            Err(Failure::with(1, anyhow!("the answer is empty: {}", plain(why.unwrap_or("no reason is given")))))
        }
        (None, Some(why)) if is_block(why) => Err(Failure::with(1, anyhow!("the answer was blocked: {}", plain(why)))),
        (None, Some(why)) if why != "STOP" => {
            eprintln!("keypool: note: the answer ended early: {}", plain(why));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn failure(error: &keypool_client::Error, pool: &KeyPool) -> Failure {
    let said = plain(&told(error));
    if !error.is_exhausted() {
        return Failure::with(1, anyhow!(said));
    }
    let out = error.pool().and_then(tower_keypool::Error::exhausted);
    match error.retry_after().or(out.and_then(Exhausted::may_serve_in)) {
        Some(next) if !out.is_some_and(is_of_keys) => {
            let back: Duration = next;
            let when = format!("come back at {} (in {})", at(pool, back), time(back.as_secs_f64()));
            Failure::with(3, anyhow!("out of quota: {said}; {when}"))
        }
        // Keys are well, and another process has them, or they are busy, or the provider told of a limit and not for how long:
        // nobody knows when they come, and they do.
        None if out.is_none_or(Exhausted::may_end_any_time) => {
            Failure::with(3, anyhow!("out of quota: {said}; come back in a minute, or wait longer (--max-wait)"))
        }
        _ => {
            let each = out.map(|out| of_each_key(out, pool)).unwrap_or_default();
            Failure::with(4, anyhow!("no usable key: {said} (`keypool test-keys` says what to do){each}"))
        }
    }
}

/// What went wrong, and what can be done about it where that is known. A web page is told by what it means alone.
fn told(error: &keypool_client::Error) -> String {
    let ErrorKind::Refused { status, message, .. } = error.kind() else { return error.to_string() };
    let advice = error.served_by().map_or("", |served| served.verdict().advice_of());
    match (advice, error.key_id()) {
        ("", _) => error.to_string(),
        (advice, Some(key)) if message.starts_with('<') => {
            format!("{status}, a web page: {advice} (key {key}, attempt {})", error.attempts())
        }
        (advice, _) => format!("{error}: {advice}"),
    }
}

/// Whether all keys are out for what they are themselves: time alone brings none of them back, though it is tried. Money may come.
fn is_of_keys(out: &Exhausted) -> bool {
    use OutReason::{DisabledByHand, DisabledInvalid, DisabledSuspended, Elsewhere, Held, Resting};
    out.reasons().all(|(reason, _)| {
        matches!(reason, DisabledByHand | DisabledInvalid | DisabledSuspended | Elsewhere | Held | Resting)
    })
}
