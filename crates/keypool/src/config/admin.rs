//! `[admin]`: who may look into a running gateway and change its keys.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_keypool::config::SecretText;

use super::{Config, address, reading::Reading, tenants};
use crate::gateway::{capability::hash_of, token::PLACEHOLDER};

/// `[admin]`: the API under /-/admin, and the page under /-/ui. Without a token both are off.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdminSection {
    /// What an administrator sends; another than clients send. Rather keep it elsewhere: `token_file`, `token_env`.
    #[schemars(extend("pattern" = "^[!-~]+$"))]
    pub token: Option<SecretText>,
    /// The file that holds the token; relative to this configuration's folder.
    pub token_file: Option<PathBuf>,
    /// The variable of the environment that holds the token.
    pub token_env: Option<String>,
    /// HOST:PORT of its own to listen on; the gateway's unless set.
    #[schemars(regex(pattern = r":\+?[0-9]{1,5}$"))]
    pub listen: Option<String>,
}

/// Who may administer, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Administration {
    /// The SHA-256 of the token, in hexadecimal; `None`: nobody may.
    pub token_hash: Option<String>,
    /// Where it listens, if elsewhere than the gateway.
    pub addresses: Option<Vec<SocketAddr>>,
}

/// What it comes to; what is wrong is noted. `known`: hashes of the tokens that clients send.
pub(super) fn resolve(
    config: &Config,
    gateway: &[SocketAddr],
    known: &[String],
    reading: &mut Reading<'_>,
) -> Administration {
    let section = &config.admin;
    let addresses = section.listen.as_deref().map(|listen| address::of("admin.listen", listen, &mut reading.document));
    let names = ("admin.token", "admin.token_file");
    let given = section.token.as_ref().map(SecretText::expose);
    let mut token = reading.secret(names, given, section.token_file.as_deref());
    if let Some(name) = &section.token_env {
        if token.is_some() {
            reading.problem("admin.token_env", "expected only one of token, token_file and token_env");
        }
        token = reading.environment.get(name).map(|value| value.trim().to_owned());
        if token.is_none() {
            reading.problem("admin.token_env", "expected the name of a variable that is set");
        }
    }
    let Some(token) = token else {
        if section.listen.is_some() {
            reading.problem(
                "admin.listen",
                "nobody may come in there: a token is needed (admin.token_file, --admin-token)",
            );
        }
        return Administration { token_hash: None, addresses };
    };
    let token_hash = hash_of(token.as_bytes());
    let place = match (&section.token_env, given) {
        (Some(_), _) => "admin.token_env",
        (None, None) => "admin.token_file",
        (None, Some(_)) => "admin.token",
    };
    let listens = addresses.as_deref().unwrap_or(gateway);
    if let Some(fault) = tenants::fault_of(&token, listens) {
        reading.problem(place, fault);
    } else if token == PLACEHOLDER || known.contains(&token_hash) {
        reading.problem(place, "expected another token than clients send");
    }
    Administration { token_hash: Some(token_hash), addresses }
}
