//! `keypool explain`

use std::process::ExitCode;

use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::{
    absolute, block_on,
    gateway_client::{Admin, GatewayClient},
    output::{Json, moment, plain, print, print_json, table},
};
use crate::config::Inputs;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 the gateway does not answer or does not know the request, 2 the command line or the configuration \
is wrong.";

/// Show one request of a running gateway and its attempts. The gateway keeps the last 256 requests.
#[derive(Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Explain {
    /// The x-request-id header of the response
    #[arg(value_name = "REQUEST-ID")]
    request: String,
    /// Certificates to trust instead of Mozilla's, in PEM [env: KEYPOOL_CACERT]
    #[arg(long, value_name = "FILE")]
    cacert: Option<String>,
    #[command(flatten)]
    admin: Admin,
    #[command(flatten)]
    output: Json,
}

impl Explain {
    pub(super) fn run(self, mut inputs: Inputs) -> anyhow::Result<ExitCode> {
        self.admin.set(&mut inputs);
        inputs.option("--cacert", "gateway.cacert", self.cacert.as_deref().map(absolute));
        let loaded = inputs.load()?;
        let client = GatewayClient::new(&self.admin, &loaded)?;
        let id = utf8_percent_encode(&self.request, NON_ALPHANUMERIC);
        let mut record = block_on(Some(1), client.get(&format!("/-/admin/requests/{id}")))?;
        if !record["method"].is_string() {
            anyhow::bail!("the response of {} is not a request: is this the admin address of a gateway?", client.base);
        }
        if self.output.json {
            record["at"] = record["at_ms"].as_i64().map(moment).into();
            print_json(&record);
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
    let tenant = record["tenant"].as_str().map(|name| format!(", by tenant {}", plain(name))).unwrap_or_default();
    let [method, path, status, ms] = ["method", "path", "status", "milliseconds"].map(|name| text(&record[name]));
    print(format_args!("{method} {path}: {status} after {ms} ms, at {at}{tenant}"));
    if !record["cause"].is_null() {
        print(format_args!("cause: {}", text(&record["cause"])));
    }
    let attempts = record["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    if attempts.is_empty() {
        print("no key was tried");
        return;
    }
    let cells = attempts.iter().map(|attempt| {
        let outcome = attempt["class"].as_str().map_or_else(|| "good".to_owned(), |class| class.replace('_', " "));
        let [key, project, model, status, message, ms] =
            ["key", "project", "model", "status", "message", "milliseconds"].map(|name| text(&attempt[name]));
        [key, project, model, outcome, status, ms, message]
    });
    print(table(["key", "project", "model", "outcome", "status", "ms", "provider's message"], cells));
}
