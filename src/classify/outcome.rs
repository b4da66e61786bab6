//! What an answer means.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{Cooldown, ErrorClass, Policy, Retry, Scope};
use crate::{
    limit::{Span, Unit},
    secret::Secret,
};

/// The result of one request with one key.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// A good answer.
    Success,
    /// An error of the provider or of the connection to it.
    Failure(Arc<Failure>),
    /// The caller cancelled before an answer came. It says nothing about the key.
    Cancelled,
}

impl Outcome {
    /// The failure, if it is one.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failure(failure) => Some(failure),
            _ => None,
        }
    }

    /// The same without a secret in its message and code; `None` if it holds none.
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

    /// A failure of this class with the class's scope and cooldown.
    pub fn of_class(class: ErrorClass) -> Self {
        Failure::new(class).into()
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failure(Arc::new(failure))
    }
}

/// An error, classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub(crate) class: ErrorClass,
    pub(crate) scope: Scope,
    pub(crate) status: Option<StatusCode>,
    pub(crate) code: Option<Box<str>>,
    pub(crate) message: Option<Box<str>>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) cooldown: Option<Duration>,
    pub(crate) confirm: bool,
    pub(crate) quota: Vec<QuotaViolation>,
    pub(crate) project: Option<Box<str>>,
    pub(crate) may_have_been_sent: bool,
}

impl Failure {
    /// A failure of this class, with the scope and the cooldown of its row.
    pub fn new(class: ErrorClass) -> Self {
        Self {
            class,
            scope: class.policy().scope,
            status: None,
            code: None,
            message: None,
            retry_after: None,
            cooldown: None,
            confirm: false,
            quota: Vec::new(),
            project: None,
            may_have_been_sent: true,
        }
    }

    /// The scope, in place of the class's scope.
    #[must_use]
    pub fn scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }

    /// The delay that the provider names.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The provider's code, such as `API_KEY_INVALID`.
    #[must_use]
    pub fn code(mut self, code: &str) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Its class.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// What it applies to.
    pub fn concerns(&self) -> Scope {
        self.scope
    }

    /// The policy of its class.
    pub fn policy(&self) -> Policy {
        self.class.policy()
    }

    /// Where the request may go next.
    pub fn retry(&self) -> Retry {
        self.class.policy().retry
    }

    /// The answer's status; `None` if there was no answer.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// The provider's code, if the error has one.
    pub fn error_code(&self) -> Option<&str> {
        self.code.as_deref()
    }

    /// The provider's message, at most 300 characters.
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// The delay that the provider named.
    pub fn delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The cooldown, if the provider names no [`delay`](Self::delay).
    pub fn cooldown(&self) -> Cooldown {
        match self.cooldown {
            _ if self.scope == Scope::Request => Cooldown::None,
            Some(cooldown) => Cooldown::Fixed(cooldown),
            None => self.policy().cooldown,
        }
    }

    /// Whether a second such error in a row has to confirm it before the key is disabled.
    pub fn needs_confirmation(&self) -> bool {
        self.confirm
    }

    /// Whether the request may have reached the provider: then one that is not idempotent is not sent again.
    pub fn may_have_been_sent(&self) -> bool {
        self.may_have_been_sent
    }

    /// The quotas that the provider names as violated.
    pub fn violations(&self) -> &[QuotaViolation] {
        &self.quota
    }

    /// The project that the provider names, without `projects/`: a number or an id.
    pub fn project(&self) -> Option<&str> {
        self.project.as_deref()
    }
}

/// One quota that a provider names in an error or in its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct QuotaViolation {
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub span: Span,
    /// The limit, if it is named; 0 means that the project has no quota for the model.
    pub limit: Option<u64>,
    /// The model that the quota is for, by the provider's name of it.
    pub model: Option<Box<str>>,
}

impl QuotaViolation {
    /// A quota of this kind.
    pub fn new(unit: Unit, span: Span) -> Self {
        Self { unit, span, limit: None, model: None }
    }
}

/// The tokens that an answer says it used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt, cached ones included.
    pub input_tokens: u64,
    /// Tokens of the answer, thoughts included.
    pub output_tokens: u64,
}

impl Usage {
    /// No answer uses more; if a provider tells more, sums must not overflow.
    const MOST: u64 = 1 << 40;

    /// These numbers of tokens; each is 2^40 at most.
    pub fn new(input_tokens: u64, output_tokens: u64) -> Self {
        Self { input_tokens: input_tokens.min(Self::MOST), output_tokens: output_tokens.min(Self::MOST) }
    }
}
