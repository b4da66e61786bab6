//! What is left of Gemini's errors where none of its own words decides (`rules`): what a status means here alone.

use crate::{
    provider::{
        complaint::Mark::{All, Apart, Begins, InBody, Is},
        google_rpc::LISTED,
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const LEFT: &[Rule] = &[
    rule(
        &[401],
        // Errors of the OpenAI-compatible paths come in a list.
        &[All(&[InBody, Is(LISTED)])],
        ruling(K::Misconfigured, S::Caller, U::Now, E::OtherKey).unclear(),
        "Keys of one kind are refused here alone (AQ. keys are reported to be, on OpenAI-compatible paths): use native paths.",
    ),
    rule(
        &[401],
        &[Apart, InBody],
        ruling(K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey).unclear(),
        "The key is not accepted on this path, without a clear reason: see whether it serves models.",
    ),
    rule(
        &[401],
        &[],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).unclear(),
        "The key is not accepted, without a clear reason: see whether the key and its service account still exist.",
    ),
    rule(
        &[403],
        &[
            Is("LOCATION_POLICY_VIOLATED"),
            Is("SECURITY_POLICY_VIOLATED"),
            Is("ORG_RESTRICTION_VIOLATION"),
            Is("RESOURCE_USAGE_RESTRICTION_VIOLATED"),
            Is("ENDPOINT_USAGE_RESTRICTION_VIOLATED"),
            Is("TLS_ORG_POLICY_VIOLATED"),
            Is("TLS_CIPHER_RESTRICTION_VIOLATED"),
            Is("USER_BLOCKED_BY_ADMIN"),
            Begins("request is prohibited by organization's policy"),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey),
        "A policy of the key's organization forbids this: ask its administrator, or use another project's key.",
    ),
    rule(
        &[403],
        &[],
        ruling(K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey).unclear(),
        "This key may not use this model, without a clear reason: check the key's project and its restrictions.",
    ),
    rule(
        &[409],
        &[Is("ABORTED")],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause),
        "The provider gave up because of another request at the same time: it is tried again.",
    ),
    // The provider.
    rule(
        &[500, 503, 504],
        &[Is("DEADLINE_EXCEEDED"), Begins("deadline expired ")],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).code("DEADLINE_EXCEEDED").retries(1),
        "The answer took longer than the provider allows: ask for less at once, or stream it.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(LEFT);
    }
}
