//! What Anthropic says of an account whose credit or budget is at its end, or that is switched off: with a status that is a caller's
//! fault elsewhere, and by its paths for clients of `OpenAI` as by its own.

use crate::{
    provider::{
        complaint::Mark::{Begins, Frames, Is, Whole},
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table. It stands in front of what others say with such a status.
pub(in crate::provider) const CREDIT: &[Rule] = &[
    rule(
        &[400, 403, 429],
        &[
            Whole(
                "your credit balance is too low to access the anthropic api. please go to plans & billing to upgrade or purchase credits",
            ),
            Whole(
                "your credit balance is too low to access the claude api. please go to plans & billing to upgrade or purchase credits",
            ),
            Begins("credit balance is too low to access "),
            Begins("credit balance is too low"),
            Begins("you're out of extra usage"),
            Begins("third-party apps now draw from your extra usage"),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("CREDIT_BALANCE_TOO_LOW"),
        "The organization's credit is used up: buy credits in the Anthropic console.",
    ),
    rule(
        &[400, 403, 429],
        &[
            Whole(
                "you have reached your specified api usage limits. you will regain access on 0000-00-00 at 00:00 utc",
            ),
            Whole(
                "you have reached your specified workspace api usage limits. you will regain access on 0000-00-00 at 00:00 utc",
            ),
            Begins("you have reached your api usage limits"),
            Begins("you have reached your specified api usage limits"),
            Begins("you have reached your specified workspace api usage limits"),
            Begins("usage blocked until "),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("USAGE_LIMIT_REACHED"),
        "The organization reached the usage limit that its owner set: raise it in the Anthropic console, or wait until it ends.",
    ),
    rule(
        &[400, 401, 403],
        &[
            Whole("this organization has been disabled"),
            Whole("your organization has been disabled"),
            Begins("organization has been disabled"),
            Frames("organization ", " has been disabled"),
            Is("organization_disabled"),
        ],
        ruling(K::Suspended, S::Owner, U::Lifted, E::OtherKey).code("ORGANIZATION_DISABLED"),
        "The organization behind this key was switched off: write to Anthropic's support.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(CREDIT);
    }
}
