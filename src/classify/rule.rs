//! A rule of the classification: the errors that it matches, and their class.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::{ErrorClass, SHORTEST_OF_A_DAY, Scope, error_body::ErrorInfo};

/// A row of the classification table: conditions, and the class of the errors that match all of them.
///
/// A condition with several values matches if any of them does. Case is ignored. A `*` at either end of a code matches
/// any text. Quoted parts and names of models are removed from a message before it is searched, except for status 429.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::{ErrorClass, Rule, Scope};
///
/// let no_money = Rule::new(ErrorClass::Billing).status(429).message("out of credits");
/// let revoked = Rule::new(ErrorClass::KeyRejected).code("key_revoked").confirm();
/// let weekly = Rule::new(ErrorClass::RateLimit)
///     .provider("openai")
///     .code("weekly_*")
///     .scope(Scope::Project)
///     .cooldown(Duration::from_secs(3_600));
/// # let _ = (no_money, revoked, weekly);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rule {
    pub(crate) provider: Option<String>,
    pub(crate) statuses: Vec<u16>,
    pub(crate) codes: Vec<String>,
    pub(crate) messages: Vec<String>,
    pub(crate) class: ErrorClass,
    pub(crate) scope: Option<Scope>,
    pub(crate) cooldown: Option<Duration>,
    pub(crate) confirm: bool,
    pub(crate) needs_status: bool,
}

impl Rule {
    /// Creates a rule that matches every error until conditions are added.
    pub fn new(class: ErrorClass) -> Self {
        Self {
            provider: None,
            statuses: Vec::new(),
            codes: Vec::new(),
            messages: Vec::new(),
            class,
            scope: None,
            cooldown: None,
            confirm: false,
            needs_status: false,
        }
    }

    /// Matches only errors of the provider with this name.
    pub fn provider(mut self, name: &str) -> Self {
        self.provider = Some(name.to_owned());
        self
    }

    /// Matches only responses with this status. Can be called repeatedly to allow several.
    pub fn status(self, status: u16) -> Self {
        self.statuses([status])
    }

    /// Matches only responses with one of these statuses.
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses.extend(statuses);
        self
    }

    /// Matches only errors with this code, such as `insufficient_quota`. Can be called repeatedly to allow several.
    pub fn code(self, code: &str) -> Self {
        self.codes([code])
    }

    /// Matches only errors with one of these codes.
    pub fn codes<'a>(mut self, codes: impl IntoIterator<Item = &'a str>) -> Self {
        self.codes.extend(codes.into_iter().map(str::to_lowercase));
        self
    }

    /// Matches only errors whose message contains this text. Can be called repeatedly to allow several.
    pub fn message(self, text: &str) -> Self {
        self.messages([text])
    }

    /// Matches only errors whose message contains one of these texts.
    pub fn messages<'a>(mut self, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.messages.extend(texts.into_iter().map(str::to_lowercase));
        self
    }

    /// Sets the scope of the errors, instead of the class's scope.
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// Sets the cooldown, instead of the class's cooldown. In classes that use the provider's delay, a longer delay
    /// takes precedence.
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.cooldown = Some(cooldown);
        self
    }

    /// Disables the key only after the second such error in a row, because a new key may be refused in its first
    /// minute.
    pub fn confirm(mut self) -> Self {
        self.confirm = true;
        self
    }

    /// Excludes errors in a stream that name no status, because the rule's texts are too vague for them.
    pub(super) fn needs_status(mut self) -> Self {
        self.needs_status = true;
        self
    }

    /// Reports whether all conditions match. For an error in a stream without a status, codes and messages decide.
    pub(super) fn matches(&self, provider: &str, info: &ErrorInfo) -> bool {
        let says_more = !self.needs_status && (!self.codes.is_empty() || !self.messages.is_empty());
        self.provider.as_ref().is_none_or(|name| name.eq_ignore_ascii_case(provider))
            && (self.statuses.is_empty() || info.status.map_or(says_more, |status| self.statuses.contains(&status)))
            && (self.codes.is_empty() || self.matched_code(info).is_some())
            && (self.messages.is_empty() || self.messages.iter().any(|text| info.text.contains(text.as_str())))
    }

    /// Reports whether the texts of a row without codes may match words that do not name the cause: text of a bad
    /// request, or an upsell after a limit that resets soon.
    pub(super) fn is_doubtful(&self, info: &ErrorInfo) -> bool {
        let resets_soon = || info.retry_after.is_some_and(|delay| delay < SHORTEST_OF_A_DAY);
        let is_money = || matches!(self.class, ErrorClass::Billing | ErrorClass::DailyQuota);
        let is_at_a_start = || self.messages.iter().any(|text| info.starts.contains(text));
        self.codes.is_empty()
            && match info.status {
                None | Some(429) => self.provider.is_none() && is_money() && resets_soon(),
                Some(400 | 500..) => self.class.is_key_fault() && !is_at_a_start(),
                _ => false,
            }
    }

    /// Returns the first code of the error that matches a code of the rule.
    pub(super) fn matched_code<'i>(&self, info: &'i ErrorInfo) -> Option<&'i str> {
        let is = |code: &&str| self.codes.iter().any(|pattern| is_like(code, pattern));
        info.codes.iter().map(String::as_str).find(is)
    }
}

