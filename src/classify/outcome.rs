//! Outcomes of requests, failures, and the usage of tokens.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{Cooldown, ErrorClass, Policy, Retry, Scope};
use crate::{limit::Limit, secret::Secret};

/// The result of one request with one key.
///
/// ```
/// use std::time::Duration;
/// use tower_keypool::{ErrorClass, Failure, Gemini, Key, KeyPool, Outcome};
///
/// let pool = KeyPool::builder(Gemini::new()).key(Key::free("AIza-not-a-real-key-001")).build()?;
/// let failure = Failure::new(ErrorClass::RateLimit).with_retry_after(Duration::from_secs(30));
/// pool.try_acquire("gemini-2.5-flash")?.report(&Outcome::from(failure));
/// let error = pool.try_acquire("gemini-2.5-flash").unwrap_err();
/// assert!(error.to_string().starts_with("no key is available for gemini-2.5-flash: 1 cooling down"));
/// # Ok::<(), tower_keypool::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A successful response.
    Success,
    /// An error of the provider or of the connection to it.
    Failure(Arc<Failure>),
}

impl Outcome {
    /// Returns the failure, if the outcome is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failure(failure) => Some(failure),
            _ => None,
        }
    }

    /// Returns the outcome with the secret masked in message and code, or `None` if neither contains the secret.
    pub(crate) fn redacted(&self, secret: &Secret) -> Option<Self> {
        let failure = self.failure()?;
        let holds =
            |text: &Option<Box<str>>| text.as_deref().is_some_and(|text| secret.find(text.as_bytes()).is_some());
        if !holds(&failure.message) && !holds(&failure.code) {
            return None;
        }
        let redact = |text: &Option<Box<str>>| text.as_deref().map(|text| secret.redact(text).into());
        let (message, code) = (redact(&failure.message), redact(&failure.code));
        Some(Failure { code, message, ..failure.clone() }.into())
    }

    /// Creates a failure of this class with the class's scope and cooldown.
    pub fn from_class(class: ErrorClass) -> Self {
        Failure::new(class).into()
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failure(Arc::new(failure))
    }
}

/// Converts the result of [`KeyPool::classify`](crate::KeyPool::classify).
impl From<Option<Failure>> for Outcome {
    fn from(failure: Option<Failure>) -> Self {
        failure.map_or(Self::Success, Self::from)
    }
}

/// A classified error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) scope: Scope,
    pub(crate) status: Option<StatusCode>,
    pub(crate) code: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
    pub(crate) end: End,
    /// Whether the target is disabled only if a second try fails, too.
    pub(crate) confirm: bool,
    pub(crate) limits: Vec<Limit>,
    pub(crate) project: Option<Box<str>>,
    pub(crate) may_have_been_sent: bool,
}

/// The end of the cooldown after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// That of the class.
    OfClass,
    /// After the delay that the provider named.
    Named(Duration),
    /// After the cooldown of the matched rule, which is longer than a delay that the provider named.
    Guessed(Duration),
}

impl Failure {
    /// Creates a failure of this class, with the class's scope and cooldown.
    pub fn new(class: ErrorClass) -> Self {
        Self {
            class,
            scope: class.policy().scope,
            status: None,
            code: None,
            message: None,
            end: End::OfClass,
            confirm: false,
            limits: Vec::new(),
            project: None,
            may_have_been_sent: true,
        }
    }

    /// Sets the scope, instead of the class's scope.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// Sets the delay that the provider named.
    #[must_use]
    pub fn with_retry_after(mut self, delay: Duration) -> Self {
        self.end = End::Named(delay);
        self
    }

    /// Sets the provider's code, such as `API_KEY_INVALID`.
    #[must_use]
    pub fn with_code(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Returns the class.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Returns the scope that the failure applies to.
    pub fn scope(&self) -> Scope {
        self.scope
    }

    /// Returns the policy of the class.
    pub fn policy(&self) -> Policy {
        self.class.policy()
    }

    /// Returns how the request may be retried.
    pub fn retry(&self) -> Retry {
        self.class.policy().retry
    }

    /// Returns the status of the response, or `None` if there was no response.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Returns the provider's code, if the error has one.
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// Returns the message of the provider, or of the HTTP client if there was no response; at most 300 characters.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Returns the delay that the provider named.
    pub fn retry_after(&self) -> Option<Duration> {
        if let End::Named(delay) = self.end { Some(delay) } else { None }
    }

    /// Returns the cooldown that applies if the provider named [no delay](Self::retry_after).
    pub fn cooldown(&self) -> Cooldown {
        match self.end {
            _ if self.scope == Scope::Request => Cooldown::None,
            End::Guessed(cooldown) => Cooldown::Fixed(cooldown),
            _ => self.policy().cooldown,
        }
    }

    /// Reports whether the request may have reached the provider. A request that is not idempotent is then not retried.
    pub fn may_have_been_sent(&self) -> bool {
        self.may_have_been_sent
    }

    /// Returns the limits that the provider named; an amount of 0 means that the project may not use the model.
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// Returns the project that the provider named, without `projects/`: a number or an id.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }
}

/// The tokens that a response reports as used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt, including cached ones.
    pub input_tokens: u64,
    /// Tokens of the output, including thoughts.
    pub output_tokens: u64,
}

impl Usage {
    /// Maximum count that is accepted, so that sums cannot overflow. No response uses more.
    const MAX_TOKENS: u64 = 1 << 40;

    /// Creates a usage. Each number is limited to 2^40.
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens: input_tokens.min(Self::MAX_TOKENS), output_tokens: output_tokens.min(Self::MAX_TOKENS) }
    }
}
