//! `keypool explain`

use std::process::ExitCode;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    block_on,
    gateway_client::{Admin, GatewayClient},
    output::{Json, moment, plain, say, say_json, table},
};
use crate::config::Inputs;

/// What became of a request: which keys were tried, and with what outcome. A running gateway remembers the last 256.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 it is told, 1 the gateway does not answer or does not know the request, 2 the command line or \
                        the configuration is wrong."
)]
pub(super) struct Explain {
    /// The x-request-id of its answer
    #[arg(value_name = "REQUEST-ID")]
    request: String,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    output: Json,
}

impl Explain {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.admin.set(&mut inputs);
        let loaded = inputs.load()?;
        let client = GatewayClient::new(&self.admin, &loaded)?;
        let id = utf8_percent_encode(&self.request, NON_ALPHANUMERIC);
        let record = block_on(Some(1), client.get(&format!("/-/admin/requests/{id}")))?;
        if self.output.json {
            say_json(&record);
        } else {
            explain(&record);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => plain(text),
        other => other.to_string(),
    }
}

fn explain(record: &Value) {
    let at = record["at_ms"].as_i64().map(moment).unwrap_or_default();
    say(format_args!(
        "{} {}: {} after {} ms, at {at}, of {}",
        text(&record["method"]),
        text(&record["path"]),
        text(&record["status"]),
        text(&record["milliseconds"]),
        record["tenant"]
            .as_str()
            .map_or_else(|| "whoever has the gateway's token".to_owned(), |name| format!("tenant {}", plain(name)))
    ));
    if !record["cause"].is_null() {
        say(format_args!("the gateway's own answer: {}", text(&record["cause"])));
    }
    let attempts = record["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if attempts.is_empty() {
        say("no key was tried");
        return;
    }
    let cells = attempts.iter().map(|attempt| {
        let outcome = attempt["class"].as_str().map_or_else(|| "good".to_owned(), |class| class.replace('_', " "));
        let [key, project, model, status, message, ms] =
            ["key", "project", "model", "status", "message", "milliseconds"].map(|name| text(&attempt[name]));
        [key, project, model, outcome, status, message, ms]
    });
    say(table(["key", "project", "model", "outcome", "status", "the provider said", "ms"], cells));
}
