//! What Anthropic's errors mean. The first row that fits decides; `details.error_code` comes before `type`, and both
//! before sentences.

use super::said::WINDOWS;
use crate::{
    provider::{
        complaint::Mark::{All, Begins, Frames, Is, IsLike, Says, WaitsNot},
        rule::{HOUR, Rule, probed, rule, ruling},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const RULES: &[Rule] = &[
    // The key, where it is a subscription's.
    rule(
        &[401, 403],
        &[
            Begins("oauth authentication is currently not allowed for this organization"),
            Begins("oauth token has been revoked"),
            Begins("oauth access token has been revoked"),
            Begins("oauth token has expired"),
            Begins("oauth access token has expired"),
            Begins("oauth token does not meet scope requirement user:inference"),
            Begins("oauth token does not meet scope requirement any_of(user:inference"),
        ],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey).code("OAUTH_TOKEN"),
        "This subscription's token is revoked, has expired or is not for this API: use an API key of the Anthropic console.",
    ),
    // What was asked for (a profile, say) wants more than messages do.
    rule(
        &[401, 403],
        &[Begins("oauth token does not meet scope requirement ")],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("MISSING_SCOPE").retries(7),
        "This subscription's token is not for what was asked: use one with that scope, or an API key of the Anthropic console.",
    ),
    rule(
        &[400],
        &[Begins("credential is only authorized for ")],
        // For good it is that of no key: the same token serves the clients that it is for.
        ruling(K::InvalidKey, S::Key, probed(HOUR), E::OtherKey).code("CREDENTIAL_NOT_FOR_API"),
        "This is a subscription's token, for certain clients alone: make a key in the Anthropic console.",
    ),
    // How we sent it.
    rule(
        &[401],
        &[Says("header is required"), Begins("oauth authentication is ")],
        ruling(K::Misconfigured, S::Caller, U::Now, E::No).code("MISSING_API_KEY"),
        "The key did not reach the provider in the header it wants: check that nothing below the key pool removes it.",
    ),
    // Money.
    rule(
        &[4],
        &[IsLike("spend_limit"), IsLike("linked_organization"), Is("billing_error")],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey),
        "The organization's budget or credit is used up: raise it or pay in the Anthropic console.",
    ),
    rule(
        &[402],
        &[],
        ruling(K::QuotaExhausted, S::Owner, probed(HOUR), E::OtherKey),
        "The organization's budget or credit is used up: raise it or pay in the Anthropic console.",
    ),
    // The organization.
    rule(
        &[4],
        &[Is("organization_on_hold")],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey),
        "The organization is on hold: see the Anthropic console for why.",
    ),
    rule(
        &[401, 403],
        &[
            Begins("organization does not have access to claude"),
            Begins("workspace has been archived"),
            Begins("workspace is archived"),
        ],
        ruling(K::Suspended, S::Owner, probed(HOUR), E::OtherKey).code("NO_ACCESS"),
        "The organization or workspace behind this key has no access any more: see the Anthropic console for why.",
    ),
    // The key.
    rule(
        &[401],
        &[Is("authentication_error")],
        ruling(K::InvalidKey, S::Key, U::Lifted, E::OtherKey),
        "The key does not exist or was revoked: replace it.",
    ),
    // Our address.
    rule(
        &[403],
        &[
            All(&[Is("forbidden"), Begins("request not allowed")]),
            Begins("access to anthropic models is not allowed from unsupported "),
            Begins("claude is not available in your "),
            Begins("claude is not available in this "),
        ],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("LOCATION"),
        "The provider does not serve this machine's address: use an exit address in a country that it serves.",
    ),
    // Capacity is nobody's quota.
    rule(
        &[],
        &[
            Is("overloaded_error"),
            All(&[Is("rate_limit_error"), Begins("rate limited"), WaitsNot]),
            All(&[Is("rate_limit_error"), Says("is currently overloaded")]),
        ],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    // What only some organizations pay for: a long prompt, a fast answer.
    rule(
        &[400, 429],
        &[
            Begins("extra usage is required for "),
            Begins("usage credits are required for "),
            Begins("fast mode requires "),
            Begins("long context beta is not yet available for this subscription"),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("LONG_CONTEXT_NOT_ENABLED").retries(7),
        "The organization does not pay for prompts as long as this one: switch extra usage on in its console.",
    ),
    // The model.
    rule(
        &[404],
        &[
            All(&[Is("not_found_error"), Begins("model: ")]),
            // As it names them to people.
            All(&[Is("not_found_error"), Begins("claude "), Says("is not available")]),
        ],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("MODEL_NOT_FOUND"),
        "No such model: check the model's name.",
    ),
    // Whose resource it is.
    rule(
        &[404],
        &[
            All(&[Is("not_found_error"), Begins("file not found ")]),
            All(&[Is("not_found_error"), Begins("container not found ")]),
            All(&[Is("not_found_error"), Frames("message batch ", " not found")]),
            All(&[Is("not_found_error"), Frames("file ", " not found")]),
            All(&[Is("not_found_error"), Begins("skill not found")]),
        ],
        ruling(K::WrongOwner, S::Caller, U::Now, E::OtherOwner).code("WRONG_OWNER"),
        "The file or batch belongs to another workspace, or does not exist: only keys of its workspace see it.",
    ),
];

/// What is left where nobody who speaks Anthropic's language (`openai`'s tables) has a word of its own.
pub(in crate::provider) const LEFT: &[Rule] = &[
    // Of a subscription, with windows as long as a week.
    rule(
        &[429],
        &[Is(WINDOWS)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).code("rate_limit_error").heeding(8 * 24 * HOUR),
        "The account is at the usage limit of its subscription: wait as long as stated, or add another account's key.",
    ),
    // Rates.
    rule(
        &[429],
        &[Is("rate_limit_error"), Is("ramp_limit_exceeded")],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(26 * HOUR),
        "The organization is at its rate limit for this family of models: give its keys these limits, or wait.",
    ),
    // A key may lack a model, and a caller may ask for what nobody may have; a second owner tells which.
    rule(
        &[403],
        &[Is("permission_error")],
        ruling(K::InvalidKey, S::KeyLane, U::Lifted, E::OtherKey).unclear(),
        "This key may not use what was asked for: check its workspace's permissions.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(RULES);
        check(LEFT);
    }
}
