//! The table of rules: which error is of which class. The first row that matches decides.

use std::{borrow::Cow, time::Duration};

use super::{ErrorClass, Scope};

/// One row: conditions, all of which must hold, and the class of the errors that they describe.
///
/// ```
/// use tower_keypool::{ErrorClass, Rule};
///
/// let rule = Rule::new(ErrorClass::Billing).status(429).message("out of credits");
/// # let _ = rule;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub(crate) statuses: Cow<'static, [u16]>,
    pub(crate) codes: Cow<'static, [Cow<'static, str>]>,
    pub(crate) message: Option<Cow<'static, str>>,
    pub(crate) class: ErrorClass,
    pub(crate) scope: Option<Scope>,
    pub(crate) cooldown: Option<Duration>,
    pub(crate) confirm: bool,
}

impl Rule {
    /// A row that matches every error, until conditions are added.
    pub fn new(class: ErrorClass) -> Self {
        Self {
            statuses: Cow::Borrowed(&[]),
            codes: Cow::Borrowed(&[]),
            message: None,
            class,
            scope: None,
            cooldown: None,
            confirm: false,
        }
    }

    /// Only answers of this status; several may be named.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.statuses.to_mut().push(status);
        self
    }

    /// Only errors whose message holds this text, in any case of its letters.
    #[must_use]
    pub fn message(mut self, text: &str) -> Self {
        self.message = Some(text.to_ascii_lowercase().into());
        self
    }
}
