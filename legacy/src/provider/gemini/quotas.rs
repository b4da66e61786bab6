//! What Gemini's errors mean that speak of where it serves, of its capacity and of quotas: a limit of zero before any other.

use crate::{
    provider::{
        complaint::{
            Hit,
            Mark::{Begins, Hits, Is, Says, Waits},
        },
        google_rpc::{SEARCHES, STORAGE},
        rule::{HOUR, Rule, probed, rule, ruling, seconds},
    },
    verdict::{Elsewhere as E, Scope as S, Until as U, VerdictKind as K},
};

/// The table.
pub(in crate::provider) const QUOTAS: &[Rule] = &[
    // A model that no address in this country is served, whosever the key is.
    rule(
        &[400, 403],
        &[Begins("image generation is not available in your country")],
        ruling(K::ModelUnavailable, S::Lane, U::Now, E::OtherModel).code("LOCATION_OF_MODEL"),
        "The provider serves this model in other countries only: use an exit address there, or another model.",
    ),
    // Our address.
    rule(
        &[400, 403],
        &[Begins("user location is not supported "), Begins("location is not supported ")],
        ruling(K::Blocked, S::Exit, U::Backoff, E::No).code("LOCATION"),
        "The provider does not serve the country that this machine's address is in: use an exit address elsewhere.",
    ),
    // Of a model that another method serves, as if a quota was met.
    rule(
        &[429],
        &[Says("must be accessed through the ")],
        ruling(K::CallerFault, S::Caller, U::Now, E::No).code("WRONG_METHOD"),
        "This model is served by another method: the answer's body names it.",
    ),
    // Capacity is nobody's quota.
    rule(
        &[429, 503],
        &[
            Is("MODEL_CAPACITY_EXHAUSTED"),
            // Of the whole API, in Google's older form.
            Is("servingLimitExceeded"),
            Begins("no capacity available "),
            Says("out of capacity"),
            Says("error-code-429"),
        ],
        ruling(K::Overloaded, S::Lane, U::Backoff, E::AfterPause).heeding(600),
        "The provider has no capacity for this model now: wait, or fall back to another model.",
    ),
    // Of what caches may keep: the model itself answers as before.
    rule(
        &[429],
        &[
            Begins("totalcachedcontentstoragetokenspermodel limit exceeded"),
            Begins("totalcachedcontentstoragetokenspermodelfreetier limit exceeded"),
            Begins("totalcachedcontentstoragetokenspermodelpaidtier limit exceeded"),
        ],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("CACHE_STORAGE"),
        "The project's tier keeps no caches of this size (a free one keeps none): use a paid project's key, or delete some.",
    ),
    // Of files and stores of them: whoever makes room there must be let in.
    rule(
        &[429],
        &[Is(STORAGE), Begins("corpus has reached the storage limit ")],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).code("STORAGE").retries(7),
        "The project keeps as much as it may: delete what is not needed any more, or use another project's key.",
    ),
    // Of what it looks up: requests without a search go on.
    rule(
        &[429],
        // The second is Vertex AI's.
        &[
            Is(SEARCHES),
            Begins(
                "unable to submit request because you've reached the maximum number of requests with search as tool ",
            ),
        ],
        ruling(K::QuotaExhausted, S::Caller, U::Now, E::OtherOwner).retries(7),
        "The project's searches are used up (a free one may have none): use a paid project's key, or ask without google_search.",
    ),
    // Quotas.
    rule(
        &[429],
        &[Hits(Hit::Zero)],
        ruling(K::ModelUnavailable, S::OwnerLane, seconds(24 * HOUR), E::OtherKey).code("LIMIT_ZERO"),
        "The project's tier does not include this model: use a paid project's key, or another model.",
    ),
    // Code Assist's, of some hours or of a week, and it says when that begins anew.
    rule(
        &[429],
        &[Is("QUOTA_EXHAUSTED"), Begins("individual quota reached")],
        ruling(K::QuotaExhausted, S::OwnerLane, U::Backoff, E::OtherKey).heeding(31 * 24 * HOUR),
        "The account's quota is used up for this model: wait as long as stated, or add another account's key.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Day), Is("dailyLimitExceeded"), Is("variableTermExpiredDailyExceeded")],
        // The stated wait is often the minute's (51 s on a day's quota), so only a long one is believed.
        ruling(K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey).heeding_between(600, 26 * HOUR),
        "The project's quota for the day is used up for this model: it returns at midnight Pacific time; add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Month)],
        ruling(K::QuotaExhausted, S::OwnerLane, probed(6 * HOUR), E::OtherKey).heeding_between(600, 31 * 24 * HOUR),
        "The project's quota for the month is used up: raise it in the Google Cloud console, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Hour)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(2 * HOUR),
        "The project is at its limit per hour for this model: give its keys these limits, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Sessions)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(HOUR),
        "The project has as many sessions open at once as it may: end some, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Hits(Hit::Short)],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(HOUR),
        "The project is at its limit per minute for this model: give its keys these limits, or add a key of another project.",
    ),
    rule(
        &[429],
        // Vertex AI names the metric alone.
        &[
            Waits,
            Is("RATE_LIMIT_EXCEEDED"),
            Is("rateLimitExceeded"),
            Is("userRateLimitExceeded"),
            Is("concurrentLimitExceeded"),
            Is("limitExceeded"),
            Is("variableTermLimitExceeded"),
            Begins("quota exceeded for "),
            Begins("online prediction request quota exceeded for "),
        ],
        ruling(K::RateLimited, S::OwnerLane, U::Backoff, E::OtherKey).heeding(24 * HOUR),
        "The project is at a limit for this model: wait as long as stated, or add a key of another project.",
    ),
    rule(
        &[429],
        &[Is("quota_exceeded"), Is("quotaExceeded"), Is("RESOURCE_QUOTA_EXCEEDED")],
        ruling(K::QuotaExhausted, S::OwnerLane, U::DayEnd, E::OtherKey),
        "The project's quota is used up for this model: it returns at midnight Pacific time; add a key of another project.",
    ),
    rule(
        &[429],
        &[],
        ruling(K::RateLimited, S::KeyLane, U::Backoff, E::OtherKey).unclear(),
        "The provider refuses more for now and names no quota: it is tried again at growing intervals.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::rule::check;

    #[test]
    fn rows_are_complete() {
        check(QUOTAS);
    }
}
