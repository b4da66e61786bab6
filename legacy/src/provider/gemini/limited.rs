//! An account that was limited for what it was used for: told inside a good answer.

use crate::{
    provider::{
        envelope::Envelope,
        rule::{Rule, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// Why a good answer ended whose account is limited.
pub(super) const WORD: &str = "PUP_LIMITED_DISABLED";

/// Whether a good answer ended because the account is limited (`finishReason`), however the text reads.
pub(super) fn says(body: &[u8]) -> bool {
    if memchr::memmem::find(body, WORD.as_bytes()).is_none() {
        return false;
    }
    let body = body.trim_ascii_start();
    let json = Envelope::open(body.strip_prefix(b"data:").unwrap_or(body)).json;
    let candidates = json.as_ref().and_then(|json| json.get("candidates")?.as_array());
    candidates.into_iter().flatten().any(|candidate| candidate.get("finishReason").is_some_and(|why| why == WORD))
}

/// What it means.
pub(super) const RULES: &[Rule] = &[rule(
    &[],
    &[],
    ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey).unclear().code(WORD),
    "The account behind this key is limited for a breach of policy: see the provider's mails to its owner.",
)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn the_row_is_complete() {
        check(RULES);
    }
}
