//! What a verdict's words may hold.

use std::borrow::Cow;

use super::Verdict;

impl Verdict {
    /// Whether code or advice were put together, and may hold anything.
    #[inline]
    pub(crate) fn has_own_words(&self) -> bool {
        matches!((&self.code, &self.advice), (Cow::Owned(_), _) | (_, Cow::Owned(_)))
    }

    /// The same with other words, where `told` has any for its code or advice.
    pub(crate) fn reworded<'t>(&'t self, told: impl Fn(&'t str) -> Cow<'t, str>) -> Option<Self> {
        let (code, advice) = (told(&self.code), told(&self.advice));
        if let (Cow::Borrowed(_), Cow::Borrowed(_)) = (&code, &advice) {
            return None;
        }
        let (code, advice) = (code.into_owned(), advice.into_owned());
        Some(self.clone().code(code).advice(advice))
    }
}