/// Reports whether a code matches a pattern, ignoring case. A `*` at either end matches any text.
fn is_like(code: &str, pattern: &str) -> bool {
    let bare = pattern.trim_matches('*').as_bytes();
    let code = code.as_bytes();
    let is = |part: Option<&[u8]>| part.is_some_and(|part| part.eq_ignore_ascii_case(bare));
    match (pattern.starts_with('*'), pattern.ends_with('*')) {
        (true, true) => bare.is_empty() || code.windows(bare.len()).any(|part| is(Some(part))),
        (true, false) => is(code.len().checked_sub(bare.len()).and_then(|begin| code.get(begin..))),
        (false, true) => is(code.get(..bare.len())),
        (false, false) => is(Some(code)),
    }
}

/// Reads a rule from configuration: `[[errors]]` with `status = 429`, `code = ["a", "b"]`, `message = "…"`,
/// `class = "billing"`, and optionally `provider`, `scope`, `cooldown_seconds`.
impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Row {
            provider: Option<String>,
            #[serde(default)]
            status: OneOrMany<u16>,
            #[serde(default)]
            code: OneOrMany<String>,
            #[serde(default)]
            message: OneOrMany<String>,
            class: ErrorClass,
            scope: Option<Scope>,
            cooldown_seconds: Option<u64>,
        }
        let row = Row::deserialize(deserializer)?;
        let (statuses, codes, messages) = (row.status.list(), row.code.list(), row.message.list());
        if statuses.is_empty() && codes.is_empty() && messages.is_empty() {
            return Err(D::Error::custom("missing condition: an error rule needs a status, a code or a message"));
        }
        if let Some(status) = statuses.iter().find(|status| !(100..600).contains(*status)) {
            return Err(D::Error::custom(format!("{status} is not an HTTP status")));
        }
        if codes.iter().chain(&messages).any(|text| text.trim_matches('*').trim().is_empty()) {
            return Err(D::Error::custom("the code or message of an error rule is empty"));
        }
        let texts = |list: &[String]| list.iter().map(|text| text.to_lowercase()).collect();
        Ok(Self {
            provider: row.provider,
            statuses,
            codes: texts(&codes),
            messages: texts(&messages),
            scope: row.scope,
            cooldown: row.cooldown_seconds.map(Duration::from_secs),
            ..Self::new(row.class)
        })
    }
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a value or a list of values")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl<T> OneOrMany<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Rule, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn rules_are_read_from_configuration() {
        let text = r#"{"provider": "openai", "status": [429, 403], "code": "Out_*", "message": "No Money", "class": "billing",
            "scope": "key", "cooldown_seconds": 60}"#;
        let expected =
            Rule::new(ErrorClass::Billing).provider("openai").statuses([429, 403]).code("out_*").message("no money");
        assert_eq!(parsed(text), Ok(expected.scope(Scope::Key).cooldown(Duration::from_secs(60))));
        assert_eq!(parsed(r#"{"status": 418, "class": "caller"}"#), Ok(Rule::new(ErrorClass::Caller).status(418)));
    }

    #[test]
    fn invalid_rules_are_rejected_with_a_reason() {
        for (text, reason) in [
            (r#"{"class": "billing"}"#, "needs a status, a code or a message"),
            (r#"{"status": 42, "class": "billing"}"#, "42 is not an HTTP status"),
            (r#"{"code": "*", "class": "billing"}"#, "is empty"),
            (r#"{"status": 429, "class": "money"}"#, "unknown variant `money`"),
            (r#"{"status": 429, "class": "billing", "retries": 1}"#, "unknown field `retries`"),
            (r#"{"status": 429}"#, "missing field `class`"),
            (r#"{"status": "429", "class": "billing"}"#, "a value or a list of values"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
