//! A client of a running gateway's admin API.

use std::{net::IpAddr, time::Duration};

use anyhow::Context;
use axum::body::Body;
use clap::Args;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use super::{
    absolute,
    output::{plain, short, wrong},
};
use crate::{
    config::{Inputs, Loaded, SecretText},
    proxy::upstream::{HttpClient, client, client_tls, http_connector, https, transport_error},
};

const TIMEOUT: Duration = Duration::from_secs(10);
const MAX_RESPONSE: usize = 256 << 20;

/// The address of a gateway and its admin token.
#[derive(Args)]
pub(super) struct Admin {
    /// The address of the gateway, http(s)://HOST:PORT [default of `explain`: the address in the configuration]
    #[arg(long, value_name = "URL")]
    pub admin: Option<String>,
    /// The file with the admin token [env: KEYPOOL_ADMIN_TOKEN, KEYPOOL_ADMIN_TOKEN_FILE]
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<String>,
}

impl Admin {
    pub(super) fn set(&self, inputs: &mut Inputs) {
        inputs.option("--admin-token-file", "admin.token_file", self.admin_token_file.as_deref().map(absolute));
    }

    /// Reports whether a gateway is named.
    pub(super) fn is_named(&self) -> bool {
        self.admin.is_some()
    }
}

/// A client with the admin token, which is sent only over verified TLS or to this machine.
pub(super) struct GatewayClient {
    pub base: String,
    token: SecretText,
    client: HttpClient,
}

impl GatewayClient {
    pub(super) fn new(admin: &Admin, loaded: &Loaded) -> anyhow::Result<Self> {
        let base = admin.admin.clone().unwrap_or_else(|| default_address(loaded));
        let base = base.trim_end_matches('/').to_owned();
        let uri: Uri = base
            .parse()
            .map_err(|_| wrong(format!("--admin: {base} is not an address: expected http(s)://HOST:PORT")))?;
        let host = uri.host().unwrap_or_default();
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => {
                return Err(wrong(format!("the admin token is sent to {host} only over TLS: use https://")));
            }
            _ => return Err(wrong(format!("--admin: {base} is not an address: expected http(s)://HOST:PORT"))),
        }
        let token = loaded.admin_token.clone();
        let token =
            token.ok_or_else(|| wrong("the admin token is missing: set --admin-token-file or KEYPOOL_ADMIN_TOKEN"))?;
        let connector = https(http_connector(), &client_tls(loaded)?);
        Ok(Self { base, token, client: client(connector) })
    }

    /// Gets a path such as `/-/admin/snapshot`. Redirects are not followed.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let request = Request::get(format!("{}{path}", self.base)).header("x-keypool-admin", self.token.expose());
        let request = request.body(Body::empty())?;
        let answered = tokio::time::timeout(TIMEOUT, async {
            let answer = self.client.request(request).await.map_err(|error| anyhow::anyhow!(transport_error(error)))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), MAX_RESPONSE).collect().await;
            Ok((status, body.map_err(|error| anyhow::anyhow!(error))?.to_bytes()))
        });
        let no_answer = || format!("no answer from the gateway at {}", self.base);
        let (status, body) = match answered.await {
            Ok(answer) => answer.map_err(|error: anyhow::Error| root(&error)).with_context(no_answer)?,
            Err(_) => anyhow::bail!("{} within {} s", no_answer(), TIMEOUT.as_secs()),
        };
        let value = serde_json::from_slice::<Value>(&body).unwrap_or_default();
        if status.is_success() {
            return Ok(value);
        }
        let message = value["error"]["message"].as_str();
        let message = message.map(|text| format!(": {}", plain(&short(text, 300)))).unwrap_or_default();
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ": check the admin token",
            StatusCode::NOT_FOUND if message.is_empty() => {
                ": check that it has an admin token and that this is its admin address"
            }
            _ => "",
        };
        anyhow::bail!("the gateway at {} answered {status}{message}{hint}", self.base)
    }
}

/// Returns the root cause as an error.
fn root(error: &anyhow::Error) -> anyhow::Error {
    anyhow::anyhow!(error.root_cause().to_string())
}

fn default_address(loaded: &Loaded) -> String {
    let mut address = loaded.admin_listen.unwrap_or(loaded.listen);
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::from([127, 0, 0, 1]));
    }
    let scheme = if loaded.config.gateway.tls_cert_file.is_some() { "https" } else { "http" };
    format!("{scheme}://{address}")
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_loopback() {
        for host in ["localhost", "127.0.0.1", "127.3.2.1", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "10.0.0.1", "localhost.example", "127.0.0.1.example", "[fe80::1]"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
