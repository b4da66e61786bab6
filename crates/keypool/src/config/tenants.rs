//! `[[tenants]]`: who may ask beside whoever has the gateway's one token.

#![allow(clippy::doc_markdown, reason = "these comments are printed as they are")]

use std::{collections::HashSet, net::SocketAddr, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tower_keypool::config::{Amount, Name, Problem, SecretText};

use super::{
    Config,
    address::GUESSED,
    guessable::is_guessed,
    reading::{Reading, UNREAD},
};
use crate::gateway::{
    capability::hash_of,
    tenant::{DEFAULT, Grant, TenantLimits},
};

/// One of several who ask, each with a token, rights and limits of its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend(
    "required" = ["name"],
    "oneOf" = [{ "required": ["token"] }, { "required": ["token_file"] }, { "required": ["token_hash"] }],
))]
pub struct TenantEntry {
    /// What it is called; its files and the like are kept under this name.
    pub name: Option<Name>,
    /// What it sends in the place of a key. Rather keep it elsewhere: `token_file`, `token_hash`.
    #[schemars(extend("pattern" = "^[!-~]+$"))]
    pub token: Option<SecretText>,
    /// The file that holds the token; relative to this configuration's folder.
    pub token_file: Option<PathBuf>,
    /// The SHA-256 of the token, in 64 hexadecimal digits (`printf %s TOKEN | sha256sum`).
    #[schemars(regex(pattern = "^[0-9A-Fa-f]{64}$"))]
    pub token_hash: Option<String>,
    /// Models that it may ask, `gemini-2.5-*` for all that begin so; all unless set.
    #[schemars(inner(regex(pattern = r"^([!-)+-~]+\*?|\*)$")))]
    pub models: Vec<String>,
    /// Requests a minute of the clock.
    pub rpm: Option<Amount>,
    /// Requests a day (UTC).
    pub rpd: Option<Amount>,
    /// Tokens of prompts and answers a minute of the clock.
    pub tpm: Option<Amount>,
    /// Tokens of prompts and answers a day (UTC).
    pub tpd: Option<Amount>,
    /// When its token ends: 2027-01-31, or 2027-01-31T12:00:00Z.
    #[schemars(regex(pattern = "^[+-]?[0-9]{4}"))]
    pub expires: Option<String>,
}

/// A token that somebody chose, and that machines elsewhere can try, is no shorter.
const LONG_ENOUGH: usize = 16;

/// The tenants, each without fault; what is wrong is noted.
pub(super) fn resolve(
    config: &Config,
    listens: &[SocketAddr],
    own_token: Option<&str>,
    reading: &mut Reading<'_>,
) -> Vec<Grant> {
    let (mut names, mut hashes, mut all) = (HashSet::new(), HashSet::new(), Vec::new());
    hashes.extend(own_token.map(|token| hash_of(token.as_bytes())));
    for (at, entry) in config.tenants.iter().enumerate() {
        let place = |field: &str| format!("tenants[{at}].{field}");
        let Some(Name(name)) = entry.name.clone() else {
            reading.problem(&format!("tenants[{at}]"), "a tenant needs a name");
            continue;
        };
        if name == DEFAULT || !names.insert(name.clone()) {
            reading.problem(&place("name"), "another tenant is called so (default has the gateway's own token)");
        }
        let (text_at, file_at) = (place("token"), place("token_file"));
        let given = entry.token.as_ref().map(SecretText::expose);
        let token = reading.secret((&text_at, &file_at), given, entry.token_file.as_deref());
        let token_hash = match (&token, &entry.token_hash) {
            (Some(_), Some(_)) => {
                reading.problem(&place("token_hash"), "expected only one of token, token_file and token_hash");
                continue;
            }
            (None, None) => {
                let what = "a tenant needs a token: one of token_hash, token_file and token";
                reading.problem(&format!("tenants[{at}]"), what);
                continue;
            }
            (None, Some(hash)) if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                hash.to_ascii_lowercase()
            }
            (None, Some(_)) => {
                reading.problem(&place("token_hash"), "expected the 64 hexadecimal digits of a SHA-256");
                continue;
            }
            (Some(token), None) => {
                if let Some(fault) = fault_of(token, listens) {
                    reading.problem(&text_at, fault);
                } else if token.len() < LONG_ENOUGH && token != UNREAD {
                    let what = "beyond loopback this token would be refused: 16 characters at least";
                    reading.weak.near_only.push(Problem::new(reading.document.origin(&text_at), &text_at, what));
                } else if is_guessed(token) && token != UNREAD {
                    let what = format!("beyond loopback this token would be refused, {GUESSED}");
                    reading.weak.near_only.push(Problem::new(reading.document.origin(&text_at), &text_at, what));
                }
                hash_of(token.as_bytes())
            }
        };
        if !hashes.insert(token_hash.clone()) {
            reading.problem(&format!("tenants[{at}]"), "another tenant, or the gateway itself, has the same token");
        }
        if entry.models.iter().any(|model| !is_model(model)) {
            reading.problem(&place("models"), "expected names of models, at most with a * at the end");
        }
        let expires = entry.expires.as_deref().and_then(|text| {
            let moment = moment(text);
            if moment.is_none() {
                reading.problem(&place("expires"), "expected a day such as 2027-01-31, or 2027-01-31T12:00:00Z");
            }
            moment
        });
        let amount = |amount: &Option<Amount>| amount.as_ref().map(|amount| amount.0);
        let limits = TenantLimits {
            rpm: amount(&entry.rpm),
            tpm: amount(&entry.tpm),
            rpd: amount(&entry.rpd),
            tpd: amount(&entry.tpd),
        };
        all.push(Grant { name, token_hash, models: entry.models.clone(), limits, expires });
    }
    all
}

/// What is wrong with a token that somebody chose, and that these addresses take.
pub(super) fn fault_of(token: &str, listens: &[SocketAddr]) -> Option<&'static str> {
    let near = listens.iter().all(|address| address.ip().to_canonical().is_loopback());
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some("expected visible ASCII characters, without spaces");
    }
    if near {
        return None;
    }
    if token.len() < LONG_ENOUGH {
        return Some("other machines could guess it: 16 characters at least");
    }
    (is_guessed(token) && token != UNREAD).then_some(
        "other machines could guess it, since it is made of a repeated piece, a row of characters or common words \
         (`openssl rand -hex 24` makes a better one)",
    )
}

/// Whether it may name models.
pub(crate) fn is_model(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !text.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'*')
}

/// A moment as people write it, in Unix milliseconds: the beginning of a day of UTC, or a time.
pub(crate) fn moment(text: &str) -> Option<i64> {
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return Some(moment.as_millisecond());
    }
    let day = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10)?;
    Some(day.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::moment;

    #[test]
    fn moments_are_days_or_times() {
        assert_eq!(moment("2027-01-31"), Some(1_801_353_600_000));
        assert_eq!(moment("2027-01-31T12:00:00Z"), Some(1_801_396_800_000));
        for wrong in ["", "tomorrow", "2027-13-01", "31.01.2027"] {
            assert_eq!(moment(wrong), None, "{wrong}");
        }
    }
}
