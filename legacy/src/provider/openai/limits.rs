//! What errors of the `OpenAI` family mean that speak of limits: of the provider's, of an account's, of a request's size.

use super::said::{MORE_THAN_ALL, PASSED_ON, RATE, RELAYED};
use crate::{
    provider::{
        complaint::{
            Hit,
            Mark::{Begins, Hits, Is, IsLike, Says, Waits},
        },
        rule::{HOUR, Rule, Ruling, probed, rule, ruling, seconds},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const LIMITS: &[Rule] = &[
    // Capacity is nobody's quota.
    rule(
        &[429, 498, 503],
        &[
            Begins("provider returned error"),
            Is(PASSED_ON),
            Says("no deployments available for selected model"),
            Says("is currently overloaded"),
            Says("temporarily overloaded"),
            Says("capacity exceeded"),
            Says("capacity temporarily exceeded"),
            Says("receiving too many requests at the moment"),
            Says("currently processing too many requests"),
            Is("ServerOverloaded"),
            IsLike("serviceoverloaded"),
            Says("high traffic right now"),
            Says("temporarily rate-limited upstream"),
            Says("upstream model provider is temporarily unavailable"),
            IsLike("capacity_exceeded"),
            Is("overloaded_error"),
            Is("resource_unavailable"),
            Is("queue_exceeded"),
            Is("NoCapacity"),
            Says("maximum capacity"),
            Says("over capacity"),
            Says("capacity limits"),
            Says("model busy"),
            Says("model is busy"),
            Says("model is overloaded"),
            Says("is at capacity"),
            Says("is too busy"),
            Says("experiencing high demand"),
            // Claude's, by whoever hands it on: `(not your usage limit)`.
            Says("server is temporarily limiting requests"),
            Says("worker local total request limit reached"),
            // OpenRouter's, of whom it passed the request on to.
            Is("upstream_provider_shared_pool"),
            // Zhipu's.
            Is("1305"),
            Is("1312"),
        ],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    rule(
        &[],
        // The second is new-api's, of all who serve a key's group, the third Codex', with a 400 as well.
        &[Is("server_is_overloaded"), Begins("当前分组上游负载已饱和"), Begins("selected model is at capacity")],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    // Whom it passed the request on to refused it, not this account.
    rule(
        &[401, 403],
        &[Begins("provider returned error"), Is(RELAYED)],
        ruling(K::Transient, S::Caller, U::Now, E::AfterPause).code("UPSTREAM_REFUSED"),
        "The provider behind this one refused the request: it is tried again.",
    ),
    // OpenRouter's own.
    rule(
        &[403],
        &[Begins("request is prohibited due to a violation ")],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("FLAGGED"),
        "The provider's moderation refused the input: change what is asked.",
    ),
    // Whatever is larger than that may be as small as can be.
    rule(
        &[413, 429],
        &[Hits(Hit::Zero)],
        ruling(K::ModelUnavailable, S::OwnerLane, seconds(24 * HOUR), E::OtherKey).code("LIMIT_ZERO"),
        "The account's tier does not include this model: use a key of a higher tier, or another model.",
    ),
    // Larger than a whole minute of this tier: no key is at fault, and waiting never helps. One other owner is worth a
    // try, since its tier may be higher; the limit in the message is learned, so that later ones go there first.
    rule(
        &[413, 429],
        &[Begins("request too large "), Is(MORE_THAN_ALL)],
        ruling(K::CallerFault, S::Caller, U::Now, E::OtherOwner).code("REQUEST_TOO_LARGE").retries(1),
        "The request is larger than the account's tokens per minute: make it smaller, or use a higher tier's key.",
    ),
    // Fireworks', of a few requests at once.
    rule(
        &[429],
        &[Begins("you have exceeded your usage limits. please try again later or contact fireworks ")],
        RATE_LIMITED,
        AT_RATE,
    ),
    // Quotas.
    // Cloudflare's, of all models together; its days are UTC's.
    rule(
        &[429],
        &[Begins("you have used up your daily free allocation of ")],
        ruling(K::QuotaExhausted, S::Owner, U::DayEnd, E::OtherKey)
            .code("DAILY_ALLOCATION")
            .heeding_between(600, 26 * HOUR),
        "The account's free allocation of the day is used up, whatever the model: it is back at midnight UTC; add another account's key.",
    ),
    // Of a subscription; it says when it begins anew, which may be in a week.
    rule(
        &[429],
        // The second is OpenCode's, the third of a relay whose accounts all rest, the last Code Assist's, by whoever hands it on.
        &[
            Is("usage_limit_reached"),
            Is("GoUsageLimitError"),
            Is("model_cooldown"),
            Begins("you have exhausted your capacity on this model"),
        ],
        ruling(K::QuotaExhausted, S::OwnerLane, U::Backoff, E::OtherKey).heeding(31 * 24 * HOUR),
        "The subscription's usage is at its end: wait as long as stated, or add another account's key.",
    ),
    rule(
        &[429],
        &[
            Hits(Hit::Day),
            // xAI's.
            Begins("you've used all the included free usage "),
            IsLike("free_tier_daily"),
            Is("SetLimitExceeded"),
            // Zhipu's.
            Is("1304"),
            Is("1308"),
            Is("FreeUsageLimitError"),
            Is("SubscriptionUsageLimitError"),
        ],
        ruling(K::QuotaExhausted, S::OwnerLane, U::Backoff, E::OtherKey).heeding(26 * HOUR),
        "The account's quota of a day, or of some hours, is used up: it is tried again at growing intervals; add another account's key.",
    ),
    // Kimi's, of some hours.
    rule(
        &[403, 429],
        &[Begins("you've reached your 5-hour "), Begins("you have reached your 5-hour ")],
        ruling(K::QuotaExhausted, S::OwnerLane, U::Backoff, E::OtherKey).heeding(26 * HOUR),
        "The account's quota of some hours is used up: it is tried again at growing intervals; add another account's key.",
    ),
    rule(
        &[403, 429],
        &[
            Hits(Hit::Month),
            Begins("free tier of the model has been exhausted"),
            Is("AllocationQuota.FreeTierOnly"),
            Begins("you've reached your usage limit "),
            // Kimi's.
            Begins("you've reached your weekly "),
            Begins("you've reached your monthly "),
            Begins("you have reached your usage limit "),
            Begins("you have reached your weekly "),
            Begins("you have reached your monthly "),
            Is("QuotaExceeded"),
            Is("token_quota_reached"),
            Is("1310"),
        ],
        ruling(K::QuotaExhausted, S::OwnerLane, probed(6 * HOUR), E::OtherKey).heeding(31 * 24 * HOUR),
        "The account's quota of a week or a month is used up: raise it in the provider's console, or add another account's key.",
    ),
    // Nobody calls a rate so with this status.
    rule(
        &[403],
        &[IsLike("quota_exhausted"), IsLike("quota_exceeded")],
        ruling(K::QuotaExhausted, S::OwnerLane, U::Backoff, E::OtherKey).heeding(31 * 24 * HOUR),
        "The account's quota is used up: it is tried again at growing intervals; add another account's key.",
    ),
    // Kimi's word for that as well, where no sentence tells of a limit.
    rule(
        &[401, 403],
        &[Is("access_terminated_error")],
        ruling(K::Suspended, S::Owner, probed(6 * HOUR), E::OtherKey),
        "The provider ended this account's access: see its console for why, or write to its support.",
    ),
    // Zhipu's.
    rule(
        &[429],
        &[Is("1311")],
        ruling(K::ModelUnavailable, S::OwnerLane, seconds(6 * HOUR), E::OtherKey).code("NOT_IN_PLAN"),
        "The account's plan does not include this model: use a key of a larger plan, or another model.",
    ),
    // Rates.
    // GitHub's, which says 403.
    rule(
        &[403],
        &[Begins("you have exceeded a secondary rate limit"), Begins("api rate limit exceeded ")],
        ruling(K::RateLimited, S::Key, U::Backoff, E::OtherKey).code("RATE_LIMIT").heeding(HOUR),
        "This key's account asks too often: wait as long as stated, or add a key of another account.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Account), Is("1313")],
        ruling(K::RateLimited, S::Owner, U::Backoff, E::OtherKey).heeding(26 * HOUR),
        "The account is at its rate limit: wait as long as stated, or add a key of another account.",
    ),
];

/// Rates, where no quota decides.
pub(in crate::provider) const RATES: &[Rule] = &[
    // DashScope's, which some of its models answer with a 400.
    rule(
        &[400],
        &[Is("Throttling"), IsLike("throttling."), Is("limit_requests"), Is("limit_burst_rate")],
        RATE_LIMITED,
        AT_RATE,
    ),
    rule(
        &[429],
        &[
            IsLike("rate_limit"),
            IsLike("ratelimit"),
            IsLike("_quota_exceeded"),
            IsLike("throttling"),
            IsLike("free_tier_per_minute"),
            // Together's.
            IsLike("request_limited"),
            IsLike("token_limited"),
            Begins("max parallel request limit reached"),
            // Amazon's, without the exception's name.
            Begins("too many tokens, please wait "),
            Begins("too many requests, please wait "),
            Is("limit_requests"),
            Is("limit_burst_rate"),
            // Zhipu's.
            Is("1302"),
            Is("1303"),
            // MiniMax's: requests, tokens.
            Is("1002"),
            Is("1039"),
            Is("1041"),
            Is("2045"),
            Begins("you have been rate limited"),
            Begins("too many requests for team "),
            Begins("too many tokens for team "),
            Is("requests"),
            Is("tokens"),
            Is(RATE),
            Waits,
        ],
        RATE_LIMITED,
        AT_RATE,
    ),
];

const RATE_LIMITED: Ruling = ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(26 * HOUR);
const AT_RATE: &str =
    "The account is at its rate limit for this model: give its keys these limits, or add a key of another account.";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(LIMITS);
        check(RATES);
    }
}
