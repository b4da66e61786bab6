//! The query string, decoded.

use percent_encoding::percent_decode_str;

use crate::refusal::{ApiError, bad_request};

/// Parameters that every method understands.
const STANDARD: &str = "key access_token oauth_token alt $alt prettyPrint $prettyPrint fields $fields quotaUser $.xgafv \
                        callback uploadType upload_protocol $httpHeaders";

/// Name and value pairs in their order.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let decode = |text: &str| {
            let text = text.replace('+', " ");
            percent_decode_str(&text).decode_utf8_lossy().into_owned()
        };
        Self(
            query
                .unwrap_or_default()
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decode(name), decode(value)))
                .collect(),
        )
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn get<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// Whether the caller asked for events (`alt=sse`).
    pub(super) fn wants_events(&self) -> bool {
        self.get("alt").or_else(|| self.get("$alt")) == Some("sse")
    }

    /// Refuses names that neither every method nor this one knows.
    pub(super) fn check(&self, known: &[&str]) -> Result<(), ApiError> {
        let unknown = self.0.iter().map(|(name, _)| name.as_str()).find(|name| {
            let snake = *name == "page_size" || *name == "page_token";
            !(STANDARD.split_whitespace().any(|standard| standard == *name)
                || known.contains(name)
                || snake && known.contains(&"pageSize"))
        });
        if let Some(name) = unknown {
            return Err(unknown_parameter(name));
        }
        let form = self.get("alt").or_else(|| self.get("$alt"));
        // Google's generated clients ask for `json;enum-encoding=int`, and read names as well.
        let is_known = |form: &str| matches!(form.split(';').next(), Some("" | "json" | "sse" | "media" | "proto"));
        match form.filter(|form| !is_known(form)) {
            None => Ok(()),
            Some(form) => {
                let message = format!("Invalid value \"{form}\" for query parameter 'alt'");
                Err(ApiError::malformed(message))
            }
        }
    }
}

/// 400 for a query (or form) parameter that does not exist.
pub(super) fn unknown_parameter(name: &str) -> ApiError {
    let quoted = name.replace('"', "\\\"");
    let why = format!(
        "Invalid JSON payload received. Unknown name \"{quoted}\": Cannot bind query parameter. Field '{quoted}' could \
         not be found in request message."
    );
    bad_request(&[(String::new(), why)])
}
