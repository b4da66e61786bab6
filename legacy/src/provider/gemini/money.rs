//! What Gemini's errors mean that speak of money. They come before quotas.

use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, IsLike, Tells, Whole},
        rule::{HOUR, Rule, probed, rule, ruling, seconds},
    },
    verdict::{Elsewhere as E, Scope as S, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const MONEY: &[Rule] = &[
    // Money.
    rule(
        &[402, 429],
        &[All(&[Tells("billing account"), Tells("monthly spending cap")])],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("SPENDING_CAP"),
        "The billing account reached its monthly spending cap: raise it in Google AI Studio, or wait for the next month.",
    ),
    rule(
        &[403],
        &[
            Begins("billing account has exceeded its monthly spending cap"),
            Begins("billing account has reached its monthly spending cap"),
        ],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("SPENDING_CAP"),
        "The billing account reached its monthly spending cap: raise it in Google AI Studio, or wait for the next month.",
    ),
    rule(
        &[401, 403, 429],
        &[IsLike("billing_")],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("BILLING_DISABLED"),
        "Billing is off for the key's project: turn it on in the Google Cloud console.",
    ),
    rule(
        &[4],
        &[
            Is("BILLING_DISABLED"),
            All(&[Is("PERMISSION_DENIED"), Begins("lightning dunning decision ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("dunning decision ")]),
            All(&[Is("PERMISSION_DENIED"), Begins("api method requires billing ")]),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("BILLING_DISABLED"),
        "Billing is off for the key's project: turn it on in the Google Cloud console.",
    ),
    rule(
        &[400, 403],
        &[
            Begins("gemini api free tier is not available "),
            Begins("free tier is not available "),
            Begins("api method requires billing "),
            Begins("please enable billing "),
            Begins("enable billing "),
            Begins("billing must be enabled "),
            Begins("billing is disabled "),
            Begins("billing is not enabled "),
            Begins("billing has not been enabled "),
            Begins("billing account "),
            Whole(
                "gemini api free tier is not available in your country. please enable billing on your project in google ai studio",
            ),
            // Of a free key at an address where only paid ones are served: not of the address.
            Whole("user location is not supported for the api use without a billing account linked"),
            Begins("user location is not supported for the api use without a billing account "),
            Begins("project requires billing "),
            Frames("project ", " requires billing "),
            Frames("project ", " does not have billing enabled"),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("BILLING_DISABLED"),
        "The key's project needs billing here: turn it on in Google AI Studio.",
    ),
    rule(
        &[402, 429],
        &[
            Tells("prepayment credit"),
            Tells("prepaid credit"),
            Tells("prepay credit"),
            Tells("prepay balance"),
            Tells("prepaid balance"),
        ],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("PREPAY_DEPLETED"),
        "The billing account's prepaid credits are used up: add credits in Google AI Studio.",
    ),
    rule(
        &[403],
        &[Begins("prepayment credits are depleted"), Begins("prepayment credits have been depleted")],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("PREPAY_DEPLETED"),
        "The billing account's prepaid credits are used up: add credits in Google AI Studio.",
    ),
    rule(
        &[402, 429],
        &[Tells("monthly spending cap"), Tells("monthly spend cap"), Tells("monthly spending limit")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("SPENDING_CAP"),
        "The project reached the monthly spending cap that its owner set: raise it in Google AI Studio, or wait for the next month.",
    ),
    rule(
        &[403],
        &[
            Begins("project has exceeded its monthly spending cap"),
            Begins("project has reached its monthly spending cap"),
            Begins("project exceeded its monthly spending cap"),
            Frames("project ", " has exceeded its monthly spending cap"),
            Frames("project ", " has reached its monthly spending cap"),
            Begins("you exceeded your monthly spending cap"),
            Begins("you have exceeded your monthly spending cap"),
            Begins("you have reached your monthly spending cap"),
            Begins("monthly spending cap "),
            Begins("spend cap "),
        ],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey).code("SPENDING_CAP"),
        "The project reached the monthly spending cap that its owner set: raise it in Google AI Studio, or wait for the next month.",
    ),
    rule(
        &[402],
        &[],
        ruling(K::QuotaExhausted, S::BillingAccount, probed(HOUR), E::OtherKey).code("PAYMENT_REQUIRED"),
        "The provider wants to be paid for this key's project: check its billing account.",
    ),
    rule(
        &[429],
        &[Tells("spend-based rate limit"), Tells("spend based rate limit")],
        ruling(K::RateLimited, S::Owner, seconds(600), E::OtherKey).code("SPEND_RATE").heeding_between(600, 24 * HOUR),
        "The project spends faster than its tier allows in ten minutes: wait, spread the load, or move to a higher tier.",
    ),
    rule(
        &[400, 403],
        &[
            Whole("imagen api is only accessible to billed users at this time"),
            Begins("imagen api is only accessible to billed users "),
            Begins("veo api is only accessible to billed users "),
            Begins("lyria api is only accessible to billed users "),
        ],
        ruling(K::ModelUnavailable, S::OwnerLane, seconds(24 * HOUR), E::OtherKey).code("BILLED_USERS_ONLY"),
        "Only projects with billing may use this model: use a paid project's key, or another model.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(MONEY);
    }
}
