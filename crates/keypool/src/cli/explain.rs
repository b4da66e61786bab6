//! `keypool explain`: what became of a request, as a running gateway remembers it.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use clap::Args;
use serde_json::Value;

use super::{Failure, administrator::Administrator, hidden::Signals, say, say_json, table::Columns};
use crate::{probe, telemetry::plain};

/// What became of a request: each key that was looked at, every attempt, and whose answer it was.
///
/// A gateway with an administrator's token remembers its last 256 requests for 10 minutes. Which keys were looked at, and
/// why each was passed over, is noted of requests that ask for it: `x-keypool-trace: 1`, with that token in
/// `x-keypool-admin`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Explain {
    /// The request's id: x-request-id of its answer
    #[arg(value_name = "REQUEST_ID")]
    request: String,

    /// The gateway: http(s)://HOST:PORT [default: where the configuration and the environment let one listen]
    #[arg(long, value_name = "URL")]
    admin: Option<String>,

    #[command(flatten)]
    administrator: Administrator,

    /// Configuration file [default: keypool.toml here, or in the user's configuration folder] [env: KEYPOOL_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// As JSON
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  curl -i -H 'x-keypool-trace: 1' -H \"x-keypool-admin: $KEYPOOL_ADMIN_TOKEN\" \\
    -H 'x-goog-api-key: …' …
  keypool explain 3f1c09aa77d2-1b
  keypool explain 3f1c09aa77d2-1b --admin https://keys.example.org --admin-token-file token --json

Exit codes: 0 it is told, 1 the gateway does not answer, or does not know the request, 2 the command line is wrong.";

impl Explain {
    pub(super) fn run(self) -> Result<(), Failure> {
        let inputs = crate::config::Inputs::new(self.config, Vec::new());
        let url = match self.admin {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => inputs.admin_url().map_err(|problem| Failure::config(anyhow!("{problem}")))?,
        };
        let token = self.administrator.token(&inputs, Signals::End)?.ok_or_else(|| {
            Failure::config(anyhow!("the administrator's token is needed: --admin-token-file, or KEYPOOL_ADMIN_TOKEN"))
        })?;
        let at = url.parse().with_context(|| format!("{url} is no address")).map_err(Failure::config)?;
        probe::may_have_the_token(&at).map_err(Failure::config)?;
        let id = percent_encoding::utf8_percent_encode(&self.request, percent_encoding::NON_ALPHANUMERIC);
        let url = format!("{url}/-/admin/requests/{id}");
        let told = super::runtime()?.block_on(probe::administer(&url, &token)).map_err(Failure::run)?;
        if self.json {
            say_json(&told);
        } else {
            say(&explained(&told));
        }
        Ok(())
    }
}

fn word<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// In words.
fn explained(told: &Value) -> String {
    let mut lines = Vec::new();
    let (method, path, model) = (word(told, "method"), word(told, "path"), word(told, "model"));
    let tenant = word(told, "tenant");
    lines.push(format!("{} {}", plain(method), plain(path)));
    lines.push(format!(
        "model {}, tenant {}, {} ms to the answer's head",
        if model.is_empty() { "-".to_owned() } else { plain(model) },
        if tenant.is_empty() { "-".to_owned() } else { plain(tenant) },
        number(&told["ms"])
    ));
    lines.push(answer(told));
    for (n, look) in list(told, "looks").iter().enumerate() {
        let model = look["model"].as_str().map(|model| format!(" for {}", plain(model))).unwrap_or_default();
        lines.push(format!("\nlook {}, after {} ms{model}:", n + 1, number(&look["at_ms"])));
        let mut table = Columns::new(["key", "priority", "out", "ready in"]);
        for candidate in list(look, "candidates") {
            let out = candidate["out"].as_str().unwrap_or("no: it may serve");
            let ready = match (candidate["out"].is_null(), candidate["ready_in_ms"].as_u64()) {
                (true, _) => String::new(),
                (false, Some(ms)) => format!("{ms} ms"),
                (false, None) => "not by time alone".to_owned(),
            };
            table.row([word(candidate, "key").to_owned(), number(&candidate["priority"]), out.to_owned(), ready]);
        }
        lines.push(table.to_string());
        if let Some(more @ 1..) = look["more"].as_u64() {
            lines.push(format!("and {more} keys more"));
        }
    }
    if list(told, "looks").is_empty() {
        lines.push(
            "which keys were looked at is noted with x-keypool-trace: 1 (and the token in x-keypool-admin)".into(),
        );
    }
    let attempts = list(told, "attempts");
    if attempts.is_empty() {
        lines.push("\nno key was taken".to_owned());
    } else {
        lines.push("\nattempts:".to_owned());
        let mut table = Columns::new(["key", "model", "waited ms", "status", "verdict", "ms", "what to do"]);
        for attempt in attempts {
            let verdict = [word(attempt, "verdict"), word(attempt, "code")].join(" ");
            table.row([
                word(attempt, "key").to_owned(),
                word(attempt, "model").to_owned(),
                number(&attempt["waited_ms"]),
                number(&attempt["status"]),
                verdict.trim().to_owned(),
                number(&attempt["ms"]),
                word(attempt, "sentence").to_owned(),
            ]);
        }
        lines.push(table.to_string());
    }
    lines.join("\n")
}

/// Whose answer it was.
fn answer(told: &Value) -> String {
    let status = number(&told["status"]);
    let why = word(told, "why");
    let why = if why.is_empty() { String::new() } else { format!(": {}", plain(why)) };
    let after =
        told["retry_after"].as_str().map(|after| format!("; retry after {} s", plain(after))).unwrap_or_default();
    match word(told, "answered_by") {
        "provider" => format!("{status}: the provider's own answer, by key {}{after}", plain(word(told, "key"))),
        "gateway" => format!("{status}: this gateway's own answer, not the provider's{why}{after}"),
        _ => "the client left before there was an answer".to_owned(),
    }
}
