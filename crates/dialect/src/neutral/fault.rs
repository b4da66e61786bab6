//! What went wrong, in no dialect.

use http::StatusCode;

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Of what kind.
    pub kind: Kind,
    /// A sentence for a person.
    pub message: String,
    /// Which field of the request is to blame, as `messages[0].content`.
    pub param: Option<String>,
}

/// The kinds that dialects tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request is wrong.
    Invalid,
    /// It is too long for the model.
    TooLong,
    /// It is against the upstream's rules for contents.
    Filtered,
    /// The caller is not known.
    Unauthenticated,
    /// Something is to be paid.
    Billing,
    /// The caller may not.
    Denied,
    /// There is no such path, model or file.
    NotFound,
    /// There is such a thing, but not in this way: another method, or not built.
    NotSupported,
    /// It does not fit how things stand there now.
    Conflict,
    /// The upstream cannot do it.
    NotThere,
    /// The body is too large.
    TooLarge,
    /// The body is in an encoding that is not read.
    Encoded,
    /// A limit was met.
    RateLimited,
    /// No key may serve, now.
    NoKeys,
    /// The upstream is busy.
    Overloaded,
    /// It took too long.
    TimedOut,
    /// Something failed, there or here.
    Internal,
    /// The upstream could not be reached, or made no sense.
    BadGateway,
}

/// More of a sentence than this is not told: it may repeat what a caller or the upstream sent.
const LONGEST: usize = 4_096;
/// So much of that is its end, where it says what was expected.
const END: usize = 512;
/// The same of a field's name, which the caller chose.
const LONGEST_NAME: usize = 256;

impl Fault {
    /// Of this kind, with this sentence, which is cut where it is very long.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > LONGEST {
            let end = boundary(&message, message.len() - END);
            let begin = boundary(&message, LONGEST - END - 2 * "…".len());
            message.replace_range(begin..end, "…");
        }
        Self { kind, message, param: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// To blame is this field.
    #[must_use]
    pub fn at(mut self, param: impl Into<String>) -> Self {
        let mut param = param.into();
        param.truncate(boundary(&param, LONGEST_NAME));
        self.param = Some(param);
        self
    }

    /// One that a status speaks of.
    pub fn of_status(status: StatusCode, message: impl Into<String>) -> Self {
        Self::new(Kind::of(status), message)
    }
}

/// The last place at or before `at` where a letter begins.
fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
}

impl Kind {
    /// What a status says.
    pub fn of(status: StatusCode) -> Self {
        match status.as_u16() {
            401 => Self::Unauthenticated,
            402 => Self::Billing,
            403 => Self::Denied,
            404 | 410 => Self::NotFound,
            405 => Self::NotSupported,
            409 => Self::Conflict,
            501 => Self::NotThere,
            408 | 504 => Self::TimedOut,
            413 => Self::TooLarge,
            429 => Self::RateLimited,
            400..=499 => Self::Invalid,
            502 => Self::BadGateway,
            503 | 529 => Self::Overloaded,
            _ => Self::Internal,
        }
    }

    /// The status that most dialects give it.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Invalid | Self::TooLong | Self::Filtered => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::Billing => StatusCode::PAYMENT_REQUIRED,
            Self::Denied => StatusCode::FORBIDDEN,
            Self::NotFound | Self::NotSupported => StatusCode::NOT_FOUND,
            Self::Conflict => StatusCode::CONFLICT,
            Self::NotThere => StatusCode::NOT_IMPLEMENTED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Encoded => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NoKeys | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::BadGateway => StatusCode::BAD_GATEWAY,
        }
    }
}
